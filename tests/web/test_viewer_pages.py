"""The viewer's other pages: datasets, uploads, operations, keys, sign-in; and its manners."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from opsin.assembly import assemble
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.web.browser import visit
from tests.web.seeing import begin, box, new_image, picture, tell

pytestmark = pytest.mark.timeout(180)


async def test_a_dataset_is_made_and_filled(live: LiveServer, tmp_path: Path) -> None:
    names = [f"pier_{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(picture(f"#{number}0{number}0{number}0"))
    (tmp_path / "notes.txt").write_text("no picture")
    async with visit(live) as seen:
        await seen.go("")
        await expect(seen.page.locator(".empty")).to_contain_text("No datasets yet")
        await seen.page.get_by_role("button", name="New dataset").click()
        await seen.page.get_by_label("Name").fill("Harbour")
        await seen.page.get_by_role("button", name="Make it").click()
        await expect(seen.page.get_by_role("heading", name="Harbour")).to_be_visible()
        chooser = seen.page.locator("input[type=file]")
        await chooser.set_input_files([tmp_path / name for name in [*names, "notes.txt"]])
        await expect(seen.page.get_by_role("listitem", name="").locator(".tile")).to_have_count(4)
        await expect(seen.page.locator(".uploads")).to_contain_text("4 of 5 files stored, 1 failed")
        await seen.page.get_by_label("Search by file name").fill("PIER_2")
        await expect(seen.page.locator(".tile")).to_have_count(1)
        await expect(seen.page.locator(".tally")).to_have_text("1 image found")


async def test_dropped_files_are_stored(live: LiveServer) -> None:
    dataset, _ = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/datasets/{dataset}")
        await expect(seen.page.locator(".tile")).to_have_count(1)
        transfer = await seen.page.evaluate_handle(
            """(bytes) => { const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(bytes)], 'dropped.png',
                {type: 'image/png'}));
              return transfer; }""",
            list(picture("#aa5522")),
        )
        for event in ("dragenter", "dragover", "drop"):
            await seen.page.dispatch_event(".page", event, {"dataTransfer": transfer})
        await expect(seen.page.locator(".tile")).to_have_count(2)
        stored = await live.data("{ images { nodes { filename } } }")
        assert {"filename": "dropped.png"} in stored["images"]["nodes"]


async def test_tiles_show_statuses_as_they_change(live: LiveServer) -> None:
    dataset, image = await new_image(live)
    async with visit(live) as seen:
        await seen.go(f"#/datasets/{dataset}")
        await expect(seen.page.locator(".live")).to_have_text("Live")
        analysis = await begin(live, image)
        await expect(seen.page.locator(".tile .dot.processing")).to_have_count(1)
        await tell(live, analysis, [box([1, 1, 5, 5])])
        await expect(seen.page.locator(".tile .dot.completed")).to_have_count(1)
        await seen.page.get_by_label("Status of an analysis").select_option("FAILED")
        await expect(seen.page.locator(".tile")).to_have_count(0)


async def test_only_tiles_in_view_exist(live: LiveServer) -> None:
    dataset, _ = await new_image(live)
    for number in range(250):
        await live.upload(dataset, picture(f"#0000{number:02x}"), f"{number}.png")
    async with visit(live) as seen:
        await seen.go(f"#/datasets/{dataset}")
        await expect(seen.page.locator(".tally")).to_have_text("251 images")
        assert await seen.page.locator(".tile").count() < 80
        await seen.page.locator(".tile").first.focus()
        await seen.page.keyboard.press("End")
        await expect(seen.page.locator(".tile:focus")).to_contain_text(re.compile(r"\d+\.png"))
        await seen.page.wait_for_function(
            "() => document.querySelector('.virtual-tile').ariaSetSize === '251'"
        )
        assert await seen.page.locator(".tile").count() < 80


async def test_operations_say_what_is_missing(live: LiveServer) -> None:
    async with visit(live) as seen:
        await seen.go("#/operations")
        ready = seen.page.locator("[data-operation=image_quality]")
        await expect(ready).to_contain_text("available")
        missing = seen.page.locator("[data-operation=describe_image]")
        await expect(missing).to_contain_text("not available")
        await expect(missing.locator(".reason code")).to_contain_text("opsin models pull")
        await seen.page.get_by_label("Available only").check()
        await expect(missing).to_have_count(0)


async def test_a_key_is_shown_once_and_revoked(live: LiveServer) -> None:
    async with visit(live) as seen:
        await seen.go("#/keys")
        await seen.page.get_by_label("Name of a new key").fill("pipeline")
        await seen.page.get_by_role("button", name="Make key").click()
        secret = seen.page.locator(".secret")
        await expect(secret).to_contain_text("opsin_")
        key = await secret.inner_text()
        await seen.page.get_by_role("button", name="Close").click()
        await expect(secret).to_have_count(0)
        assert key not in await seen.page.content()
        await seen.page.get_by_role("button", name="Revoke pipeline").click()
        await seen.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(seen.page.locator("tbody")).to_contain_text("revoked")
        refused = await live.client.post(
            "/graphql", json={"query": "{ viewer { name } }"}, headers={"X-API-Key": key}
        )
        assert refused.status_code == 401


async def test_a_server_with_keys_asks_for_one(settings: Settings) -> None:
    guarded = settings.model_copy(update={"auth": "keys"})
    async with (parts := assemble(guarded)).running():
        local = await parts.use_cases.access.local()
        _, key = await parts.use_cases.api_keys.create(local, "viewer")
    async with serve(guarded) as live, visit(live) as seen:
        await seen.go("")
        await expect(seen.page.get_by_role("heading", name="Sign in")).to_be_visible()
        await seen.page.get_by_label("API key").fill("opsin_wrong_key")
        await seen.page.get_by_role("button", name="Sign in").click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("does not know this key")
        await seen.page.get_by_label("API key").fill(key)
        await seen.page.get_by_role("button", name="Sign in").click()
        await expect(seen.page.get_by_role("heading", name="Datasets")).to_be_visible()
        await seen.page.get_by_role("button", name="Sign out").click()
        await expect(seen.page.get_by_role("heading", name="Sign in")).to_be_visible()
        seen.complaints = [text for text in seen.complaints if "401" not in text]


async def test_the_keyboard_comes_to_the_content_and_the_theme_stays(live: LiveServer) -> None:
    async with visit(live) as seen:
        await seen.go("")
        await seen.page.keyboard.press("Tab")
        await expect(seen.page.get_by_text("Skip to the content")).to_be_focused()
        await seen.page.keyboard.press("Enter")
        await expect(seen.page.locator("main")).to_be_focused()
        await seen.page.get_by_role("button", name="Light or dark").click()
        await seen.page.reload()
        await expect(seen.page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_what_does_not_exist_is_said(live: LiveServer) -> None:
    async with visit(live) as seen:
        await seen.go("#/images/01a1feb2-e256-73ba-8e5e-920d264c9de2")
        await expect(seen.page.locator("main")).to_contain_text("There is no such image")
        await seen.go("#/nowhere")
        await expect(seen.page.locator("main")).to_contain_text("There is no such page")
