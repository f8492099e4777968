"""Files that are not kept: those of images and of their results go, rows and results stay."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.datasets import DatasetChanges
from opsin.core.errors import Conflict, Gone, NotFound, StorageError
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.retention import Removed, Retention
from opsin.core.uploads import ExpectedFile
from opsin.settings import Settings
from opsin.storage.tables import analyses
from opsin.storage.tables import images as images_table
from tests.conftest import other_company
from tests.core.house import ask
from tests.core.retention.kept import (
    PNG,
    add,
    check_files,
    compute,
    deletions,
    ending,
    has_file,
    in_days,
    kinds,
    new_dataset,
    queue_of,
    rows,
    tell,
)
from tests.core.retention.subjects import subject_with_images

NOTHING = Removed()


async def test_files_go_after_their_days_and_results_stay(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    dataset = await new_dataset(parts, principal, files=10)
    image = await add(parts, principal, dataset)
    ours, told = await compute(parts, principal, image), await tell(parts, principal, image)
    before = await rows(parts)
    retention = parts.use_cases.retention
    assert await retention.run() == NOTHING
    assert await retention.run(in_days(9.9)) == NOTHING
    assert await has_file(parts, image)
    assert await retention.run(in_days(10.1)) == Removed(files=1)
    assert not await has_file(parts, image)
    after = await rows(parts)
    assert (before.artifacts, after.artifacts) == (2, 0)
    assert (after.images, after.analyses, after.annotations, after.embeddings) == (
        before.images, before.analyses, before.annotations, before.embeddings,
    )  # fmt: skip
    await check_files(parts, settings)
    shown = await parts.use_cases.images.get(principal, image.id)
    assert (shown.storage_deleted, shown.deleted_at) == (True, None)
    assert shown.results_deleted_at is None
    for analysis in (ours, told):
        found = await parts.use_cases.analyses.find(principal, analysis.id)
        assert found is not None
        assert found.status is AnalysisStatus.COMPLETED
    database = parts.use_cases.database
    assert await kinds(database, image) == ["image.created", "image.file_deleted"]
    assert await deletions(parts, principal, image) == [
        "expire_file: retention: the dataset keeps files for 10 days"
    ]
    assert await retention.run(in_days(400)) == NOTHING


async def test_age_counts_from_when_an_image_came_in_not_from_when_it_was_taken(
    parts: Parts, principal: Principal
) -> None:
    dataset = await new_dataset(parts, principal, files=1)
    image = await add(parts, principal, dataset)
    async with parts.use_cases.database.write() as transaction:
        long_ago = datetime.now(UTC) - timedelta(days=300)
        await transaction.connection.execute(update(images_table).values(taken_at=long_ago))
    assert await parts.use_cases.retention.run() == NOTHING
    assert await has_file(parts, image)


async def test_rules_count_for_images_that_were_there_before(
    parts: Parts, principal: Principal
) -> None:
    datasets, retention = parts.use_cases.datasets, parts.use_cases.retention
    dataset = await new_dataset(parts, principal)
    image, other = await add(parts, principal, dataset), await add(parts, principal, dataset, 1)
    assert await retention.run(in_days(500)) == NOTHING
    await datasets.update(principal, dataset.id, DatasetChanges(expire_files_after_days=30))
    await datasets.update(principal, dataset.id, DatasetChanges(expire_files_after_days=365))
    assert await retention.run(in_days(31)) == NOTHING
    await datasets.update(principal, dataset.id, DatasetChanges(expire_files_after_days=30))
    await datasets.update(principal, dataset.id, DatasetChanges(expire_files_after_days=None))
    assert await retention.run(in_days(500)) == NOTHING
    await datasets.update(principal, dataset.id, DatasetChanges(expire_files_after_days=365))
    assert await retention.run(in_days(366)) == Removed(files=2)
    assert not await has_file(parts, image)
    assert not await has_file(parts, other)


async def test_the_clock_is_the_callers(parts: Parts, principal: Principal) -> None:
    dataset = await new_dataset(parts, principal, files=2)
    await add(parts, principal, dataset)
    now = datetime.now(UTC)
    retention = Retention(parts.use_cases.database, parts.sweep, clock=lambda: now)
    assert await retention.run() == NOTHING
    now += timedelta(days=2, seconds=5)
    assert await retention.run() == Removed(files=1)


async def test_a_file_that_another_image_names_stays(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    """Of the same dataset, of another, and of another company's."""
    retention = parts.use_cases.retention
    dataset = await new_dataset(parts, principal, files=5)
    kept = await new_dataset(parts, principal)
    stranger = await other_company(parts)
    foreign = await new_dataset(parts, stranger, files=20)
    twins = [await add(parts, principal, dataset), await add(parts, principal, dataset)]
    beside = await add(parts, principal, kept)
    theirs = await add(parts, stranger, foreign)
    assert len({image.sha256 for image in (*twins, beside, theirs)}) == 1
    # The same bytes as a file of a result, too.
    await compute(parts, principal, beside, b"equal")
    await compute(parts, principal, twins[0], b"equal")
    assert await retention.run(in_days(6)) == Removed(files=2)
    assert [await has_file(parts, one) for one in (*twins, beside, theirs)] == [
        False, False, True, True,
    ]  # fmt: skip
    await check_files(parts, settings)
    assert (await rows(parts)).artifacts == 1
    assert await retention.run(in_days(21)) == Removed(files=1)
    assert await has_file(parts, beside)
    await parts.use_cases.images.delete(principal, beside.id)
    await parts.sweep.run(older_than=timedelta(hours=1), now=in_days(1))
    await check_files(parts, settings)


async def test_equal_bytes_may_come_in_again(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    dataset = await new_dataset(parts, principal, files=5)
    first = await add(parts, principal, dataset)
    await parts.use_cases.retention.run(in_days(6))
    second = await add(parts, principal, dataset)
    assert [await has_file(parts, one) for one in (first, second)] == [False, True]
    await check_files(parts, settings)


async def test_an_image_at_which_a_worker_is_at_work_waits(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    dataset = await new_dataset(parts, principal, files=5, results=5)
    image, other = await add(parts, principal, dataset), await add(parts, principal, dataset, 1)
    await compute(parts, principal, image)
    await ask(parts, principal, image)
    queue, retention = queue_of(parts), parts.use_cases.retention
    claim = await queue.claim(most=1)
    assert await retention.run(in_days(6)) == Removed(files=1)
    assert [await has_file(parts, one) for one in (image, other)] == [True, False]
    assert await queue.finish(claim.lease_id, [ending(claim.analyses[0], b"late")]) == 1
    assert await retention.run(in_days(6)) == Removed(files=1, results=1)
    assert (await rows(parts)).analyses == 0
    await check_files(parts, settings)


async def test_a_worker_that_is_dead_is_not_waited_for(parts: Parts, principal: Principal) -> None:
    dataset = await new_dataset(parts, principal, files=5)
    image = await add(parts, principal, dataset)
    await ask(parts, principal, image)
    await queue_of(parts).claim(most=1)
    async with parts.use_cases.database.write() as transaction:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await transaction.connection.execute(update(analyses).values(lease_until=past))
    assert await parts.use_cases.retention.run(in_days(6)) == Removed(files=1)


async def test_what_is_still_queued_ends_and_says_why(parts: Parts, principal: Principal) -> None:
    dataset = await new_dataset(parts, principal, files=5)
    image = await add(parts, principal, dataset)
    (queued,) = await ask(parts, principal, image, "image_quality")
    assert await parts.use_cases.retention.run(in_days(6)) == Removed(files=1)
    await parts.worker.drain()
    ended = await parts.use_cases.analyses.find(principal, queued.id)
    assert ended is not None
    assert (ended.status, ended.result) == (AnalysisStatus.FAILED, None)
    assert "deleted" in (ended.error_message or "")


async def test_no_file_is_kept_of_an_image_without_one(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    """What a worker finds too late, and what a pipeline would send."""
    dataset = await new_dataset(parts, principal, files=5)
    image = await add(parts, principal, dataset)
    told = await tell(parts, principal, image)
    await ask(parts, principal, image)
    queue = queue_of(parts)
    claim = await queue.claim(most=1)
    async with parts.use_cases.database.write() as transaction:  # as if its lease had ended
        past = datetime.now(UTC) - timedelta(seconds=1)
        await transaction.connection.execute(update(analyses).values(lease_until=past))
    assert await parts.use_cases.retention.run(in_days(6)) == Removed(files=1)
    assert await queue.finish(claim.lease_id, [ending(claim.analyses[0], b"late")]) == 1
    assert (await rows(parts)).artifacts == 0
    with pytest.raises(Gone):
        await parts.use_cases.uploads.presign(principal, told.id, [ExpectedFile("b.png", PNG)])
    await parts.sweep.run(older_than=timedelta(hours=1), now=in_days(1))
    await check_files(parts, settings)


async def test_hidden_images_lose_their_files_too_and_come_back_without(
    parts: Parts, principal: Principal
) -> None:
    image_deletions = parts.use_cases.image_deletions
    dataset = await new_dataset(parts, principal, files=5)
    hidden, shown = await add(parts, principal, dataset), await add(parts, principal, dataset, 1)
    await image_deletions.delete(principal, None, hidden.id, "it is out of focus")
    assert await parts.use_cases.retention.run(in_days(6)) == Removed(files=2)
    back = await image_deletions.restore(principal, None, hidden.id)
    assert (back.deleted_at, back.storage_deleted) == (None, True)
    # One without a file can be hidden, and be deleted by force.
    await image_deletions.delete(principal, None, shown.id, "it is out of focus")
    await image_deletions.delete(principal, None, shown.id, "it is out of focus", force=True)
    with pytest.raises(Conflict):
        await image_deletions.restore(principal, None, shown.id)


async def test_two_sweepers_remove_each_file_once(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    dataset = await new_dataset(parts, principal, files=5, results=5)
    images = [await add(parts, principal, dataset, seed % 20) for seed in range(40)]
    for image in images[:10]:
        await compute(parts, principal, image)
    other = assemble(settings.model_copy(update={"database_url": parts.database_url}))
    async with other.running():
        sweepers = [
            Retention(house.use_cases.database, house.sweep, at_once=3)
            for house in (parts, other)
            for _ in range(2)
        ]
        removed = await asyncio.gather(*(one.run(in_days(6)) for one in sweepers))
    assert sum(removed, NOTHING) == Removed(files=40, results=10)
    for image in images:
        told = await kinds(parts.use_cases.database, image)
        assert told.count("image.file_deleted") == 1
        assert told.count("image.results_deleted") == (1 if image in images[:10] else 0)
        said = await deletions(parts, principal, image)
        assert sum(line.startswith("expire_file") for line in said) == 1
    await check_files(parts, settings)


async def test_a_store_that_fails_keeps_no_row(
    parts: Parts, principal: Principal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row says that there is no file; the sweep removes it when the store is back."""
    dataset = await new_dataset(parts, principal, files=5)
    image = await add(parts, principal, dataset)

    async def fail(*digests: str) -> None:
        raise StorageError("the store is not there")

    with monkeypatch.context() as patch:
        patch.setattr(parts.sweep, "remove", fail)
        assert await parts.use_cases.retention.run(in_days(6)) == Removed(files=1)
    assert (await parts.use_cases.images.get(principal, image.id)).storage_deleted
    assert await parts.sweep.run(older_than=timedelta(hours=1), now=in_days(1)) == 1
    await check_files(parts, settings)


async def test_files_of_subjects_are_deleted_on_request(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    subjects = parts.use_cases.subjects
    subject, images = await subject_with_images(parts, principal, count=30)
    beside, others = await subject_with_images(parts, principal, subject.dataset_id, count=1)
    await compute(parts, principal, images[0])
    for stranger, ids in (
        (await other_company(parts), [subject.id]),
        (principal, [subject.id, "01890000-0000-7000-8000-000000000000"]),
        (principal, ["no id"]),
    ):
        with pytest.raises(NotFound):
            await subjects.delete_files(stranger, subject.dataset_id, ids)
    assert await subjects.delete_files(principal, subject.dataset_id, [subject.id]) == 30
    assert await subjects.delete_files(principal, subject.dataset_id, [subject.id]) == 0
    assert not any([await has_file(parts, image) for image in images])
    assert await has_file(parts, others[0])
    assert (await rows(parts)).analyses == 1
    assert await subjects.get(principal, subject.dataset_id, subject.id) == subject
    assert await deletions(parts, principal, images[0]) == [
        f"delete_file: {principal.name}: the files of its subject were deleted"
    ]
    await check_files(parts, settings)
    assert beside.id != subject.id
