"""Long lists on the pages: images by the server's filters, far ones, an image's older analyses."""

import re

import pytest
from playwright.async_api import expect

from bench.viewer_images import copy_image
from opsin.settings import Settings
from tests.conftest import LiveServer
from tests.pictures import portrait
from tests.web.browser import visit
from tests.web.seeing import begin, blank, box, inked, new_image, picture, tell

pytestmark = pytest.mark.timeout(240)

MANY = 3_000  # images; more than the pages that are passed over at once


async def test_images_are_looked_for_by_what_was_found_in_them(live: LiveServer) -> None:
    dataset, boat = await new_image(live, "one boat.png")
    other = await live.upload(dataset, picture("#336699"), "100%_sure.png")
    buoy = other["data"]["uploadImage"]["id"]
    await live.upload(dataset, picture("#996633"), "empty.png")
    await tell(live, await begin(live, boat), [box([20, 20, 50, 50], "boat", 0.95)])
    await tell(live, await begin(live, buoy, "segmenter"), [box([20, 20, 50, 50], "buoy", 0.4)])
    await begin(live, buoy, "slow model")
    async with visit(live) as seen:
        page = seen.page
        tiles = page.locator(".tile-name")
        await seen.go(f"#/datasets/{dataset}")
        await expect(tiles).to_have_count(3)
        search = page.get_by_label("Search by file name")
        await search.fill("%_S")
        await expect(tiles).to_have_text(["100%_sure.png"])
        await search.fill("")
        await expect(tiles).to_have_count(3)
        await page.get_by_label("Status of an analysis").select_option("PROCESSING")
        await expect(tiles).to_have_text(["100%_sure.png"])
        await page.get_by_role("button", name="Clear filters").click()
        await page.locator(".more-filters summary").click()
        for label, text, expected in (
            ("Operation or model", "segmenter", ["100%_sure.png"]),
            ("Found class", "boat", ["one boat.png"]),
            ("Confidence at least, in percent", "90", ["one boat.png"]),
            ("Taken in on or after", "2999-01-01", []),
            ("Taken in on or before", "2001-01-01", []),
            ("Metadata key", "nothing such", []),
        ):
            field = page.get_by_label(label, exact=True)
            await field.fill(text)
            await expect(tiles).to_have_text(expected)
            await field.fill("")
            await field.dispatch_event("change")
            await field.dispatch_event("input")
            await expect(tiles).to_have_count(3)
        # What one looks for belongs to the address: going back finds it again.
        await page.get_by_label("Found class").fill("boat")
        await expect(tiles).to_have_count(1)
        await page.keyboard.press("Escape")
        await page.locator(".tile").click()
        await expect(page.get_by_role("heading", name="one boat.png")).to_be_visible()
        await page.go_back()
        await expect(tiles).to_have_text(["one boat.png"])
        await expect(page.locator(".more-filters .count-note")).to_have_text("1")


async def test_the_next_image_is_the_next_of_those_looked_for(live: LiveServer) -> None:
    dataset, _ = await new_image(live, "boat 1.png")
    for name, color in (("pier.png", "#111111"), ("boat 2.png", "#222222"), ("sky.png", "#333333")):
        await live.upload(dataset, picture(color), name)
    async with visit(live) as seen:
        page = seen.page
        await seen.go(f"#/datasets/{dataset}?name=boat")
        await expect(page.locator(".tile-name")).to_have_text(["boat 1.png", "boat 2.png"])
        await page.get_by_label("Order").select_option("newest")
        await expect(page.locator(".tile-name")).to_have_text(["boat 2.png", "boat 1.png"])
        await page.locator(".tile").last.click()
        await expect(page.get_by_role("heading", name="boat 1.png")).to_be_visible()
        await expect(page.get_by_role("button", name="Previous image")).to_be_disabled()
        following = page.get_by_role("button", name="Next image")
        await expect(following).to_be_enabled()
        await page.keyboard.press("]")
        await expect(page.get_by_role("heading", name="boat 2.png")).to_be_visible()
        await expect(page.get_by_role("button", name="Previous image")).to_be_enabled()
        await expect(following).to_be_disabled()
        # In a window of its own nothing was looked for: all images are next to each other.
        await page.reload()
        await expect(following).to_be_enabled()
        await following.click()
        await expect(page.get_by_role("heading", name="sky.png")).to_be_visible()


async def test_a_new_image_of_somebody_else_appears(live: LiveServer) -> None:
    dataset, _ = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/datasets/{dataset}")
        await expect(seen.page.locator(".live")).to_have_text("Live")
        await live.upload(dataset, picture("#227722"), "elsewhere.png")
        await expect(seen.page.locator(".tile-name")).to_have_text(["plain.png", "elsewhere.png"])
        await expect(seen.page.locator(".tally")).to_have_text("2 images")


async def test_a_tile_holds_a_picture_that_is_higher_than_wide(live: LiveServer) -> None:
    dataset, _ = await new_image(live)
    await live.upload(dataset, portrait(), "portrait.jpg")
    async with visit(live) as seen:
        await seen.go(f"#/datasets/{dataset}")
        tile = seen.page.locator(".tile", has_text="portrait.jpg")
        await seen.page.wait_for_function(
            "() => [...document.querySelectorAll('.tile img')].every((one) => one.naturalWidth)"
        )
        inside = await tile.locator("img").bounding_box()
        words = await tile.locator(".tile-text").bounding_box()
        assert inside and words
        assert inside["height"] > 20
        assert inside["y"] + inside["height"] <= words["y"] + 1


async def test_far_images_are_read_where_one_looks(live: LiveServer, settings: Settings) -> None:
    dataset, image = await new_image(live)
    copy_image(settings.data_dir / "opsin.sqlite3", image, MANY - 1)
    asked: list[str] = []
    async with visit(live) as seen:
        page = seen.page
        page.on("request", lambda request: asked.append(request.post_data or ""))
        await seen.go(f"#/datasets/{dataset}")
        await expect(page.locator(".tally")).to_have_text("3,000 images")
        assert await page.locator(".virtual-tile").count() < 80
        scroller = page.locator(".scroller")
        await scroller.evaluate("one => { one.scrollTop = one.scrollHeight; }")
        last = page.locator(".virtual-tile[aria-posinset='3000'] .tile-name")
        await expect(last).to_have_text(f"copy_{MANY - 2:06}.jpg")
        # On the way there, what was passed over was not read.
        pages = [one for one in asked if "query Images(" in one]
        assert len(pages) <= 5 and any("query SkipImages(" in one for one in asked)
        await scroller.evaluate("one => { one.scrollTop = one.scrollHeight / 2; }")
        await expect(page.locator(".tile.pending")).to_have_count(0)
        name = page.locator(".virtual-tile[aria-posinset='1500'] .tile-name")
        await expect(name).to_have_text("copy_001498.jpg")
        # Whoever comes back from an image is where they were.
        await page.locator(".virtual-tile[aria-posinset='1500'] a").click()
        await expect(page.get_by_role("heading", name="copy_001498.jpg")).to_be_visible()
        await page.go_back()
        await expect(name).to_have_text("copy_001498.jpg")
        await expect(page.locator(".virtual-tile[aria-posinset='1500'] a")).to_be_in_viewport()
        await page.locator(".virtual-tile[aria-posinset='1500'] a").focus()
        await page.keyboard.press("Home")
        await expect(page.locator(".tile:focus")).to_contain_text("plain.png")
        await page.keyboard.press("End")
        await expect(page.locator(".tile:focus")).to_contain_text(re.compile("copy_002998"))
        assert await page.locator(".virtual-tile").count() < 80


async def test_older_analyses_come_when_they_are_asked_for(live: LiveServer) -> None:
    _, image = await new_image(live)
    for version in range(25):
        found = [box([10.0 + 14 * version, 100, 10, 10])]
        await tell(live, await begin(live, image, version=str(version)), found)
    async with visit(live) as seen:
        page = seen.page
        await seen.go(f"#/images/{image}")
        await expect(page.locator(".analysis")).to_have_count(20)
        await blank(page, 10, 105)
        await page.get_by_role("button", name="Show older analyses (5)").click()
        await expect(page.locator(".analysis")).to_have_count(25)
        await expect(page.get_by_role("button", name="Show older analyses")).to_have_count(0)
        oldest = page.get_by_role("checkbox", name="Show yolo, version 0", exact=True)
        await expect(oldest).not_to_be_checked()
        await blank(page, 10, 105)
        await oldest.check()
        await inked(page, 10, 105)
        await expect(page.locator(".analysis").last).to_contain_text("version 0")


async def test_an_old_analysis_can_be_compared(live: LiveServer) -> None:
    _, image = await new_image(live)
    made = []
    for version in range(23):
        made.append(await begin(live, image, version=str(version)))
        await tell(live, made[-1], [box([20.0 + version, 20, 50, 50])])
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}/compare?with={made[0]},{made[-1]}")
        legend = seen.page.locator(".legend")
        await expect(legend).to_contain_text("only yolo 0")
        await expect(legend).to_contain_text("only yolo 22")
        await seen.page.get_by_role("button", name="Show older analyses").click()
        await expect(seen.page.locator(".picker .class-line")).to_have_count(23)
        name = seen.page.get_by_text("yolo 1", exact=True)
        second = seen.page.locator(".picker .class-line").filter(has=name)
        await second.get_by_role("checkbox").check()
        await expect(seen.page.locator(".pane")).to_have_count(3)
        await expect(seen.page.locator(".pane").last).to_contain_text("1 finding")


async def test_many_datasets_come_in_parts_and_are_searched_by_the_server(
    live: LiveServer,
) -> None:
    for number in range(103):
        await live.data(
            "mutation($n: String!) { createDataset(input: {name: $n}) { id } }",
            n=f"Survey {number:03}",
        )
    async with visit(live) as seen:
        page = seen.page
        await seen.go("")
        await expect(page.locator(".card")).to_have_count(100)
        await page.get_by_label("Search datasets").fill("SURVEY 102")
        await expect(page.locator(".card")).to_have_count(1)
        await page.get_by_label("Search datasets").fill("")
        await expect(page.locator(".card")).to_have_count(100)
        await page.get_by_role("button", name="Show more").click()
        await expect(page.locator(".card")).to_have_count(103)
        await expect(page.get_by_role("button", name="Show more")).to_have_count(0)
