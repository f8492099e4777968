"""Comments on images: changed and deleted by nobody but their authors."""

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import Forbidden, InvalidInput, NotFound
from opsin.storage.curation import image_comments
from tests.conftest import other_company
from tests.core.house import add_image
from tests.core.stored import count

NO_SUCH_ID = "01890000-0000-7000-8000-000000000000"


async def test_comments_of_an_image(parts: Parts, principal: Principal) -> None:
    comments = parts.use_cases.comments
    image = await add_image(parts, principal)
    first = await comments.create(principal, image.id, "  is it a fin?\n\U0001f40b ")
    second = await comments.create(principal, image.id, "it is")
    assert first.text == "is it a fin?\n\U0001f40b"
    assert (first.author_id, first.author_name) == (principal.identity, principal.name)
    assert first.updated_at is None
    assert await comments.listed(principal, image.id) == [first, second]
    changed = await comments.change(principal, first.id, "a wave")
    assert changed.text == "a wave"
    assert changed.updated_at is not None
    assert await comments.get(principal, first.id) == changed
    assert await comments.delete(principal, second.id) == second.id
    assert await comments.listed(principal, image.id) == [changed]


@pytest.mark.parametrize("text", ["", " \n ", "x" * 10_001, "a\x00b", "\ud800"])
async def test_texts_that_are_refused(parts: Parts, principal: Principal, text: str) -> None:
    comments = parts.use_cases.comments
    image = await add_image(parts, principal)
    made = await comments.create(principal, image.id, "x" * 10_000)
    with pytest.raises(InvalidInput):
        await comments.create(principal, image.id, text)
    with pytest.raises(InvalidInput):
        await comments.change(principal, made.id, text)
    assert await comments.listed(principal, image.id) == [made]


async def test_they_are_their_authors(parts: Parts, principal: Principal) -> None:
    comments = parts.use_cases.comments
    made = await comments.create(principal, (await add_image(parts, principal)).id, "mine")
    colleague = Principal(principal.company_id, "a colleague", account_id=NO_SUCH_ID)
    assert await comments.get(colleague, made.id) == made
    with pytest.raises(Forbidden):
        await comments.change(colleague, made.id, "theirs")
    with pytest.raises(Forbidden):
        await comments.delete(colleague, made.id)
    assert await comments.get(principal, made.id) == made


async def test_another_companys_are_not_there(parts: Parts, principal: Principal) -> None:
    comments = parts.use_cases.comments
    image = await add_image(parts, principal)
    made = await comments.create(principal, image.id, "ours")
    # Not even for one who has the author's id.
    company = await other_company(parts)
    stranger = Principal(company.company_id, "somebody", account_id=principal.identity)
    for attempt in (
        comments.create(stranger, image.id, "x"),
        comments.listed(stranger, image.id),
        comments.get(stranger, made.id),
        comments.change(stranger, made.id, "x"),
        comments.delete(stranger, made.id),
        comments.get(principal, NO_SUCH_ID),
        comments.delete(principal, "no id"),
        comments.create(principal, "no id", "x"),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await comments.listed(principal, image.id) == [made]


async def test_they_go_with_their_image(parts: Parts, principal: Principal) -> None:
    comments = parts.use_cases.comments
    image = await add_image(parts, principal)
    await comments.create(principal, image.id, "a fin")
    await parts.use_cases.image_deletions.delete(principal, None, image.id, "out of focus")
    with pytest.raises(NotFound):
        await comments.create(principal, image.id, "a wave")
    with pytest.raises(NotFound):
        await comments.listed(principal, image.id)
    await parts.use_cases.image_deletions.restore(principal, None, image.id)
    assert len(await comments.listed(principal, image.id)) == 1
    await parts.use_cases.images.delete(principal, image.id)
    assert await count(parts.use_cases.database, image_comments) == 0
