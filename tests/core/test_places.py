"""Chains of ids: each within the one before it, in one statement, or nothing is found."""

import io

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import NotFound
from opsin.core.images import NewImage
from opsin.core.places import Place
from opsin.core.subjects import NewSubject
from tests.conftest import other_company
from tests.graphql.statements import statements_of
from tests.pictures import solid_png

LEVELS = ("dataset", "subject", "batch", "image")
ABSENT = "00000000-0000-7000-8000-000000000000"


async def chain(parts: Parts, principal: Principal) -> dict[str, str]:
    """The ids of an image in a new batch of a new subject in a new dataset."""
    use_cases = parts.use_cases
    dataset = await use_cases.datasets.create(principal, "d", image_type="selfie")
    subject = await use_cases.subjects.create(principal, dataset.id, NewSubject("s"))
    batch = await use_cases.batches.create(principal, dataset.id, subject.id)
    new = NewImage(dataset.id, "a.png", subject_id=subject.id, batch_id=batch.id)
    image = await use_cases.images.add(principal, new, io.BytesIO(solid_png()))
    ids = (dataset.id, subject.id, batch.id, image.id)
    return dict(zip(LEVELS, ids, strict=True))


def found_ids(place: Place) -> dict[str, str]:
    found = {name: getattr(place, name) for name in LEVELS}
    return {name: record.id for name, record in found.items() if record is not None}


async def test_every_length_of_a_chain(parts: Parts, principal: Principal) -> None:
    ids = await chain(parts, principal)
    for count in range(1, 5):
        wanted = {name: ids[name] for name in LEVELS[:count]}
        with statements_of() as statements:
            place = await parts.use_cases.places.find(principal, wanted)
        assert found_ids(place) == wanted and len(statements) == 1
        written = {name: identity.upper().replace("-", "") for name, identity in wanted.items()}
        assert found_ids(await parts.use_cases.places.find(principal, written)) == wanted
    images = parts.use_cases.images
    place = await parts.use_cases.places.find(principal, ids)
    assert place.image == await images.get(principal, ids["image"])


async def test_a_chain_that_does_not_hold(parts: Parts, principal: Principal) -> None:
    places = parts.use_cases.places
    mine, other = await chain(parts, principal), await chain(parts, principal)
    stranger = await other_company(parts)
    theirs = await chain(parts, stranger)
    for name in LEVELS:
        for foreign in (other[name], theirs[name], ABSENT, "", "x", "\x00"):
            for count in range(LEVELS.index(name) + 1, 5):
                wanted = {one: mine[one] for one in LEVELS[:count]} | {name: foreign}
                if wanted == {"dataset": other["dataset"]}:
                    continue  # a chain by itself
                with pytest.raises(NotFound):
                    await places.find(principal, wanted)
    with pytest.raises(NotFound):
        await places.find(stranger, mine)


@pytest.mark.parametrize("name", LEVELS)
async def test_what_was_deleted_ends_the_chain(
    parts: Parts, principal: Principal, name: str
) -> None:
    use_cases = parts.use_cases
    ids = await chain(parts, principal)
    match name:
        case "dataset":
            await use_cases.datasets.delete(principal, ids["dataset"])
        case "subject":
            await use_cases.subjects.delete(principal, ids["dataset"], [ids["subject"]])
        case "batch":
            await use_cases.batches.delete(principal, ids["batch"])
        case "image":
            await use_cases.images.delete(principal, ids["image"])
    start = LEVELS.index(name)
    for count in range(1, 5):
        wanted = {one: ids[one] for one in LEVELS[:count]}
        if count <= start:
            await use_cases.places.find(principal, wanted)
            continue
        with pytest.raises(NotFound):
            await use_cases.places.find(principal, wanted)


async def test_a_chain_has_no_gaps(parts: Parts, principal: Principal) -> None:
    ids = await chain(parts, principal)
    for names in (("subject",), ("dataset", "batch"), ("dataset", "subject", "image")):
        with pytest.raises(ValueError, match="no gaps"):
            await parts.use_cases.places.find(principal, {name: ids[name] for name in names})


async def test_the_newest_images_of_subjects(parts: Parts, principal: Principal) -> None:
    use_cases = parts.use_cases
    one, other = await chain(parts, principal), await chain(parts, principal)
    bare = await use_cases.subjects.create(principal, one["dataset"], NewSubject("bare"))
    new = NewImage(
        one["dataset"], "b.png", subject_id=one["subject"], batch_id=one["batch"], side="left"
    )
    newer = await use_cases.images.add(principal, new, io.BytesIO(solid_png()))
    asked = [one["subject"], other["subject"], bare.id]
    pages = use_cases.image_pages
    newest = {one["subject"]: newer.id, other["subject"]: other["image"]}
    assert await pages.newest_of_subjects(principal, asked) == newest
    assert await pages.newest_of_subjects(principal, []) == {}
    assert await pages.newest_of_subjects(await other_company(parts), asked) == {}
    await use_cases.images.delete(principal, newer.id)
    assert (await pages.newest_of_subjects(principal, asked))[one["subject"]] == one["image"]
