"""What people add on the pages: classes, comments, metadata, deletion; images found by likeness."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Request, expect

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.core.colour_plugin import SOURCE
from tests.web.browser import visit
from tests.web.seeing import new_image, picture

pytestmark = pytest.mark.timeout(180)

CLASSES = ("busy", "calm", "reject")


@pytest.fixture
async def with_colours(settings: Settings) -> AsyncIterator[LiveServer]:
    """A server with an operation that embeds pictures and texts by their colour."""
    working = settings.model_copy(update={"worker": True})
    async with serve(working, more_plugins=[SOURCE]) as live:
        yield live


async def more_images(live: LiveServer, dataset: str, count: int) -> list[str]:
    stored = [
        await live.upload(dataset, picture(f"#40{at:02x}90"), f"{at}.png") for at in range(count)
    ]
    return [answer["data"]["uploadImage"]["id"] for answer in stored]


async def classes_of(live: LiveServer, dataset: str) -> None:
    for name in CLASSES:
        await live.data(
            "mutation($i: CreateImageClassInput!) { createImageClass(input: $i) { id } }",
            i={"datasetId": dataset, "name": name},
        )


async def given(live: LiveServer, image: str) -> list[str]:
    asked = await live.data(
        "query($id: ID!) { image(id: $id) { classifications { nodes { imageClass { name } } } } }",
        id=image,
    )
    return [one["imageClass"]["name"] for one in asked["image"]["classifications"]["nodes"]]


async def test_the_first_class_has_its_key_at_once(live: LiveServer) -> None:
    dataset, image = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await seen.page.get_by_role("heading", name="Classes", exact=True).click()
        await expect(seen.page.get_by_text("No classes yet")).to_be_visible()
        await expect(seen.page.get_by_label("Go on to the next image")).to_be_hidden()
        for _ in range(2):  # the second of this name is one too many
            await seen.page.get_by_label("Name of a new class").fill("calm")
            await seen.page.get_by_role("button", name="Add", exact=True).click()
            await expect(seen.page.locator(".class-key")).to_have_count(1)
        await expect(seen.page.get_by_role("status").last).to_contain_text("calm already")
        await expect(seen.page.get_by_text("No classes yet")).to_be_hidden()
        await expect(seen.page.get_by_label("Go on to the next image")).to_be_visible()
        await expect(seen.page.locator(".class-key")).to_have_count(1)
        await seen.page.locator(".stage").press("1")
        await expect(seen.page.locator(".class-key")).to_have_attribute("aria-pressed", "true")
        assert await given(live, image) == ["calm"]
        known = "query($id: ID!) { dataset(id: $id) { classes { totalCount } } }"
        asked = await live.data(known, id=dataset)
        assert asked["dataset"]["classes"]["totalCount"] == 1


async def test_a_key_gives_a_class_and_takes_it_back(live: LiveServer) -> None:
    dataset, image = await new_image(live)
    await classes_of(live, dataset)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        calm = seen.page.get_by_role("group", name="Classes of this image").get_by_role(
            "button", name="calm"
        )
        await seen.page.keyboard.press("2")
        await expect(calm).to_have_attribute("aria-pressed", "true")
        assert await given(live, image) == ["calm"]
        await calm.click()
        await expect(calm).to_have_attribute("aria-pressed", "false")
        assert await given(live, image) == []
        # What is typed into a field is no classification.
        await seen.page.get_by_label("Name of a new class").fill("")
        await seen.page.get_by_label("Name of a new class").press_sequentially("3 masts")
        await seen.page.get_by_role("button", name="Add", exact=True).click()
        await expect(seen.page.get_by_role("button", name="3 masts")).to_be_visible()
        assert await given(live, image) == []
        await seen.page.locator(".stage").press("4")
        await expect(seen.page.get_by_role("button", name="3 masts")).to_have_attribute(
            "aria-pressed", "true"
        )


async def test_quick_presses_never_give_twice(live: LiveServer) -> None:
    dataset, image = await new_image(live)
    await classes_of(live, dataset)
    done = asyncio.Queue[None]()

    def finished(request: Request) -> None:
        if "query Classifications(" in (request.post_data or ""):
            done.put_nowait(None)

    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        seen.page.on("requestfinished", finished)
        for _ in range(3):
            await seen.page.keyboard.press("1")
        for _ in range(3):
            await asyncio.wait_for(done.get(), 15)
        await expect(seen.page.locator(".class-key").first).to_have_attribute(
            "aria-pressed", "true"
        )
        assert await given(live, image) == ["busy"]


async def test_one_key_after_the_other_classifies_a_dataset(live: LiveServer) -> None:
    dataset, first = await new_image(live)
    images = [first, *await more_images(live, dataset, 2)]
    await classes_of(live, dataset)
    async with visit(live) as seen:
        await seen.go(f"#/images/{first}")
        await seen.page.get_by_label("Go on to the next image").check()
        for key, image in zip("132", images, strict=True):
            await expect(seen.page).to_have_url(re.compile(image))
            await expect(seen.page.locator(".class-key")).to_have_count(3)
            following = seen.page.get_by_role("button", name="Next image")
            await expect(following).to_be_enabled(enabled=image != images[-1])
            await seen.page.keyboard.press(key)
        await expect(seen.page.get_by_role("button", name="calm")).to_have_attribute(
            "aria-pressed", "true"
        )
        found = [await given(live, image) for image in images]
        assert found == [["busy"], ["reject"], ["calm"]]
        await seen.go(f"#/datasets/{dataset}")
        await expect(seen.page.locator(".tile-classes")).to_have_text(["busy", "reject", "calm"])
        await seen.page.get_by_label("Class of the image").select_option("reject")
        await expect(seen.page.locator(".tile")).to_have_count(1)
        await expect(seen.page.locator(".tally")).to_have_text("1 image found")


async def test_classes_are_made_changed_and_deleted(live: LiveServer) -> None:
    dataset, image = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/datasets/{dataset}/about")
        await seen.page.get_by_label("Name", exact=True).fill("busy")
        await seen.page.get_by_label("Description", exact=True).fill("many boats")
        await seen.page.get_by_role("button", name="Add class").click()
        await expect(seen.page.locator(".class-list li")).to_contain_text("many boats")
        await seen.page.get_by_role("button", name="Change busy").click()
        dialog = seen.page.get_by_role("dialog")
        await dialog.get_by_label("Name").fill("very busy")
        await dialog.get_by_role("button", name="Save").click()
        await expect(seen.page.locator(".class-list li")).to_contain_text("very busy")
        await seen.go(f"#/images/{image}")
        await seen.page.keyboard.press("1")
        await expect(seen.page.locator(".class-key")).to_have_attribute("aria-pressed", "true")
        await seen.go(f"#/datasets/{dataset}/about")
        await seen.page.get_by_role("button", name="Delete very busy").click()
        await seen.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("in use")
        await expect(seen.page.locator(".class-list li")).to_have_count(1)


async def test_comments_are_written_changed_and_deleted(live: LiveServer) -> None:
    _, image = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/images/{image}")
        await seen.page.get_by_text("Comments", exact=True).click()
        await seen.page.get_by_label("A comment").fill("First line\nand a second")
        await seen.page.get_by_label("A comment").press("Control+Enter")
        comment = seen.page.locator(".comment")
        await expect(comment).to_contain_text("First line\nand a second")
        await comment.get_by_role("button", name="Edit").click()
        await seen.page.get_by_label("Your comment").fill("Better so")
        await seen.page.get_by_role("button", name="Save").click()
        await expect(comment).to_contain_text("changed")
        await expect(comment).to_contain_text("Better so")
        await seen.page.reload()
        await expect(comment).to_contain_text("Better so")
        await comment.get_by_role("button", name="Delete").click()
        await seen.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(comment).to_have_count(0)


@pytest.mark.parametrize("of", ["image", "dataset"])
async def test_metadata_is_set_changed_and_removed(live: LiveServer, of: str) -> None:
    dataset, image = await new_image(live)
    async with visit(live) as seen:
        if of == "image":
            await seen.go(f"#/images/{image}")
            await seen.page.get_by_text("Metadata", exact=True).click()
        else:
            await seen.go(f"#/datasets/{dataset}/about")
        key, value = (
            seen.page.get_by_label("Metadata key"),
            seen.page.get_by_label("Metadata value"),
        )
        for name, text in (("tide", "2.5"), ("site", "north pier"), ("tide", '{"high": true}')):
            await key.fill(name)
            await value.fill(text)
            await seen.page.get_by_role("button", name="Set").click()
            await expect(key).to_have_value("")
        await expect(seen.page.locator(".metadata > div")).to_have_count(2)
        await seen.page.get_by_role("button", name="Remove site").click()
        await expect(seen.page.locator(".metadata > div")).to_have_count(1)
        asked = await live.data(
            "query($d: ID!, $i: ID!) { dataset(id: $d) { metadata } image(id: $i) { metadata } }",
            d=dataset,
            i=image,
        )
        assert asked[of]["metadata"] == {"tide": {"high": True}}


async def test_an_image_is_deleted_restored_and_deleted_for_good(live: LiveServer) -> None:
    dataset, image = await new_image(live, "blurred.png")
    await more_images(live, dataset, 1)
    async with visit(live) as seen:
        page = seen.page
        await seen.go(f"#/images/{image}")
        await page.get_by_text("Details", exact=True).click()
        await page.get_by_role("button", name="Delete image").click()
        await page.get_by_label("Reason").fill("bad")
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("alert")).to_contain_text("at least")
        await page.get_by_label("Reason").fill("blurred, taken by mistake")
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.locator(".tile")).to_have_count(1)
        await page.locator(".more-filters summary").click()
        await page.get_by_label("Deleted images").select_option("ONLY")
        await expect(page.locator(".tile.deleted")).to_contain_text("blurred.png")
        await page.keyboard.press("Escape")
        await page.locator(".tile").click()
        await expect(page.locator(".banner")).to_contain_text("blurred, taken by mistake")
        await page.get_by_role("button", name="Restore").click()
        await expect(page.locator(".banner")).to_have_count(0)
        await expect(page.get_by_role("heading", name="blurred.png")).to_be_visible()
        await page.get_by_text("Details", exact=True).click()
        await page.get_by_role("button", name="Delete image").click()
        await page.get_by_label("Reason").fill("blurred after all, really")
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.locator(".tile")).to_have_count(1)
        await seen.go(f"#/images/{image}")
        await page.get_by_role("button", name="Delete for good").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
        await expect(page.locator(".tile")).to_have_count(1)
        await seen.go(f"#/datasets/{dataset}/about")
        await expect(page.locator("tbody tr")).to_have_count(4)
        gone = await live.data(
            "query($id: ID!) { image(id: $id, deleted: INCLUDED) { id } }", id=image
        )
        assert gone["image"] is None


async def test_like_images_are_found_by_image_and_by_words(with_colours: LiveServer) -> None:
    live = with_colours
    dataset, red = await new_image(live, "plain.png")
    colors = {"orange.png": "#fa5a00", "red.png": "#fa0000", "sky.png": "#005afa"}
    images = {red: "plain.png"}
    for name, color in colors.items():
        answer = await live.upload(dataset, picture(color), name)
        images[answer["data"]["uploadImage"]["id"]] = name
    tasks = [{"operation": "embed_colour"}, {"operation": "perceptual_hash"}]
    for image in images:
        await live.data(
            "mutation($i: AnalyzeInput!) { analyze(input: $i) { id } }",
            i={"imageId": image, "tasks": tasks},
        )
    by_name = {name: image for image, name in images.items()}
    async with visit(live) as seen:
        page = seen.page
        await seen.go(f"#/images/{by_name['red.png']}")
        await expect(page.locator(".analysis[data-status=COMPLETED]")).to_have_count(2)
        await expect(page.locator(".live.on")).to_have_count(1)
        await seen.go(f"#/datasets/{dataset}")
        await expect(page.locator(".dot.completed")).to_have_count(8)
        await seen.go(f"#/images/{by_name['red.png']}")
        await page.get_by_text("Like this image").click()
        await page.get_by_label("By", exact=True).select_option("embed_colour")
        await page.get_by_role("button", name="Find", exact=True).click()
        await expect(page.locator(".matches img").first).to_have_attribute("alt", "orange.png")
        await page.get_by_label("By", exact=True).select_option("Near duplicates")
        await page.get_by_role("button", name="Find", exact=True).click()
        await expect(page.locator(".matches li")).not_to_have_count(0)

        await seen.go(f"#/datasets/{dataset}")
        await page.get_by_role("button", name="By words").click()
        await page.get_by_label("What the images show").fill("red")
        await page.get_by_role("button", name="Find").click()
        await expect(page.locator(".tally")).to_contain_text("likest")
        await expect(page.locator(".tile").first).to_contain_text("red.png")
        await page.get_by_role("button", name="End the search by words").click()
        await expect(page.locator(".tally")).to_have_text("4 images")


async def test_words_are_not_offered_where_nothing_embeds_them(live: LiveServer) -> None:
    dataset, _ = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/datasets/{dataset}")
        await expect(seen.page.locator(".tile")).to_have_count(1)
        await expect(seen.page.get_by_role("button", name="By words")).to_have_count(0)
