"""What pipelines and networks should not send: the page stays whole and says what it can."""

import json
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, Route, expect

from opsin.assembly import assemble
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.web.browser import visit
from tests.web.seeing import HEIGHT, WIDTH, begin, blank, box, inked, new_image, tell

pytestmark = pytest.mark.timeout(180)

MARKUP = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"

# What is stored as it is and cannot be drawn.
BROKEN: list[dict[str, Any]] = [
    {"bbox": ["NaN", 10, 20, 20], "format": "xywh"},
    {"bbox": [10, 10, 20], "format": "xyxy"},
    {"bbox": {"x": 1}, "format": 7},
    {"points": [[1, 2], [3, "Infinity"], [5, 6]]},
    {"points": [[[]]]},
    {"rle": {"counts": "\u00ff\u00ff", "size": [HEIGHT, WIDTH]}},
    {"rle": {"counts": [5, 5], "size": [-1, "x"]}},
    {"keypoints": [{"x": None, "y": {}}]},
    {"image_width": 0, "image_height": 0, "x_min": 1, "y_min": 1, "x_max": 2, "y_max": 2},
    {"name": {"not": "a text"}, "value": [1, 2], "unit": {}},
    {"text": ["not", "a", "text"]},
    {"scores": {"dog": "high", "cat": None}},
]


async def add(live: LiveServer, analysis: str, found: list[dict[str, Any]]) -> None:
    await live.data(
        "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }",
        i={"analysisId": analysis, "annotations": found},
    )


@pytest.mark.parametrize("kind", ["bounding_box", "segmentation", "keypoint", "metric"])
async def test_what_cannot_be_drawn_is_shown_as_it_is(live: LiveServer, kind: str) -> None:
    _, image = await new_image(live)
    analysis = await begin(live, image)
    # Another pipeline's rows may be broken in ways that this version would refuse.
    kept = []
    for data in BROKEN:
        row = {"annotationType": kind, "className": "odd", "data": data}
        answer = await live.graphql(
            "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }",
            i={"analysisId": analysis, "annotations": [row]},
        )
        kept += [] if "errors" in answer else [data]
    assert len(kept) >= 3
    await tell(live, analysis, [box([100, 80, 60, 40])])
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await expect(seen.page.locator(".analysis")).to_contain_text(f"{len(kept) + 1} found")
        await inked(seen.page, 100, 100)
        readings = seen.page.locator(".reading .raw, .reading .facts > div, .reading .caption")
        drawn = await seen.page.locator(".finding").count()
        assert await readings.count() + drawn == len(kept) + 1


async def test_masks_that_do_not_fill_or_run_over_are_drawn_as_far_as_they_go(
    live: LiveServer,
) -> None:
    _, image = await new_image(live)
    analysis = await begin(live, image)
    size = [HEIGHT, WIDTH]
    # Of the first forty columns the whole height; then nothing more is told.
    short = {"rle": {"counts": [0, HEIGHT * 40], "size": size}}
    # From column 300 on, far beyond the end.
    long = {"rle": {"counts": [HEIGHT * 300, 10**12], "size": size}}
    rows = [
        {"annotationType": "segmentation", "className": name, "data": data}
        for name, data in (("short", short), ("long", long))
    ]
    for row in rows:
        await live.graphql(
            "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }",
            i={"analysisId": analysis, "annotations": [row]},
        )
    stored = await live.data(
        "query($id: ID!) { analysis(id: $id) { annotations { nodes { className } } } }", id=analysis
    )
    names = {row["className"] for row in stored["analysis"]["annotations"]["nodes"]}
    async with visit(live) as seen:
        # What the door refuses may be in a database all the same: the page is told of both.
        await _answered(seen.page, "Image", lambda data: _with_found(data, analysis, rows))
        await seen.go(f"#/images/{image}")
        await expect(seen.page.locator(".finding")).to_have_count(2)
        await inked(seen.page, 20, 150)
        await inked(seen.page, 380, 150)
        await blank(seen.page, 200, 150)
    assert names <= {"short", "long"}


def _with_found(data: Any, analysis: str, rows: list[dict[str, Any]]) -> None:
    for one in data["image"]["analyses"]["nodes"]:
        if one["id"] == analysis:
            nodes = [
                {"id": str(at), "confidence": None, "storagePath": None, "url": None} | row
                for at, row in enumerate(rows)
            ]
            one["annotations"] |= {"nodes": nodes, "totalCount": len(nodes)}


async def _answered(page: Page, operation: str, change: Any) -> None:
    """Lets a test change what the real server answers to one operation."""

    async def through(route: Route) -> None:
        answer = await route.fetch()
        if f"query {operation}(" not in (route.request.post_data or ""):
            await route.fulfill(response=answer)
            return
        body = await answer.json()
        change(body["data"])
        await route.fulfill(response=answer, json=body)

    await page.route("**/graphql", through)


async def test_a_polygon_of_a_hundred_thousand_points_is_drawn(live: LiveServer) -> None:
    _, image = await new_image(live)
    points = [[50 + at % 300 * 0.999, 40 + at / 100_000 * 200] for at in range(100_000)]
    huge = {
        "annotationType": "segmentation",
        "className": "shore",
        "data": {"points": points, "format": "polygon"},
    }
    analysis = await begin(live, image)
    async with visit(live) as seen:
        if "errors" in await live.graphql(
            "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }",
            i={"analysisId": analysis, "annotations": [huge]},
        ):
            await _answered(seen.page, "Image", lambda data: _with_found(data, analysis, [huge]))
        await seen.go(f"#/images/{image}")
        await expect(seen.page.locator(".finding")).to_contain_text("shore")
        await inked(seen.page, 200, 140)


async def test_megabytes_of_json_are_shown_by_their_beginning(live: LiveServer) -> None:
    _, image = await new_image(live)
    large = {"rows": [{"number": at, "text": "x" * 165} for at in range(250_000)]}
    assert 49e6 < len(json.dumps(large)) < 60e6
    analysis = await begin(live, image)
    async with visit(live) as seen:
        rows = [{"annotationType": "table", "className": "log", "data": large}]
        if "errors" in await live.graphql(
            "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }",
            i={"analysisId": analysis, "annotations": rows},
        ):
            await _answered(seen.page, "Image", lambda data: _with_found(data, analysis, rows))
        await seen.go(f"#/images/{image}")
        raw = seen.page.locator(".reading .raw")
        await raw.locator("summary").click()
        shown = await raw.locator("pre").inner_text()
        assert shown.startswith('{\n  "rows": [') and len(shown) < 5000
        # Another change makes the panels anew; none of them writes it all out.
        await seen.page.get_by_label("At least").fill("50")
        await expect(seen.page.locator(".confidence output")).to_have_text("50% to 100%")


async def test_names_with_markup_stay_text(live: LiveServer) -> None:
    made = await live.data(
        "mutation($n: String!) { createDataset(input: {name: $n, description: $n}) { id } }",
        n=MARKUP,
    )
    dataset = made["createDataset"]["id"]
    picture = await new_image(live)
    stored = await live.graphql(
        "mutation($i: CreateImageClassInput!) { createImageClass(input: $i) { id } }",
        i={"datasetId": dataset, "name": MARKUP, "description": MARKUP},
    )
    assert "errors" not in stored
    image = picture[1]
    await live.data(
        "mutation($i: CreateCommentInput!) { createComment(input: $i) { id } }",
        i={"imageId": image, "text": MARKUP},
    )
    await live.data(
        "mutation($i: SetMetadataInput!) { setMetadata(input: $i) { image { id } } }",
        i={"imageId": image, "entries": {MARKUP: MARKUP}},
    )
    await tell(live, await begin(live, image, model=MARKUP), [box([20, 20, 50, 50], MARKUP)])
    async with visit(live) as seen:
        for path in ("", f"#/datasets/{dataset}", f"#/datasets/{dataset}/about"):
            await seen.go(path)
            await expect(seen.page.locator("main")).to_contain_text(MARKUP)
        await seen.go(f"#/images/{image}")
        for part in (".finding-name", ".comment-text", ".analysis-name", ".class-name"):
            await expect(seen.page.locator(part).first).to_contain_text(MARKUP)
        assert await seen.page.title() != "run"
        assert await seen.page.locator("img[src=x]").count() == 0


async def test_a_picture_that_cannot_be_shown_is_said(live: LiveServer) -> None:
    _, image = await new_image(live)
    await tell(live, await begin(live, image), [box([100, 80, 60, 40])])
    async with visit(live) as seen:

        async def nothing(route: Route) -> None:
            if route.request.resource_type == "image" and "icon" not in route.request.url:
                await route.fulfill(body=b"no picture", content_type="image/png")
            else:
                await route.continue_()

        await seen.page.route("**/*", nothing)
        await seen.go(f"#/images/{image}")
        await expect(seen.page.locator(".stage-failure")).to_contain_text("cannot be shown")
        await inked(seen.page, 100, 100)


async def test_a_key_that_is_revoked_leads_to_the_sign_in(settings: Settings) -> None:
    guarded = settings.model_copy(update={"auth": "keys", "worker": False})
    async with (parts := assemble(guarded)).running():
        access = parts.use_cases.access
        local = await access.local()
        _, key = await parts.use_cases.api_keys.create(local, "viewer")
        mine, own = await parts.use_cases.api_keys.create(local, "pipeline")
    headers = {"X-API-Key": own}
    async with serve(guarded, headers) as live, visit(live) as seen:
        _, image = await new_image(live)
        await seen.go(f"#/images/{image}")
        await seen.page.get_by_label("API key").fill(key)
        await seen.page.get_by_role("button", name="Sign in").click()
        await expect(seen.page.locator(".stage-frame > .live")).to_have_text("Live")
        listed = await live.data("{ viewer { apiKeys { id name } } }")
        (theirs,) = [one for one in listed["viewer"]["apiKeys"] if one["name"] == "viewer"]
        assert theirs["id"] != mine.id
        await live.data(
            "mutation($id: ID!) { revokeApiKey(id: $id) { revokedAt } }", id=theirs["id"]
        )
        # The next event is not told to it any more.
        await begin(live, image)
        await expect(seen.page.get_by_role("heading", name="Sign in")).to_be_visible()
        refused = ("401", "403", "WebSocket")
        seen.complaints = [one for one in seen.complaints if not any(w in one for w in refused)]


async def test_what_is_done_without_a_connection_says_so(live: LiveServer) -> None:
    _, image = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await seen.page.get_by_text("Comments", exact=True).click()
        await seen.page.get_by_label("A comment").fill("kept")
        await seen.page.context.set_offline(offline=True)
        await seen.page.get_by_role("button", name="Comment", exact=True).click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("cannot be reached")
        await expect(seen.page.get_by_label("A comment")).to_have_value("kept")
        await seen.page.context.set_offline(offline=False)
        await seen.page.get_by_role("button", name="Comment", exact=True).click()
        await expect(seen.page.locator(".comment-text")).to_have_text("kept")
        cut = ("WebSocket", "net::ERR_")
        seen.complaints = [one for one in seen.complaints if not any(word in one for word in cut)]


async def test_no_page_asks_another_host(live: LiveServer) -> None:
    _, image = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        refused = await seen.page.evaluate(
            "fetch('http://127.0.0.1:9/').then(() => 'asked', () => 'refused')"
        )
        assert refused == "refused"
        assert any("Content Security Policy" in text for text in seen.complaints)
        seen.complaints, seen.elsewhere = [], []
    answer: httpx.Response = await live.client.get("/")
    assert "unsafe" not in answer.headers["content-security-policy"]
