"""Image classes: labels of a dataset, given to its images, kept while they are in use."""

import asyncio

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from opsin.storage.curation import image_classifications
from tests.conftest import other_company
from tests.core.house import add_image
from tests.core.stored import count

NO_SUCH_ID = "01890000-0000-7000-8000-000000000000"


def somebody(principal: Principal, account_id: str) -> Principal:
    """Another caller of the same company."""
    return Principal(principal.company_id, "somebody else", account_id=account_id)


async def test_classes_of_a_dataset(parts: Parts, principal: Principal) -> None:
    classes = parts.use_cases.image_classes
    dataset = await parts.use_cases.datasets.create(principal, "whales")
    other = await parts.use_cases.datasets.create(principal, "seals")
    first = await classes.create(principal, dataset.id, " fin ", "  seen\nfrom the side ")
    second = await classes.create(principal, dataset.id, "fin")
    await classes.create(principal, other.id, "fin")
    assert [one.id for one in await classes.listed(principal, dataset.id)] == [first.id, second.id]
    assert (first.name, first.description) == ("fin", "seen\nfrom the side")
    assert await classes.get(principal, first.id) == first
    changed = await classes.change(principal, first.id, {"name": "fluke"})
    assert (changed.name, changed.description) == ("fluke", first.description)
    assert changed.updated_at is not None
    emptied = await classes.change(principal, first.id, {"description": None, "name": None})
    assert (emptied.name, emptied.description) == ("fluke", None)
    assert (await classes.delete(principal, second.id)).id == second.id
    assert [one.id for one in await classes.listed(principal, dataset.id)] == [first.id]


@pytest.mark.parametrize("name", ["", "   ", "x" * 256, "a\x00b", "\ud800"])
async def test_names_that_are_refused(parts: Parts, principal: Principal, name: str) -> None:
    classes = parts.use_cases.image_classes
    dataset = await parts.use_cases.datasets.create(principal, "whales")
    made = await classes.create(principal, dataset.id, "x" * 255, "y" * 10_000)
    with pytest.raises(InvalidInput):
        await classes.create(principal, dataset.id, name)
    with pytest.raises(InvalidInput):
        await classes.change(principal, made.id, {"name": name})
    with pytest.raises(InvalidInput):
        await classes.change(principal, made.id, {"description": "y" * 10_001})
    assert await classes.listed(principal, dataset.id) == [made]


async def test_an_image_has_classes_of_its_dataset(parts: Parts, principal: Principal) -> None:
    classes = parts.use_cases.image_classes
    image = await add_image(parts, principal)
    fin = await classes.create(principal, image.dataset_id, "fin")
    given = await classes.classify(principal, image.id, fin.id)
    again = await classes.classify(principal, image.id, fin.id)
    assert given.created_by == principal.identity
    assert given.created_by_name == principal.name
    assert await classes.classifications(principal, image.id) == [given, again]
    elsewhere = await parts.use_cases.datasets.create(principal, "other")
    foreign = await classes.create(principal, elsewhere.id, "fin")
    with pytest.raises(InvalidInput):
        await classes.classify(principal, image.id, foreign.id)
    with pytest.raises(Conflict):
        await classes.delete(principal, fin.id)
    for one in (given, again):
        assert await classes.declassify(principal, one.id) == one.id
    await classes.delete(principal, fin.id)


async def test_once_means_once_for_each_caller(parts: Parts, principal: Principal) -> None:
    classes = parts.use_cases.image_classes
    image = await add_image(parts, principal)
    fin = await classes.create(principal, image.dataset_id, "fin")
    made = await asyncio.gather(
        *(classes.classify(principal, image.id, fin.id, once=True) for _ in range(5))
    )
    assert len({one.id for one in made}) == 1
    other = await classes.classify(somebody(principal, NO_SUCH_ID), image.id, fin.id, once=True)
    found = await classes.classifications(principal, image.id)
    assert {one.id for one in found} == {made[0].id, other.id}


async def test_only_who_made_it_takes_it_back(parts: Parts, principal: Principal) -> None:
    classes = parts.use_cases.image_classes
    image = await add_image(parts, principal)
    fin = await classes.create(principal, image.dataset_id, "fin")
    given = await classes.classify(principal, image.id, fin.id)
    other = somebody(principal, NO_SUCH_ID)
    with pytest.raises(Forbidden):
        await classes.declassify(other, given.id)
    await classes.declassify(other, given.id, is_admin=True)
    with pytest.raises(NotFound):
        await classes.declassify(principal, given.id)


async def test_another_companys_are_not_there(parts: Parts, principal: Principal) -> None:
    classes = parts.use_cases.image_classes
    image = await add_image(parts, principal)
    fin = await classes.create(principal, image.dataset_id, "fin")
    given = await classes.classify(principal, image.id, fin.id)
    stranger = await other_company(parts)
    theirs = await add_image(parts, stranger)
    attempts = [
        classes.create(stranger, image.dataset_id, "x"),
        classes.listed(stranger, image.dataset_id),
        classes.get(stranger, fin.id),
        classes.change(stranger, fin.id, {"name": "x"}),
        classes.delete(stranger, fin.id),
        classes.classify(stranger, image.id, fin.id),
        classes.classify(stranger, theirs.id, fin.id),
        classes.classifications(stranger, image.id),
        classes.declassify(stranger, given.id, is_admin=True),
        classes.get(principal, NO_SUCH_ID),
        classes.get(principal, "no id"),
        classes.declassify(principal, "no id"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            await attempt
    assert await classes.classifications(principal, image.id) == [given]
    assert (await classes.get(principal, fin.id)).name == "fin"


async def test_a_deleted_image_is_not_classified(parts: Parts, principal: Principal) -> None:
    classes = parts.use_cases.image_classes
    image = await add_image(parts, principal)
    fin = await classes.create(principal, image.dataset_id, "fin")
    await classes.classify(principal, image.id, fin.id)
    await parts.use_cases.image_deletions.delete(principal, None, image.id, "out of focus")
    with pytest.raises(NotFound):
        await classes.classify(principal, image.id, fin.id)
    await parts.use_cases.images.delete(principal, image.id)
    assert await count(parts.use_cases.database, image_classifications) == 0


async def test_a_class_is_deleted_or_given_but_never_both(
    parts: Parts, principal: Principal
) -> None:
    """Either the deletion finds it in use, or the classification finds it gone."""
    classes = parts.use_cases.image_classes
    image = await add_image(parts, principal)
    for _ in range(10):
        fin = await classes.create(principal, image.dataset_id, "fin")
        before = await count(parts.use_cases.database, image_classifications)
        deleted, given = await asyncio.gather(
            classes.delete(principal, fin.id),
            classes.classify(principal, image.id, fin.id),
            return_exceptions=True,
        )
        after = await count(parts.use_cases.database, image_classifications)
        if isinstance(given, NotFound):
            assert not isinstance(deleted, BaseException)
            assert after == before
        else:
            assert not isinstance(given, BaseException), given
            assert isinstance(deleted, Conflict)
            assert after == before + 1
