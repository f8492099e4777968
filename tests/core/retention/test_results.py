"""Results that are not kept: what was computed here goes whole, pictures and others' words stay."""

import asyncio
from datetime import UTC, datetime

from sqlalchemy import select, update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.datasets import DatasetChanges
from opsin.core.engine import make_task
from opsin.core.immediate import PictureSource
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.retention import Removed
from opsin.core.testing import FakeOperation, Script
from opsin.settings import Settings
from opsin.storage.tables import analyses, events
from tests.core.given_plugins import house_of
from tests.core.house import ask
from tests.core.retention.kept import (
    add,
    check_files,
    compute,
    deletions,
    has_file,
    in_days,
    kinds,
    new_dataset,
    rows,
    tell,
)
from tests.pictures import noise_jpeg

NOTHING = Removed()


async def test_results_go_after_their_days_and_pictures_stay(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    dataset = await new_dataset(parts, principal, results=30)
    image, bare = await add(parts, principal, dataset), await add(parts, principal, dataset, 1)
    ours = [await compute(parts, principal, image), await compute(parts, principal, image)]
    told = await tell(parts, principal, image)
    assert await parts.use_cases.retention.run(in_days(29.9)) == NOTHING
    assert await parts.use_cases.retention.run(in_days(30.1)) == Removed(results=1)
    for analysis in ours:
        assert await parts.use_cases.analyses.find(principal, analysis.id) is None
    left = await rows(parts)
    assert (left.images, left.analyses, left.annotations, left.artifacts, left.embeddings) == (
        2, 1, 1, 1, 0,
    )  # fmt: skip
    assert await parts.use_cases.analyses.find(principal, told.id) == told
    assert await has_file(parts, image)
    await check_files(parts, settings)
    shown = await parts.use_cases.images.get(principal, image.id)
    assert shown.results_deleted_at is not None
    assert (await parts.use_cases.images.get(principal, bare.id)).results_deleted_at is None
    database = parts.use_cases.database
    assert await kinds(database, image) == ["image.created", "image.results_deleted"]
    assert await kinds(database, bare) == ["image.created"]
    async with database.read() as connection:
        data = select(events.c.data).where(events.c.kind == "image.results_deleted")
        assert (await connection.execute(data)).scalars().all() == [
            {
                "action": "expire_results",
                "reason": "the dataset keeps results for 30 days",
                "analyses": 2,
            }
        ]
    assert await deletions(parts, principal, image) == [
        "expire_results: retention: the dataset keeps results for 30 days"
    ]
    assert await parts.use_cases.retention.run(in_days(60)) == NOTHING


async def test_what_is_asked_of_an_old_image_is_answered_and_goes_too(
    parts: Parts, principal: Principal
) -> None:
    dataset = await new_dataset(parts, principal, results=30)
    image = await add(parts, principal, dataset)
    retention = parts.use_cases.retention
    await compute(parts, principal, image)
    assert await retention.run(in_days(31)) == Removed(results=1)
    (queued,) = await ask(parts, principal, image)
    assert await retention.run(in_days(31)) == NOTHING
    found = await parts.use_cases.analyses.find(principal, queued.id)
    assert found is not None
    assert found.status is AnalysisStatus.QUEUED
    await parts.use_cases.analyses.cancel(principal, queued.id)
    assert await retention.run(in_days(31)) == Removed(results=1)
    assert (await deletions(parts, principal, image))[1:] == [
        "expire_results: retention: the dataset keeps results for 30 days"
    ]


async def test_failed_and_cancelled_ones_go_and_imported_ones_stay(
    parts: Parts, principal: Principal
) -> None:
    """One that was imported from an export names the operation that made it, elsewhere."""
    dataset = await new_dataset(parts, principal, results=1)
    image = await add(parts, principal, dataset)
    asked = await ask(parts, principal, image, count=3)
    imported = asked[2].id
    past = datetime.now(UTC)
    async with parts.use_cases.database.write() as transaction:
        for analysis, values in (
            (asked[0].id, {"status": "FAILED", "completed_at": past}),
            (asked[1].id, {"status": "CANCELLED", "completed_at": past}),
            (imported, {"status": "COMPLETED", "completed_at": past, "external": True}),
        ):
            await transaction.connection.execute(
                update(analyses).where(analyses.c.id == analysis).values(**values)
            )
    assert await parts.use_cases.retention.run(in_days(2)) == Removed(results=1)
    async with parts.use_cases.database.read() as connection:
        assert (await connection.execute(select(analyses.c.id))).scalars().all() == [imported]


async def test_recorded_calls_go_as_all_others_do(
    settings: Settings, any_database_url: str
) -> None:
    """A call that was answered at once and recorded has a picture and results like any other."""
    house = house_of(
        settings,
        FakeOperation(script=Script(uses_device=False)),
        record_stateless=True,
        database_url=any_database_url,
    )
    async with house as parts:
        use_cases = parts.use_cases
        principal = await use_cases.access.local()
        await _record(parts, principal)
        [dataset], _ = await use_cases.datasets.page(principal, text="Recorded from")
        [image], _ = await use_cases.image_pages.page(principal, dataset_id=dataset.id)
        await use_cases.datasets.update(
            principal,
            dataset.id,
            DatasetChanges(expire_files_after_days=1, expire_results_after_days=2),
        )
        assert await use_cases.retention.run(in_days(1.5)) == Removed(files=1)
        assert await use_cases.retention.run(in_days(2.5)) == Removed(results=1)
        assert not await has_file(parts, image)
        assert (await rows(parts)).analyses == 0
        await check_files(parts, settings)
        # A deleted dataset is none that calls are recorded in.
        await use_cases.datasets.delete(principal, dataset.id)
        await _record(parts, principal)
        [other], _ = await use_cases.datasets.page(principal, text="Recorded from")
        assert other.id != dataset.id
        assert (await rows(parts)).images == 1


async def _record(parts: Parts, principal: Principal) -> None:
    """One call, answered and written down."""
    recorder = parts.use_cases.recorder
    assert recorder is not None
    running = asyncio.create_task(recorder.run())
    await asyncio.sleep(0)
    task = make_task(parts.use_cases.host, "fake", "fake")
    source = PictureSource(content=noise_jpeg(seed=7))
    await parts.use_cases.immediate.of_api("some API").analyze(principal, source, [task])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
