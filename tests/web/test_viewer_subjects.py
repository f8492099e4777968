"""Applications, retention, subjects, histories and measures on the pages, of a real face."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import Page, expect

from tests.conftest import LiveServer
from tests.core.working import until
from tests.pictures import portrait
from tests.web.browser import visit
from tests.web.test_viewer_pipeline import keep

pytestmark = pytest.mark.timeout(240)

WIDTH, HEIGHT = 1024, 1200
STEPS = ["face_areas", "skin_redness", "skin_tone", "skin_pigmentation"]
ATTACH = "mutation($i: AttachApplicationInput!) { attachApplication(input: $i) { id } }"
DATASET = """query($id: ID!) { dataset(id: $id) {
  retention { expireFilesAfterDays expireResultsAfterDays deleteFilesWhenReady }
  applications { nodes { id isEnabled steps application { name } } }
  subjects { nodes { id name birthDate sex } } } }"""
FOUND = """query($id: ID!) { image(id: $id) { takenAt analyses { nodes { operation status
  annotations(first: 500) { nodes { annotationType className data } } } } } }"""

# Pixels of the overlay that are painted, in a part of the picture: x, y, width, height, its width.
_PAINTED = """([x, y, width, height, wide]) => {
  const canvas = document.querySelector('.stage-overlay:not(.next)');
  const picture = document.querySelector('.stage-picture').getBoundingClientRect();
  const own = canvas.getBoundingClientRect();
  const [scale, ratio] = [picture.width / wide, canvas.width / own.width];
  const place = [(picture.left - own.left + x * scale) * ratio,
    (picture.top - own.top + y * scale) * ratio, width * scale * ratio, height * scale * ratio];
  const {data} = canvas.getContext('2d').getImageData(...place);
  return data.filter((level, at) => at % 4 === 3 && level > 20).length;
}"""


def face(light: float = 1.0) -> bytes:
    """The portrait, so large that every measure has pixels enough, in more or less light."""
    with Image.open(io.BytesIO(portrait())) as image:
        large = image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.clip(np.asarray(large, float) * light, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


async def new_dataset(live: LiveServer) -> str:
    made = await live.data(
        "mutation($i: CreateDatasetInput!) { createDataset(input: $i) { id } }",
        i={"name": "Skin study", "imageType": "selfie"},
    )
    identity: str = made["createDataset"]["id"]
    return identity


async def application(live: LiveServer) -> str:
    known = await live.data("{ applications { id name } }")
    (found,) = [one["id"] for one in known["applications"] if one["name"] == "face_skin"]
    identity: str = found
    return identity


async def add(live: LiveServer, dataset: str, subject: str, taken: str, picture: bytes) -> str:
    """An image of a subject, taken then; gives its id."""
    given = {"datasetId": dataset, "subjectId": subject, "takenAt": taken}
    made = await live.data(
        "mutation($i: ImportImageInput!) { importImage(input: $i) { id } }",
        i={**given, "base64": encoded(picture), "filename": f"{taken[:10]}.jpg"},
    )
    identity: str = made["importImage"]["id"]
    return identity


def encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


async def measured(live: LiveServer, image: str, count: int = len(STEPS)) -> dict[str, Any]:
    """What was found in an image by operation, once all of it is there."""
    found: dict[str, Any] = {}

    async def is_done() -> bool:
        image_found = (await live.data(FOUND, id=image))["image"]["analyses"]["nodes"]
        found.update({one["operation"]: one for one in image_found})
        return len(image_found) == count and all(
            one["status"] == "COMPLETED" for one in image_found
        )

    await until(is_done, 120)
    return found


async def study(live: LiveServer) -> tuple[str, str, list[str]]:
    """A dataset with an application, a subject, and three pictures of it."""
    dataset = await new_dataset(live)
    given = {"applicationId": await application(live), "datasetId": dataset, "steps": STEPS}
    await live.data(ATTACH, i=given)
    made = await live.data(
        "mutation($i: CreateSubjectInput!) { createSubject(input: $i) { id } }",
        i={"datasetId": dataset, "name": "Grace", "birthDate": "1906-12-09", "sex": "female"},
    )
    subject = made["createSubject"]["id"]
    days = ("2026-03-01", "2026-03-05", "2026-03-09")
    lights = (0.94, 1.0, 1.05)
    images = [
        await add(live, dataset, subject, f"{day}T10:00:00Z", face(light))
        for day, light in zip(days, lights, strict=True)
    ]
    for image in images:
        await measured(live, image)
    return dataset, subject, images


async def painted(page: Page, part: list[float]) -> int:
    found: int = await page.evaluate(_PAINTED, [*part, WIDTH])
    return found


async def test_an_application_is_attached_changed_and_detached(live: LiveServer) -> None:
    dataset = await new_dataset(live)
    async with visit(live) as seen:
        page = seen.page
        await seen.go(f"#/datasets/{dataset}")
        await page.get_by_role("link", name="Applications").click()
        await expect(page.get_by_text("None yet.")).to_be_visible()
        await page.get_by_role("button", name="Attach an application").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Application", exact=True).select_option(label="Face and skin")
        for step in ("Skin pores", "Skin lines"):
            await dialog.get_by_label(step, exact=True).uncheck()
        # What the others need is not left out unsaid.
        await dialog.get_by_label("Face areas", exact=True).uncheck()
        await expect(dialog).to_contain_text("8 other steps will fail without it")
        await dialog.get_by_label("Skin redness", exact=True).uncheck()
        await dialog.get_by_label("Skin redness", exact=True).check()
        await expect(dialog.get_by_label("Face areas", exact=True)).to_be_checked()
        await dialog.get_by_role("button", name="Attach").click()
        run = page.locator(".run").filter(has_text="Face and skin")
        await expect(run).to_contain_text("attached")
        (attached,) = (await live.data(DATASET, id=dataset))["dataset"]["applications"]["nodes"]
        assert attached["isEnabled"] and len(attached["steps"]) == 9
        assert not {"skin_pores", "skin_lines"} & set(attached["steps"])

        await run.get_by_role("button", name="Steps of Face and skin").click()
        await expect(dialog.get_by_label("Skin pores", exact=True)).not_to_be_checked()
        await dialog.get_by_label("Skin pores", exact=True).check()
        await dialog.get_by_role("button", name="Save").click()
        await expect(dialog).to_be_hidden()
        (changed,) = (await live.data(DATASET, id=dataset))["dataset"]["applications"]["nodes"]
        assert changed["id"] == attached["id"] and "skin_pores" in changed["steps"]

        await run.get_by_role("button", name="Detach Face and skin").click()
        await dialog.get_by_role("button", name="Detach").click()
        await expect(run).to_contain_text("detached")
        (ended,) = (await live.data(DATASET, id=dataset))["dataset"]["applications"]["nodes"]
        assert ended["id"] == attached["id"] and not ended["isEnabled"]


async def test_retention_is_set_and_taken_back(live: LiveServer) -> None:
    dataset = await new_dataset(live)

    async def kept() -> Any:
        return (await live.data(DATASET, id=dataset))["dataset"]["retention"]

    async with visit(live) as seen:
        page = seen.page
        await seen.go(f"#/datasets/{dataset}/applications")
        files = page.get_by_label("Delete the files of pictures after")
        await files.fill("30")
        await page.get_by_label("as soon as all applications").check()
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        assert await kept() == {
            "expireFilesAfterDays": 30,
            "expireResultsAfterDays": None,
            "deleteFilesWhenReady": True,
        }
        await seen.go(f"#/datasets/{dataset}/about")
        await seen.go(f"#/datasets/{dataset}/applications")
        await expect(files).to_have_value("30")
        await files.fill("400")  # the browser itself refuses what the server would
        await page.get_by_role("button", name="Save").click()
        assert (await kept())["expireFilesAfterDays"] == 30
        await files.fill("")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        assert (await kept())["expireFilesAfterDays"] is None


async def test_subjects_are_made_found_and_changed(live: LiveServer) -> None:
    dataset = await new_dataset(live)
    async with visit(live) as seen:
        page = seen.page
        await seen.go(f"#/datasets/{dataset}/subjects")
        await expect(page.get_by_text("No subjects yet.")).to_be_visible()
        for name in ("Ada", "Grace <b>Hopper</b>"):
            await seen.go(f"#/datasets/{dataset}/subjects")
            await page.get_by_role("button", name="New subject").click()
            await page.get_by_label("Name", exact=True).fill(name)
            await page.get_by_label("Sex").select_option("female")
            await page.get_by_role("button", name="Make it").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text(name)
        await page.get_by_role("button", name="Change").click()
        await page.get_by_label("Day of birth").fill("1906-12-09")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("born 9 Dec 1906")).to_be_visible()
        await seen.go(f"#/datasets/{dataset}/subjects")
        await page.get_by_label("Search subjects by name").fill("hopp")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody")).to_contain_text("Grace <b>Hopper</b>")
        stored = (await live.data(DATASET, id=dataset))["dataset"]["subjects"]["nodes"]
        assert stored[1]["birthDate"] == "1906-12-09" and stored[0]["sex"] == "female"
        await page.get_by_role("link", name="Grace").click()
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody")).to_contain_text("Ada")


async def test_measures_are_read_and_shown_over_the_face(live: LiveServer) -> None:
    _, _, images = await study(live)
    found = await measured(live, images[-1])
    redness = found["skin_redness"]["annotations"]["nodes"]
    places = [one["data"]["polygons"][0] for one in redness if "polygons" in one["data"]]
    metrics = {
        one["data"]["name"]: one["data"] for one in redness if one["annotationType"] == "metric"
    }
    corners = places[0]
    left, top = min(corners[::2]), min(corners[1::2])
    part = [left, top, max(corners[::2]) - left + 1, max(corners[1::2]) - top + 1]
    for shade in ("light", "dark"):
        async with visit(live, dark=shade == "dark") as seen:
            page = seen.page
            await seen.go(f"#/images/{images[-1]}")
            await expect(page.get_by_text("Front · regular light")).to_be_visible()
            await expect(page.locator(".measure")).to_have_count(3)
            line = page.locator(".measure").filter(has_text="Redness")
            score = round(metrics["face.redness"]["score"])
            await expect(line.locator("summary")).to_contain_text(str(score))
            toggle = page.get_by_label("Show where: Redness")
            await expect(toggle).to_be_checked()  # of a run's places, one measure's are shown
            await expect(page.get_by_label("Show where: Pigmentation")).not_to_be_checked()
            await expect(page.get_by_label("Show where: Tone")).to_be_disabled()
            await page.wait_for_function(f"(part) => ({_PAINTED})(part) > 20", arg=[*part, WIDTH])
            assert await painted(page, [10, 900, 60, 60]) == 0  # where no face is
            await keep(page, f"measures-{shade}")
            await toggle.uncheck()
            await page.wait_for_function(f"(part) => ({_PAINTED})(part) === 0", arg=[*part, WIDTH])
            await page.get_by_label("Show where: Pigmentation").check()
            await line.locator("summary").click()
            table = line.get_by_role("table")
            await expect(table.get_by_role("row")).to_have_count(
                1 + len({name.partition(".")[0] for name in metrics})
            )
            nose = table.get_by_role("row").filter(has_text="Nose")
            await expect(nose).to_contain_text(str(round(metrics["nose.redness"]["score"])))
            await keep(page, f"measures-areas-{shade}")
            report = page.get_by_role("link", name="Report")
            address = await report.get_attribute("href")
            answer = await live.client.get(str(address))
            assert answer.headers["content-type"] == "application/pdf"


async def test_a_history_is_drawn_told_and_smoothed(live: LiveServer) -> None:
    dataset, subject, images = await study(live)
    scores = []
    for image in images:
        nodes = (await measured(live, image))["skin_redness"]["annotations"]["nodes"]
        main = next(one for one in nodes if one["annotationType"] == "metric")
        scores.append(main["data"]["score"])
    async with visit(live) as seen:
        page = seen.page
        await seen.go(f"#/datasets/{dataset}/subjects")
        await page.get_by_role("link", name="Grace").click()
        await expect(page.get_by_text("born 9 Dec 1906 · female · 3 images")).to_be_visible()
        chart = page.get_by_role("img", name="Redness, score: 3 values")
        await expect(chart.locator("circle")).to_have_count(3)
        points = await chart.locator("circle").all()
        heights = [float(str(await one.get_attribute("cy"))) for one in points]
        assert np.argsort(heights).tolist() == np.argsort([-score for score in scores]).tolist()
        figure = page.locator(".history-figure").filter(has_text="Redness")
        mean = round(sum(scores) / 3)
        await expect(figure).to_contain_text(f"smoothed {mean}, of 3 images")
        await page.get_by_label("over", exact=True).fill("5")
        await expect(figure).to_contain_text(f"smoothed {round(sum(scores[1:]) / 2)}, of 2 images")
        await page.get_by_label("over", exact=True).fill("0")
        await expect(page.get_by_role("alert").first).to_contain_text("1 to 365 days")
        await page.get_by_label("over", exact=True).fill("14")
        await page.get_by_label("Smoothed by").select_option("LINEAR_APPROXIMATION")
        line = float(np.polyfit([-8, -4, 0], scores, 1)[1])
        await expect(figure).to_contain_text(f"smoothed {round(min(max(line, 0), 100))}, of 3")
        await figure.locator("summary").click()
        await expect(figure.locator("tbody tr")).to_have_count(3)
        await expect(figure.locator("tbody tr").first).to_contain_text("9 Mar 2026")
        # Another picture comes while the page is open.
        later = await add(live, dataset, subject, "2026-03-11T10:00:00Z", face(0.9))
        await measured(live, later)
        await expect(page.get_by_role("img", name="Redness, score: 4 values")).to_be_visible()
        await keep(page, "history")
        await page.locator(".shot").first.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("2026-03-11.jpg")
        await expect(page.get_by_role("link", name="Grace")).to_be_visible()


async def test_a_picture_whose_file_is_gone_keeps_what_was_found(live: LiveServer) -> None:
    dataset, subject, images = await study(live)
    await live.data(
        "mutation($i: SubjectsInput!) { deleteSubjectFiles(input: $i) { __typename } }",
        i={"datasetId": dataset, "ids": [subject]},
    )
    async with visit(live) as seen:  # which fails if a file is asked for in vain
        page = seen.page
        for path in ("", f"#/datasets/{dataset}/subjects"):
            await seen.go(path)
            await expect(page.locator("main img")).to_have_count(0)
        await seen.go(f"#/datasets/{dataset}")
        await expect(page.locator(".tile").get_by_text("file deleted")).to_have_count(3)
        await seen.go(f"#/subjects/{subject}")
        await expect(page.locator(".shot").get_by_text("file deleted")).to_have_count(3)
        await expect(page.get_by_role("img", name="Redness, score: 3 values")).to_be_visible()
        await seen.go(f"#/images/{images[0]}")
        await expect(page.get_by_text("The file of this picture has been deleted")).to_be_visible()
        await expect(page.locator(".measure")).to_have_count(3)
