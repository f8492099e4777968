"""Batches, and where new images go: whose they are, how and when they were taken."""

import asyncio
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import Forbidden, InvalidInput, NotFound
from opsin.core.images import NewImage
from opsin.core.imports.options import ImportOptions
from opsin.core.imports.sources import SourcePaths
from opsin.core.pages import Order
from opsin.core.records import Dataset, Image, Subject
from opsin.core.roles import Rights, Role
from opsin.core.subjects import NewSubject
from opsin.settings import Settings
from tests.conftest import other_company
from tests.core.stored import blobs
from tests.pictures import solid_png

TAKEN = datetime(2024, 2, 29, 12, 30, tzinfo=timezone(timedelta(hours=2)))
REASON = "it is out of focus"


@pytest.fixture
async def dataset(parts: Parts, principal: Principal) -> Dataset:
    return await parts.use_cases.datasets.create(principal, "people", image_type="selfie")


@pytest.fixture
async def subject(parts: Parts, principal: Principal, dataset: Dataset) -> Subject:
    return await parts.use_cases.subjects.create(principal, dataset.id, NewSubject("Ada"))


async def add(parts: Parts, principal: Principal, dataset: Dataset, **where: Any) -> Image:
    new = NewImage(dataset.id, "a.png", **where)
    return await parts.use_cases.images.add(principal, new, io.BytesIO(solid_png()))


async def test_images_are_of_their_batchs_subject_and_time(
    parts: Parts, principal: Principal, dataset: Dataset, subject: Subject
) -> None:
    batches = parts.use_cases.batches
    batch = await batches.create(principal, dataset.id, subject.id, TAKEN)
    assert await batches.get(principal, batch.id, subject_id=subject.id) == batch
    assert batch.taken_at == TAKEN
    image = await add(parts, principal, dataset, batch_id=batch.id)
    assert (image.subject_id, image.batch_id, image.taken_at) == (subject.id, batch.id, TAKEN)
    assert (image.side, image.light) == ("front", "regular")
    assert await parts.use_cases.images.get(principal, image.id) == image
    own = TAKEN + timedelta(days=1)
    other = await add(
        parts, principal, dataset, batch_id=batch.id, subject_id=subject.id, side="left",
        taken_at=own,
    )  # fmt: skip
    assert (other.side, other.taken_at) == ("left", own)
    timeless = await batches.create(principal, dataset.id, subject.id)
    assert timeless.taken_at is None
    late = await add(parts, principal, dataset, batch_id=timeless.id)
    assert late.taken_at == late.created_at
    loose = await add(parts, principal, dataset, subject_id=subject.id)
    assert (loose.batch_id, loose.subject_id) == (None, subject.id)


async def test_what_does_not_fit_is_refused_with_nothing_stored(
    parts: Parts, principal: Principal, dataset: Dataset, subject: Subject, settings: Settings
) -> None:
    use_cases = parts.use_cases
    other = await use_cases.datasets.create(principal, "other")
    stranger = await use_cases.subjects.create(principal, dataset.id, NewSubject("Ben"))
    elsewhere = await use_cases.subjects.create(principal, other.id, NewSubject("Cleo"))
    batch = await use_cases.batches.create(principal, dataset.id, subject.id)
    foreign = await use_cases.batches.create(principal, other.id, elsewhere.id)
    for where, error in (
        ({"side": "back"}, InvalidInput),
        ({"light": "ultraviolet"}, InvalidInput),
        ({"taken_at": datetime(2024, 1, 1)}, InvalidInput),  # without a zone
        ({"batch_id": foreign.id}, NotFound),
        ({"batch_id": "no id"}, NotFound),
        ({"batch_id": batch.id, "subject_id": stranger.id}, NotFound),
        ({"subject_id": elsewhere.id}, NotFound),
        ({"subject_id": "no id"}, NotFound),
    ):
        with pytest.raises(error):
            await add(parts, principal, dataset, **where)
    assert await blobs(settings) == set()
    for attempt in (
        use_cases.batches.create(principal, dataset.id, elsewhere.id),
        use_cases.batches.create(await other_company(parts), dataset.id, None),
        use_cases.batches.get(await other_company(parts), batch.id),
        use_cases.batches.get(principal, batch.id, dataset_id=other.id),
        use_cases.batches.get(principal, batch.id, subject_id=stranger.id),
        use_cases.batches.get(principal, "no id"),
        use_cases.batches.page(principal, dataset.id, elsewhere.id),
    ):
        with pytest.raises(NotFound):
            await attempt
    with pytest.raises(InvalidInput):
        await use_cases.batches.create(principal, dataset.id, subject.id, datetime(2024, 1, 1))


@pytest.mark.parametrize("kind", ["skin", "visia"])
async def test_a_batch_of_such_a_type_has_one_image(
    parts: Parts, principal: Principal, kind: str
) -> None:
    use_cases = parts.use_cases
    dataset = await use_cases.datasets.create(principal, "close", image_type=kind)
    subject = await use_cases.subjects.create(principal, dataset.id, NewSubject("Ada"))
    batch = await use_cases.batches.create(principal, dataset.id, subject.id)
    answers = await asyncio.gather(
        *(add(parts, principal, dataset, batch_id=batch.id) for _ in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, InvalidInput) for one in answers) == 3
    [first] = [one for one in answers if isinstance(one, Image)]
    await add(parts, principal, dataset, subject_id=subject.id)  # of no batch
    # One that was hidden makes room, and does not come back to where another is.
    await use_cases.image_deletions.delete(principal, None, first.id, REASON)
    second = await add(parts, principal, dataset, batch_id=batch.id)
    with pytest.raises(InvalidInput):
        await use_cases.image_deletions.restore(principal, None, first.id)
    await use_cases.images.delete(principal, second.id)
    back = await use_cases.image_deletions.restore(principal, None, first.id)
    assert back.deleted_at is None


async def test_an_imported_image_is_its_types_first(
    parts: Parts, principal: Principal, dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(solid_png())
    coco = '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}'
    (tmp_path / "coco.json").write_text(coco)
    source = SourcePaths(tmp_path / "coco.json", tmp_path)
    await parts.use_cases.imports.run(principal, source, dataset.id, ImportOptions())
    [image], _ = await parts.use_cases.image_pages.page(principal, dataset_id=dataset.id)
    assert (image.side, image.light, image.taken_at) == ("front", "regular", image.created_at)


async def test_of_two_who_delete_an_image_one_finds_none(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    image = await add(parts, principal, dataset)
    answers = await asyncio.gather(
        *(parts.use_cases.images.delete(principal, image.id) for _ in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, NotFound) for one in answers) == 3
    found, total = await parts.use_cases.image_deletions.listed(
        principal, dataset.id, skip=0, limit=9
    )
    assert (len(found), total) == (1, 1)


async def test_several_selfies_of_one_side_are_allowed(
    parts: Parts, principal: Principal, dataset: Dataset, subject: Subject
) -> None:
    batch = await parts.use_cases.batches.create(principal, dataset.id, subject.id)
    for _ in range(2):
        assert (await add(parts, principal, dataset, batch_id=batch.id)).side == "front"
    found, total = await parts.use_cases.image_pages.page(principal, batch_id=batch.id)
    assert (len(found), total) == (2, 2)


async def test_pages_of_batches_and_images(
    parts: Parts, principal: Principal, dataset: Dataset, subject: Subject
) -> None:
    batches, pages = parts.use_cases.batches, parts.use_cases.image_pages
    early, late = TAKEN - timedelta(days=9), TAKEN
    first = await batches.create(principal, dataset.id, subject.id, late)
    second = await batches.create(principal, dataset.id, subject.id, early, name="second")
    third = await batches.create(principal, dataset.id, None)

    async def ids(**wanted: Any) -> tuple[list[str], int]:
        found, total = await batches.page(principal, dataset.id, **wanted)
        return [one.id for one in found], total

    assert await ids() == ([first.id, second.id, third.id], 3)
    assert await ids(subject_id=subject.id, order=Order("taken_at")) == ([second.id, first.id], 2)
    # One that knows no time counts as taken when it was made.
    assert await ids(order=Order("taken_at", descending=True), limit=1) == ([third.id], 3)
    images = [
        await add(parts, principal, dataset, batch_id=batch.id) for batch in (first, second, first)
    ]
    by_time, total = await pages.page(principal, subject_id=subject.id, order=Order("taken_at"))
    assert [one.id for one in by_time] == [images[1].id, images[0].id, images[2].id]
    assert total == 3
    await parts.use_cases.image_deletions.delete(principal, None, images[0].id, REASON)
    found, total = await pages.page(
        principal, dataset_id=dataset.id, subject_id=subject.id, batch_id=first.id, text="A.PNG"
    )
    assert ([one.id for one in found], total) == ([images[2].id], 1)
    assert await pages.page(principal, batch_id=third.id) == ([], 0)
    assert await pages.page(principal, batch_id="no id") == ([], 0)
    assert await pages.page(await other_company(parts), batch_id=first.id) == ([], 0)
    with pytest.raises(NotFound):
        await pages.page(await other_company(parts), dataset_id=dataset.id)
    with pytest.raises(InvalidInput):
        await pages.page(principal)
    moments = [image.created_at for image in images]
    assert moments == sorted(moments)
    assert all(moment <= datetime.now(UTC) for moment in moments)


async def test_an_empty_batch_is_undone_by_whoever_may_upload(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    batches = parts.use_cases.batches
    uploader = replace(principal, rights=Rights(Role.PIPELINE.permissions))
    empty, full = [await batches.create(uploader, dataset.id, None) for _ in range(2)]
    await add(parts, uploader, dataset, batch_id=full.id)
    with pytest.raises(Forbidden):
        await batches.delete(uploader, empty.id)
    with pytest.raises(Forbidden):
        await batches.undo(replace(principal, rights=Rights(Role.VIEWER.permissions)), empty)
    with pytest.raises(NotFound):
        await batches.undo(await other_company(parts), empty)
    await batches.undo(uploader, full)
    await batches.undo(uploader, empty)
    with pytest.raises(NotFound):
        await batches.undo(uploader, empty)
    listed, total = await batches.page(principal, dataset.id)
    assert (listed, total) == ([full], 1)
