"""Datasets that are deleted: hidden at once, gone in parts, with all that is in them."""

import asyncio
import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from opsin.assembly import Parts, assemble
from opsin.core import removal as removal_module
from opsin.core.access import Principal
from opsin.core.applications.applications import NewApplication
from opsin.core.contract import Step
from opsin.core.errors import NotFound, StorageError
from opsin.core.exports import exports as exports_module
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.images import NewImage
from opsin.core.imports.options import ImportOptions
from opsin.core.imports.sources import SourcePaths
from opsin.core.records import Dataset
from opsin.core.removal import Removal
from opsin.core.subjects import NewSubject
from opsin.core.webhooks.webhooks import NewWebhook
from opsin.settings import Settings
from opsin.storage.applications import application_runs, image_runs
from opsin.storage.audit import audit_entries
from opsin.storage.blobs.base import BlobStat
from opsin.storage.curation import image_deletions
from opsin.storage.ids import new_ids
from opsin.storage.tables import (
    analyses,
    annotations,
    batches,
    datasets,
    events,
    images,
    metadata,
    subjects,
)
from tests.conftest import other_company
from tests.core.house import ask
from tests.core.retention.kept import (
    add,
    check_files,
    compute,
    ending,
    has_file,
    new_dataset,
    queue_of,
    rows,
    tell,
    told,
)
from tests.core.retention.subjects import subject_with_images
from tests.core.stored import count
from tests.pictures import noise_jpeg, solid_png


async def fill(parts: Parts, dataset: Dataset, many: int, of_each: int) -> None:
    """Rows of images, all alike, each with analyses that have two annotations each."""
    now = datetime.now(UTC)
    async with parts.use_cases.database.read() as connection:
        like = (await connection.execute(select(images).limit(1))).mappings().one()
    base = {"company_id": dataset.company_id, "created_at": now}
    image_rows = [
        {**like, **base, "id": identity, "dataset_id": dataset.id, "subject_id": None}
        | {"batch_id": None}
        for identity in new_ids(many)
    ]
    analysis_rows = [
        {
            **base,
            "id": identity,
            "dataset_id": dataset.id,
            "image_id": image_rows[number // of_each]["id"],
            "operation": "o",
            "model_name": "o",
            "model_version": "1",
            "status": "COMPLETED",
            "available_at": now,
            "updated_at": now,
        }
        for number, identity in enumerate(new_ids(many * of_each))
    ]
    annotation_rows = [
        {
            **base,
            "id": identity,
            "analysis_id": analysis_rows[number // 2]["id"],
            "annotation_type": "metric",
            "data": {},
        }
        for number, identity in enumerate(new_ids(many * of_each * 2))
    ]
    async with parts.use_cases.database.write() as transaction:
        for table, some in (
            (images, image_rows),
            (analyses, analysis_rows),
            (annotations, annotation_rows),
        ):
            for start in range(0, len(some), 2000):
                await transaction.connection.execute(insert(table), some[start : start + 2000])


async def test_a_dataset_of_2000_images_with_runs_goes_in_parts(
    parts: Parts, principal: Principal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_cases = parts.use_cases
    kept = await new_dataset(parts, principal)
    beside = await add(parts, principal, kept)
    await compute(parts, principal, beside)
    dataset = await new_dataset(parts, principal, when_ready=True)
    application = await use_cases.applications.create(
        principal, NewApplication("looks", [Step("quality", "image_quality")])
    )
    await use_cases.runs.attach(principal, application.id, dataset.id)
    subject, _ = await subject_with_images(parts, principal, dataset.id, count=3)
    await parts.worker.drain()
    await fill(parts, dataset, 2000, 2)
    before = await rows(parts)
    assert (before.images, before.analyses) == (2004, 4004)
    transactions = 0
    remove_part = Removal._remove_part

    async def counted(self: Removal, one: object) -> tuple[int, bool]:
        nonlocal transactions
        transactions += 1
        removed, is_last = await remove_part(self, one)  # type: ignore[arg-type]  # as it came
        assert removed <= 25
        return removed, is_last

    monkeypatch.setattr(Removal, "_remove_part", counted)
    monkeypatch.setattr(removal_module, "_WITH_THE_ANSWER", timedelta(minutes=5))
    gone = await use_cases.datasets.delete(principal, dataset.id)
    assert gone.deleted_at is not None
    assert transactions > 2000 // 25
    after = await rows(parts)
    assert (after.images, after.analyses, after.annotations) == (1, 1, 2)
    database = use_cases.database
    for table, left in (
        (datasets, 1), (subjects, 0), (batches, 0), (application_runs, 0), (image_runs, 0),
        (image_deletions, 0),
    ):  # fmt: skip
        assert await count(database, table) == left, table.name
    kinds = Counter(await told(parts, dataset))
    assert (kinds["dataset.deleted"], kinds["subject.deleted"], kinds["batch.deleted"]) == (1, 1, 1)
    assert kinds["image.deleted"] == 2003
    assert await has_file(parts, beside)
    await check_files(parts, settings)
    assert await use_cases.subjects.find(principal, None, subject.id) is None


async def test_it_is_hidden_at_once_and_takes_nothing_more(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in it is still there: nobody had the time."""
    monkeypatch.setattr(removal_module, "_WITH_THE_ANSWER", timedelta(0))
    use_cases = parts.use_cases
    dataset = await new_dataset(parts, principal)
    subject, images_of = await subject_with_images(parts, principal, dataset.id, count=2)
    batch_id = images_of[0].batch_id
    await use_cases.datasets.delete(principal, dataset.id)
    assert (await rows(parts)).images == 2
    new = NewImage(dataset.id, "late.png")
    for attempt in (
        use_cases.datasets.get(principal, dataset.id),
        use_cases.datasets.delete(principal, dataset.id),
        use_cases.images.add(principal, new, io.BytesIO(solid_png())),
        use_cases.subjects.create(principal, dataset.id, NewSubject("late")),
        use_cases.subjects.get(principal, None, subject.id),
        use_cases.batches.create(principal, dataset.id, None),
        use_cases.batches.get(principal, batch_id or ""),
        use_cases.exports.find(principal, TargetKind.DATASET, dataset.id),
        use_cases.metadata.set_many(principal, dataset.id, {"a": 1}),
        use_cases.image_pages.page(principal, dataset_id=dataset.id),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await use_cases.owners.company_of(datasets, dataset.id) is None
    assert await use_cases.datasets.page(principal) == ([], 0)
    assert await use_cases.datasets.listed([principal], skip=0, limit=9) == []
    # Whoever comes next goes on, and nothing is left.
    removed = await use_cases.retention.run()
    assert (removed.files, removed.results, removed.images) == (0, 0, 2)
    assert (await rows(parts)).images == 0
    assert await count(use_cases.database, datasets) == 0


async def test_another_companys_dataset_stays(parts: Parts, principal: Principal) -> None:
    dataset = await new_dataset(parts, principal)
    for identity in (dataset.id, "no id"):
        with pytest.raises(NotFound):
            await parts.use_cases.datasets.delete(await other_company(parts), identity)
    assert await parts.use_cases.datasets.get(principal, dataset.id) == dataset


async def test_who_comes_in_meanwhile_is_in_or_refused(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    """No image is left behind, and none is told of after its dataset's end and not deleted."""
    dataset = await new_dataset(parts, principal)
    images_in = parts.use_cases.images

    async def upload(seed: int) -> bool:
        new = NewImage(dataset.id, "a.jpg")
        try:
            await images_in.add(principal, new, io.BytesIO(noise_jpeg(16, 16, seed)))
        except NotFound:
            return False
        return True

    uploads = [asyncio.create_task(upload(seed)) for seed in range(40)]
    while not any(task.done() for task in uploads):  # noqa: ASYNC110  # any of them, soon
        await asyncio.sleep(0.001)
    await parts.use_cases.datasets.delete(principal, dataset.id)
    came = sum(await asyncio.gather(*uploads))
    await parts.use_cases.retention.run()
    assert (await rows(parts)).images == 0
    kinds = await told(parts, dataset)
    assert Counter(kinds)["image.created"] == Counter(kinds)["image.deleted"] == came
    last_in = max((n for n, kind in enumerate(kinds) if kind == "image.created"), default=0)
    assert last_in < kinds.index("dataset.deleted")
    await parts.sweep.run(older_than=timedelta(hours=-1))
    await check_files(parts, settings)


async def test_an_image_that_has_its_place_comes_in_before_its_dataset_goes(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await new_dataset(parts, principal)
    store = parts.use_cases.images._blobs
    placed, go = asyncio.Event(), asyncio.Event()
    stat = store.stat

    async def slow(key: str) -> BlobStat | None:
        placed.set()
        await go.wait()
        return await stat(key)

    with monkeypatch.context() as patch:
        patch.setattr(store, "stat", slow)
        upload = asyncio.create_task(add(parts, principal, dataset))
        await placed.wait()
        deletion = asyncio.create_task(parts.use_cases.datasets.delete(principal, dataset.id))
        await asyncio.sleep(0.3)  # as long as somebody would need who does not wait
        assert not deletion.done()
        go.set()
        await asyncio.gather(upload, deletion)
    assert await told(parts, dataset) == [
        "dataset.created", "image.created", "dataset.deleted", "image.deleted",
    ]  # fmt: skip
    assert (await rows(parts)).images == 0


async def test_two_who_remove_the_same_tell_once(
    parts: Parts, principal: Principal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal_module, "_WITH_THE_ANSWER", timedelta(0))
    dataset = await new_dataset(parts, principal)
    some = [await add(parts, principal, dataset, seed % 5) for seed in range(30)]
    await compute(parts, principal, some[0])
    await parts.use_cases.datasets.delete(principal, dataset.id)
    other = assemble(settings.model_copy(update={"database_url": parts.database_url}))
    async with other.running():
        removals = [
            Removal(house.use_cases.database, house.sweep, images_at_once=2)
            for house in (parts, other)
        ]
        assert sum(await asyncio.gather(*(one.finish() for one in removals))) == 30
    kinds = Counter(await told(parts, dataset))
    assert (kinds["image.deleted"], kinds["dataset.deleted"]) == (30, 1)
    assert await count(parts.use_cases.database, datasets) == 0
    await check_files(parts, settings)


async def test_its_webhooks_tell_of_it_before_they_go(parts: Parts, principal: Principal) -> None:
    use_cases = parts.use_cases
    dataset = await new_dataset(parts, principal)
    await add(parts, principal, dataset)
    await use_cases.webhooks.create(
        principal,
        NewWebhook("https://example.org/hook", ("dataset.deleted",), dataset_id=dataset.id),
    )
    await use_cases.datasets.delete(principal, dataset.id)
    assert (await rows(parts)).images == 0
    assert await count(use_cases.database, datasets) == 1  # empty, and hidden
    with pytest.raises(NotFound):
        await use_cases.datasets.get(principal, dataset.id)
    later = Removal(
        use_cases.database, parts.sweep, clock=lambda: datetime.now(UTC) + timedelta(hours=2)
    )
    await use_cases.retention.run()
    assert await count(use_cases.database, datasets) == 1
    await later.finish()
    assert await count(use_cases.database, datasets) == 0


async def test_a_worker_at_work_in_it_drops_what_it_finds(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    dataset = await new_dataset(parts, principal)
    image = await add(parts, principal, dataset)
    await tell(parts, principal, image)
    await ask(parts, principal, image)
    queue = queue_of(parts)
    claim = await queue.claim(most=1)
    await parts.use_cases.datasets.delete(principal, dataset.id)
    assert await queue.finish(claim.lease_id, [ending(claim.analyses[0], b"late")]) == 0
    await parts.sweep.run(older_than=timedelta(hours=-1))
    await check_files(parts, settings)


async def test_what_cannot_be_removed_now_is_removed_later(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await new_dataset(parts, principal)
    await add(parts, principal, dataset)

    async def fail(*_: object) -> tuple[int, bool]:
        raise StorageError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(Removal, "_remove_part", fail)
        await parts.use_cases.datasets.delete(principal, dataset.id)
    with pytest.raises(NotFound):
        await parts.use_cases.datasets.get(principal, dataset.id)
    assert (await parts.use_cases.retention.run()).images == 1


async def test_an_export_that_began_before_is_whole(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports_module, "_CHUNK_CHARACTERS", 100)
    dataset = await new_dataset(parts, principal)
    for seed in range(5):
        await compute(parts, principal, await add(parts, principal, dataset, seed))
    exports = parts.use_cases.exports
    target = await exports.find(principal, TargetKind.DATASET, dataset.id)
    stream = exports.stream(target, ExportFormat.JSON)
    first = await anext(stream)
    await parts.use_cases.datasets.delete(principal, dataset.id)
    assert (await rows(parts)).images == 0
    whole = b"".join([first, *[chunk async for chunk in stream]])
    assert (first.count(b"annotation_type"), whole.count(b"annotation_type")) == (0, 10)
    with pytest.raises(NotFound):
        await exports.by_id(TargetKind.DATASET, dataset.id)


async def test_an_import_by_its_name_makes_another(
    parts: Parts, principal: Principal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal_module, "_WITH_THE_ANSWER", timedelta(0))
    dataset = await new_dataset(parts, principal)
    await add(parts, principal, dataset)
    await parts.use_cases.datasets.delete(principal, dataset.id)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(solid_png())
    coco = '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}'
    (tmp_path / "coco.json").write_text(coco)
    source = SourcePaths(tmp_path / "coco.json", tmp_path / "images")
    report = await parts.use_cases.imports.run(principal, source, dataset.name, ImportOptions())
    assert report.images_new == 1
    assert report.dataset_id != dataset.id
    with pytest.raises(NotFound):
        await parts.use_cases.imports.run(principal, source, dataset.id, ImportOptions())


def test_every_table_of_a_dataset_goes_with_it() -> None:
    """What names a dataset has a foreign key that cascades.

    The log and the audit outlive what they tell of.
    """
    naming = [table for table in metadata.sorted_tables if "dataset_id" in table.c]
    assert len(naming) > 5
    for table in naming:
        keys = table.c.dataset_id.foreign_keys
        outlives = table in (events, audit_entries)
        assert [key.ondelete for key in keys] == ([] if outlives else ["CASCADE"])


@pytest.mark.parametrize("count_of", [0, 60])
async def test_subjects_go_with_what_is_theirs(
    parts: Parts, principal: Principal, settings: Settings, count_of: int
) -> None:
    use_cases = parts.use_cases
    subject, theirs = await subject_with_images(parts, principal, count=count_of)
    other, others = await subject_with_images(parts, principal, subject.dataset_id, count=1)
    for image in theirs[:2]:
        await compute(parts, principal, image)
    for ids in ([subject.id, "01890000-0000-7000-8000-000000000000"], ["no id"]):
        with pytest.raises(NotFound):
            await use_cases.subjects.delete(principal, subject.dataset_id, ids)
    with pytest.raises(NotFound):
        stranger = await other_company(parts)
        await use_cases.subjects.delete(stranger, subject.dataset_id, [subject.id])
    await use_cases.subjects.delete(principal, subject.dataset_id, [subject.id])
    left = await rows(parts)
    assert (left.images, left.analyses, left.artifacts) == (1, 0, 0)
    assert await use_cases.subjects.find(principal, None, subject.id) is None
    new = NewImage(subject.dataset_id, "late.png", subject_id=subject.id)
    with pytest.raises(NotFound):
        await use_cases.images.add(principal, new, io.BytesIO(solid_png()))
    assert await use_cases.subjects.get(principal, None, other.id) == other
    assert await has_file(parts, others[0])
    dataset = await use_cases.datasets.get(principal, subject.dataset_id)
    kinds = Counter(await told(parts, dataset))
    assert (kinds["subject.deleted"], kinds["batch.deleted"]) == (1, 1)
    assert kinds["image.deleted"] == count_of
    found, total = await use_cases.image_deletions.listed(principal, dataset.id, skip=0, limit=1000)
    assert total == count_of
    assert {(one.action.value, one.actor, one.reason) for one in found} <= {
        ("hard_delete", principal.name, "its subject was deleted")
    }
    assert await count(use_cases.database, subjects) == 1
    await check_files(parts, settings)


async def test_a_subject_that_was_half_removed_is_removed_whole(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, _ = await subject_with_images(parts, principal, count=7)
    monkeypatch.setattr(removal_module, "_WITH_THE_ANSWER", timedelta(0))
    await parts.use_cases.subjects.delete(principal, subject.dataset_id, [subject.id])
    removal = Removal(parts.use_cases.database, parts.sweep, images_at_once=2)
    assert await removal.finish(older_than=timedelta(hours=1)) == 0
    assert await removal.finish(seconds=0) == 0
    assert await removal.finish() == 7
    async with parts.use_cases.database.read() as connection:
        assert (await connection.execute(select(func.count(subjects.c.id)))).scalar() == 0
