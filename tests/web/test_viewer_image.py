"""The image page: every overlay, filters, what happens live, comparing, running an operation."""

import asyncio
import json
import re
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.conftest import LiveServer
from tests.pictures import portrait
from tests.web.browser import visit
from tests.web.cut_connection import Proxy
from tests.web.seeing import HEIGHT, WIDTH, begin, blank, box, inked, new_image, tell

pytestmark = pytest.mark.timeout(180)


def column_run_lengths(x: int, y: int, width: int, height: int) -> list[int]:
    """The mask of a rectangle as COCO has it."""
    counts = [x * HEIGHT + y, height]
    for _ in range(width - 1):
        counts += [HEIGHT - height, height]
    return [*counts, WIDTH * HEIGHT - sum(counts)]


_WIDTH = "document.querySelector('.stage-picture').getBoundingClientRect().width"

OVERLAYS = {
    "box": ("bounding_box", {"bbox": [100, 80, 60, 40], "format": "xywh"}, (100, 100)),
    "corners": ("bounding_box", {"bbox": [100, 80, 160, 120], "format": "xyxy"}, (160, 100)),
    "x_min": ("bounding_box", {"x_min": 100, "y_min": 80, "x_max": 160, "y_max": 120}, (160, 100)),
    "polygon": (
        "segmentation",
        {"points": [[100, 80], [160, 80], [130, 140]], "format": "polygon"},
        (130, 80),
    ),
    "mask": (
        "segmentation",
        {"rle": {"counts": column_run_lengths(100, 80, 60, 40), "size": [HEIGHT, WIDTH]}},
        (130, 110),
    ),
    "keypoints": (
        "keypoint",
        {"keypoints": [{"name": "nose", "x": 130, "y": 100}, {"name": "eye", "x": 60, "y": 40}]},
        (130, 100),
    ),
}


@pytest.mark.parametrize("form", OVERLAYS)
async def test_every_form_is_drawn_where_it_lies(live: LiveServer, form: str) -> None:
    _, image = await new_image(live)
    kind, data, (x, y) = OVERLAYS[form]
    analysis = await begin(live, image)
    await tell(
        live,
        analysis,
        [{"annotationType": kind, "className": "it", "confidence": 0.8, "data": data}],
    )
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await expect(seen.page.locator(".finding")).to_have_count(1)
        await inked(seen.page, x, y)
        await blank(seen.page, 350, 250)
        await seen.page.get_by_role("checkbox", name="it", exact=False).last.uncheck()
        await blank(seen.page, x, y)


async def test_confidence_and_visibility_hide_what_is_drawn(live: LiveServer) -> None:
    _, image = await new_image(live)
    found = [box([20, 20, 50, 50], "boat", 0.95), box([200, 150, 60, 60], "buoy", 0.3)]
    await tell(live, await begin(live, image), found)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        rows = seen.page.locator(".finding")
        await expect(rows).to_have_count(2)
        await seen.page.get_by_label("At least").fill("50")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("boat")
        await expect(seen.page.locator(".analysis")).to_contain_text("1 of 2 shown")
        await seen.page.get_by_role("checkbox", name="Show yolo, version 1").uncheck()
        await expect(rows).to_have_count(0)
        await blank(seen.page, 20, 40)


async def test_scores_captions_and_metrics_are_read(live: LiveServer) -> None:
    _, image = await new_image(live)
    found: list[dict[str, Any]] = [
        {
            "annotationType": "classification",
            "className": "dog",
            "confidence": 0.96,
            "data": {"scores": {"dog": 0.96, "cat": 0.04}},
        },
        {"annotationType": "caption", "data": {"text": "<b>A dog</b> on a pier"}},
        {"annotationType": "metric", "data": {"name": "sharpness", "value": 12.5, "unit": "px"}},
    ]
    await tell(live, await begin(live, image), found)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        reading = seen.page.locator(".reading")
        await expect(reading).to_contain_text("96.0%")
        await expect(reading).to_contain_text("<b>A dog</b> on a pier")
        await expect(reading).to_contain_text("12.5 px")


async def test_a_pipeline_elsewhere_is_seen_while_it_works(live: LiveServer) -> None:
    _, image = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await expect(seen.page.locator(".stage-frame > .live")).to_have_text("Live")
        analysis = await begin(live, image)
        line = seen.page.locator(f"[data-analysis='{analysis}']")
        await expect(line).to_have_attribute("data-status", "PROCESSING")
        await tell(live, analysis, [box([100, 80, 60, 40])])
        await expect(line).to_have_attribute("data-status", "COMPLETED")
        await expect(line).to_contain_text("1 found")
        await inked(seen.page, 100, 100)


async def test_thousands_of_findings_come_in_parts(live: LiveServer) -> None:
    _, image = await new_image(live)
    analysis = await begin(live, image)
    add = "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }"
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        line = seen.page.locator(f"[data-analysis='{analysis}']")
        for part in range(4):
            found = [box([part * 90, 10 + n % 200, 5, 5], f"part {part}") for n in range(900)]
            await live.data(add, i={"analysisId": analysis, "annotations": found})
            await expect(line).to_contain_text(f"{900 * (part + 1):,} found")
        await expect(seen.page.locator(".section", has_text="Findings").first).to_contain_text(
            "3,600"
        )
        assert await seen.page.locator(".finding").count() < 40
        counts = await seen.page.locator(".class-line .number").all_inner_texts()
        assert counts == ["900"] * 4


async def test_what_happens_while_the_connection_is_lost_comes_with_it(live: LiveServer) -> None:
    _, image = await new_image(live)
    async with Proxy(live.port) as proxy, visit(proxy.url) as seen:
        await seen.go(f"#/images/{image}")
        badge = seen.page.locator(".stage-frame > .live")
        await expect(badge).to_have_text("Live")
        proxy.cut()
        await expect(badge).to_have_text("Offline")
        analysis = await begin(live, image)
        await tell(live, analysis, [box([100, 80, 60, 40])])
        proxy.mend()
        await expect(badge).to_have_text("Live")
        line = seen.page.locator(f"[data-analysis='{analysis}']")
        await expect(line).to_have_attribute("data-status", "COMPLETED")
        await expect(line).to_contain_text("1 found")
        # Whatever was under way when the connection was cut is said by the browser, too.
        cut = ("WebSocket", "net::ERR_")
        seen.complaints = [one for one in seen.complaints if not any(word in one for word in cut)]


async def test_a_page_that_was_overtaken_reads_anew_and_goes_on(live: LiveServer) -> None:
    _, image = await new_image(live)
    sockets: list[WebSocketRoute] = []
    asked: list[str] = []
    again = asyncio.Event()

    def connect(socket: WebSocketRoute) -> None:
        # Everything goes through to the real server; one line of ours is put in between.
        server = socket.connect_to_server()
        sockets.append(socket)

        def send(message: str | bytes) -> None:
            if '"subscribe"' in str(message):
                asked.append(str(message))
            if len(asked) > 1:
                again.set()
            server.send(message)

        socket.on_message(send)

    async with visit(live) as seen:
        await seen.page.route_web_socket("**/graphql", connect)
        await seen.go(f"#/images/{image}")
        badge = seen.page.locator(".stage-frame > .live")
        await expect(badge).to_have_text("Live")
        resync = {"kind": "RESYNC", "cursor": "0000000000000000", "status": None}
        payload = {"data": {"analysisEvents": resync}}
        sockets[0].send(json.dumps({"id": "1", "type": "next", "payload": payload}))
        await asyncio.wait_for(again.wait(), 10)
        assert json.loads(asked[1])["payload"]["variables"]["after"] != "0000000000000000"
        analysis = await begin(live, image)
        await tell(live, analysis, [box([100, 80, 60, 40])])
        line = seen.page.locator(f"[data-analysis='{analysis}']")
        await expect(line).to_have_attribute("data-status", "COMPLETED")


async def test_an_operation_is_run_from_the_page(live: LiveServer) -> None:
    _, image = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await seen.page.get_by_role("heading", name="Run an operation").click()
        await seen.page.get_by_label("Operation", exact=True).select_option("dominant_colors")
        await seen.page.get_by_label("Count").fill("2")
        await seen.page.get_by_role("button", name="Run", exact=True).click()
        line = seen.page.locator(".analysis", has_text="Dominant colors")
        await expect(line).to_have_attribute("data-status", "COMPLETED")
        await expect(seen.page.locator(".reading")).to_contain_text("#708090")
        asked = await live.data("{ analyses { nodes { parameters } } }")
        assert asked["analyses"]["nodes"][0]["parameters"]["count"] == 2


async def test_a_default_that_cannot_be_had_is_not_offered(live: LiveServer) -> None:
    _, image = await new_image(live)
    known = "{ operations { name defaultTarget availability { target available } } }"
    operations = (await live.data(known))["operations"]
    (boxes,) = (one for one in operations if one["name"] == "detect_bounding_box")
    here = [one["target"].lower() for one in boxes["availability"] if one["available"]]
    assert here and boxes["defaultTarget"].lower() not in here
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await seen.page.get_by_role("heading", name="Run an operation").click()
        choose = seen.page.get_by_label("Operation", exact=True)
        options = seen.page.get_by_label("Target").locator("option")
        for operation, values in (
            ("detect_bounding_box", here),
            ("dominant_colors", ["", "whole_image", *here]),
        ):
            await choose.select_option(operation)
            found = await options.evaluate_all("all => all.map((one) => one.value)")
            assert found == values


async def test_a_heatmap_is_laid_over_the_picture(live: LiveServer) -> None:
    dataset, _ = await new_image(live)
    stored = await live.upload(dataset, portrait(), "portrait.jpg")
    image = stored["data"]["uploadImage"]["id"]
    task = {"imageId": image, "tasks": [{"operation": "saliency"}]}
    await live.data("mutation($i: AnalyzeInput!) { analyze(input: $i) { id } }", i=task)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        line = seen.page.locator(".analysis")
        await expect(line).to_have_attribute("data-status", "COMPLETED")
        await seen.page.wait_for_function(
            "() => { const c = document.querySelector('.stage-overlay:not(.next)');"
            " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
            ".some((v, at) => at % 4 === 3 && v > 0); }"
        )


async def test_two_versions_are_compared(live: LiveServer) -> None:
    _, image = await new_image(live)
    one = [box([20, 20, 50, 50]), box([200, 150, 60, 60])]
    two = [box([22, 21, 50, 50]), box([300, 20, 40, 40])]
    await tell(live, await begin(live, image, version="1"), one)
    await tell(live, await begin(live, image, version="2"), two)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await seen.page.get_by_role("link", name="Compare").click()
        await expect(seen.page.locator(".stage")).to_have_count(2)
        legend = seen.page.locator(".legend")
        await expect(legend).to_have_text(re.compile("1 match1 only yolo 11 only yolo 2"))
        await expect(seen.page.locator(".figures")).to_contain_text("33.3%")
        await seen.page.get_by_role("button", name="Difference").click()
        await expect(seen.page.locator(".stage")).to_have_count(1)
        await seen.page.get_by_label("Least overlap").fill("95")
        await expect(legend).to_contain_text("0 matches")


async def test_keys_move_zoom_and_select(live: LiveServer) -> None:
    _, image = await new_image(live)
    await tell(live, await begin(live, image), [box([20, 20, 50, 50]), box([200, 150, 60, 60])])
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        stage = seen.page.get_by_role("application")
        fitted = await seen.page.evaluate(_WIDTH)

        async def grown(factor: float) -> None:
            wanted = [fitted * factor]
            await seen.page.wait_for_function(
                f"([wide]) => Math.abs(({_WIDTH}) - wide) < 0.5", arg=wanted
            )

        await stage.press("ArrowRight")
        await stage.press("+")
        await grown(1.25)
        await stage.press("0")
        await grown(1)
        await stage.press("z")
        await grown(WIDTH / fitted)
        await stage.press("0")
        await grown(1)
        findings = seen.page.get_by_role("listbox", name="Findings")
        await findings.press("End")
        await expect(findings.get_by_role("option", selected=True)).to_have_id("finding-1")
        await findings.press("Enter")
        await seen.page.wait_for_function(f"([wide]) => ({_WIDTH}) > wide + 1", arg=[fitted])


async def test_exports_can_be_fetched(live: LiveServer) -> None:
    _, image = await new_image(live)
    await tell(live, await begin(live, image), [box([20, 20, 50, 50])])
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await seen.page.locator(".page-tools summary").click()
        for form in ("JSON", "CSV", "COCO"):
            link = seen.page.locator(".page-tools").get_by_role("link", name=form, exact=True)
            answer = await live.client.get(str(await link.get_attribute("href")))
            assert answer.status_code == 200 and b"boat" in answer.content
