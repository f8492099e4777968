"""What the viewer offers to whom: only what they may do, and it says so."""

import io

import pytest
from playwright.async_api import Page, expect

from opsin.assembly import assemble
from opsin.core.images import NewImage
from opsin.core.roles import Role
from opsin.settings import Settings
from tests.conftest import serve
from tests.web.browser import Visit, visit
from tests.web.seeing import picture

pytestmark = pytest.mark.timeout(240)


async def _prepared(settings: Settings) -> tuple[dict[str, str], str, str]:
    """Keys by role, one that is good for one dataset among them; that dataset, and its image."""
    async with (parts := assemble(settings)).running():
        cases = parts.use_cases
        owner = await cases.access.local()
        dataset = await cases.datasets.create(owner, "Seen")
        await cases.datasets.create(owner, "Elsewhere")
        new = NewImage(dataset.id, "plain.png")
        image = await cases.images.add(owner, new, io.BytesIO(picture()))
        keys = {}
        for role in (Role.VIEWER, Role.ADMIN):
            _, keys[role.value] = await cases.api_keys.create(owner, role.value, role=role)
        _, keys["scoped"] = await cases.api_keys.create(
            owner, "scoped", role=Role.ANNOTATOR, dataset_ids=[dataset.id]
        )
        return keys, dataset.id, image.id


async def _sign_in(seen: Visit, key: str) -> None:
    await seen.go("")
    await seen.page.get_by_label("API key").fill(key)
    await seen.page.get_by_role("button", name="Sign in").click()
    await expect(seen.page.get_by_role("heading", name="Datasets")).to_be_visible()
    seen.complaints = [text for text in seen.complaints if "401" not in text]


async def _offered(page: Page, *names: str) -> dict[str, bool]:
    """Which of these buttons can be seen, behind folded sections too."""
    unfold = "document.querySelectorAll('details').forEach((one) => { one.open = true })"
    await page.evaluate(unfold)
    found = {}
    for name in names:
        found[name] = await page.get_by_role("button", name=name, exact=True).count() > 0
    return found


async def test_who_may_only_look_is_offered_nothing_else(settings: Settings) -> None:
    guarded = settings.model_copy(update={"auth": "keys"})
    keys, dataset, image = await _prepared(guarded)
    async with serve(guarded) as live, visit(live) as seen:
        await _sign_in(seen, keys["viewer"])
        page = seen.page
        await expect(page.get_by_text("You may look, and change nothing")).to_be_visible()
        assert await _offered(page, "New dataset") == {"New dataset": False}
        await seen.go(f"#/datasets/{dataset}")
        await expect(page.get_by_role("heading", name="Seen")).to_be_visible()
        assert await _offered(page, "Upload") == {"Upload": False}
        await seen.go(f"#/images/{image}")
        await expect(page.get_by_text("not have operations run")).to_have_count(1)
        assert set((await _offered(page, "Run", "Comment", "Set", "Delete image")).values()) == {
            False
        }
        await seen.go("#/keys")
        await expect(page.get_by_text("Only administrators of the company")).to_be_visible()
        assert await _offered(page, "Make key") == {"Make key": False}


async def test_an_administrator_is_offered_everything(settings: Settings) -> None:
    guarded = settings.model_copy(update={"auth": "keys"})
    keys, dataset, image = await _prepared(guarded)
    async with serve(guarded) as live, visit(live) as seen:
        await _sign_in(seen, keys["admin"])
        page = seen.page
        await expect(page.get_by_role("button", name="New dataset")).to_be_visible()
        await expect(page.get_by_text("You may look")).to_have_count(0)
        await seen.go(f"#/datasets/{dataset}")
        await expect(page.get_by_role("button", name="Upload")).to_be_visible()
        await seen.go(f"#/images/{image}")
        await expect(page.get_by_role("heading", name="plain.png")).to_be_visible()
        offered = await _offered(page, "Comment", "Set", "Delete image")
        assert set(offered.values()) == {True}
        await seen.go("#/keys")
        await expect(page.get_by_role("button", name="Make key")).to_be_visible()
        await expect(page.get_by_text("Only administrators")).not_to_be_visible()


async def test_what_a_role_in_one_dataset_is_good_for(settings: Settings) -> None:
    """There the key annotates, and no other dataset is shown."""
    guarded = settings.model_copy(update={"auth": "keys"})
    keys, dataset, image = await _prepared(guarded)
    async with serve(guarded) as live, visit(live) as seen:
        await _sign_in(seen, keys["scoped"])
        page = seen.page
        await expect(page.get_by_role("link", name="Seen")).to_be_visible()
        await expect(page.get_by_text("Elsewhere")).to_have_count(0)
        assert await _offered(page, "New dataset") == {"New dataset": False}
        await seen.go(f"#/datasets/{dataset}")
        await expect(page.get_by_role("button", name="Upload")).to_be_visible()
        told = "You may look, classify and comment, upload, run operations"
        await expect(page.get_by_text(told)).to_be_visible()
        await seen.go(f"#/images/{image}")
        await expect(page.get_by_role("heading", name="plain.png")).to_be_visible()
        offered = await _offered(page, "Comment", "Set", "Delete image")
        assert set(offered.values()) == {True}
        await page.get_by_label("A comment").fill("a fin")
        await page.get_by_role("button", name="Comment", exact=True).click()
        await expect(page.get_by_text("a fin")).to_be_visible()
