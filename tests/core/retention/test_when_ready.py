"""Files that go as soon as the runs that came with the image are done with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, update

from opsin.assembly import Parts, assemble
from opsin.core import retention as retention_module
from opsin.core.access import Principal
from opsin.core.applications.applications import NewApplication
from opsin.core.contract import Step
from opsin.core.datasets import DatasetChanges
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Dataset, Image
from opsin.core.retention import Removed, Retention
from opsin.settings import Settings
from opsin.storage.applications import application_runs, image_runs
from opsin.storage.ids import new_id
from tests.core.house import ask
from tests.core.retention.kept import (
    add,
    check_files,
    deletions,
    has_file,
    in_days,
    kinds,
    new_dataset,
    rows,
)

NOTHING = Removed()
WHEN_READY = "file_when_ready: retention: the dataset keeps files until every run is done with them"


async def new_run(parts: Parts, dataset: Dataset) -> str:
    """The row of a run, of an application that nobody looks for."""
    now, identity = datetime.now(UTC), new_id()
    values = {
        "id": identity,
        "company_id": dataset.company_id,
        "dataset_id": dataset.id,
        "application_id": new_id(),
        "steps": [],
        "created_at": now,
        "updated_at": now,
    }
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(insert(application_runs).values(values))
    return identity


async def asked(
    parts: Parts, image: Image, run_id: str, *, done: bool, is_live: bool = True
) -> None:
    """That a run works on an image, or has."""
    now = datetime.now(UTC)
    values = {
        "image_id": image.id,
        "run_id": run_id,
        "company_id": image.company_id,
        "is_live": is_live,
        "created_at": now,
        "completed_at": now if done else None,
    }
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(insert(image_runs).values(values))


async def test_the_runs_that_it_came_for_have_ended(parts: Parts, principal: Principal) -> None:
    dataset = await new_dataset(parts, principal, when_ready=True)
    first, second = await new_run(parts, dataset), await new_run(parts, dataset)
    of_none, later, half, whole, twice = [
        await add(parts, principal, dataset, seed) for seed in range(5)
    ]
    await asked(parts, later, first, done=True, is_live=False)
    await asked(parts, half, first, done=True)
    await asked(parts, half, second, done=False)
    await asked(parts, whole, first, done=True)
    await asked(parts, whole, second, done=False, is_live=False)
    await asked(parts, twice, first, done=True)
    await asked(parts, twice, second, done=True)
    assert await parts.use_cases.retention.run() == Removed(files=2)
    images = (of_none, later, half, whole, twice)
    assert [await has_file(parts, one) for one in images] == [True, True, True, False, False]
    assert await deletions(parts, principal, whole) == [WHEN_READY]
    async with parts.use_cases.database.write() as transaction:
        now = datetime.now(UTC)
        await transaction.connection.execute(update(image_runs).values(completed_at=now))
    assert await parts.use_cases.retention.run() == Removed(files=1)
    assert not await has_file(parts, half)


async def test_whatever_else_was_asked_of_it_is_answered_before(
    parts: Parts, principal: Principal
) -> None:
    dataset = await new_dataset(parts, principal, when_ready=True)
    image = await add(parts, principal, dataset)
    await asked(parts, image, await new_run(parts, dataset), done=True)
    (queued,) = await ask(parts, principal, image)
    assert await parts.use_cases.retention.run(in_days(100)) == NOTHING
    await parts.use_cases.analyses.cancel(principal, queued.id)
    assert await parts.use_cases.retention.run() == Removed(files=1)


async def test_without_the_rule_nothing_goes(parts: Parts, principal: Principal) -> None:
    dataset = await new_dataset(parts, principal)
    image = await add(parts, principal, dataset)
    await asked(parts, image, await new_run(parts, dataset), done=True)
    assert await parts.use_cases.retention.run(in_days(1000)) == NOTHING
    assert await has_file(parts, image)


# --- beside the doors -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def watching(*sweepers: Retention) -> AsyncIterator[None]:
    running = [asyncio.create_task(one.watch()) for one in sweepers]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def until(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)


async def attached(parts: Parts, principal: Principal, *, when_ready: bool = True) -> Dataset:
    """A dataset whose images are measured as they come."""
    dataset = await new_dataset(parts, principal, when_ready=when_ready)
    steps = [Step("quality", "image_quality"), Step("colors", "dominant_colors")]
    application = await parts.use_cases.applications.create(
        principal, NewApplication("looks", steps)
    )
    await parts.use_cases.runs.attach(principal, application.id, dataset.id)
    return dataset


async def test_soon_after_its_last_analysis_by_whoever_watches(
    parts: Parts, principal: Principal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes watch: each file goes once, and all results are there."""
    monkeypatch.setattr(retention_module, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(retention_module, "_LOOK_SECONDS", 0.2)
    dataset = await attached(parts, principal)
    other = assemble(settings.model_copy(update={"database_url": parts.database_url}))
    async with (
        other.running(),
        watching(parts.use_cases.retention, other.use_cases.retention),
    ):
        images = [await add(parts, principal, dataset, seed) for seed in range(6)]
        assert await parts.worker.drain() == 12

        async def all_gone() -> bool:
            return not any([await has_file(parts, image) for image in images])

        await until(all_gone)
    for image in images:
        assert await deletions(parts, principal, image) == [WHEN_READY]
        told = await kinds(parts.use_cases.database, image)
        assert told == ["image.created", "run.completed", "image.file_deleted"]
    assert (await rows(parts)).analyses == 12
    await check_files(parts, settings)


async def test_a_rule_that_is_made_later_counts_soon(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(retention_module, "_LOOK_SECONDS", 0.2)
    dataset = await attached(parts, principal, when_ready=False)
    image = await add(parts, principal, dataset)
    await parts.worker.drain()
    async with watching(parts.use_cases.retention):
        await asyncio.sleep(0.5)
        assert await has_file(parts, image)
        await parts.use_cases.datasets.update(
            principal, dataset.id, DatasetChanges(delete_files_when_ready=True)
        )

        async def gone() -> bool:
            return not await has_file(parts, image)

        await until(gone)


async def test_one_that_something_else_was_asked_of_is_looked_at_again(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(retention_module, "_LOOK_SECONDS", 0.2)
    dataset = await attached(parts, principal)
    async with watching(parts.use_cases.retention):
        image = await add(parts, principal, dataset)
        more = await ask(parts, principal, image, "image_quality", priority=-100)
        await parts.worker.drain()

        async def gone() -> bool:
            return not await has_file(parts, image)

        await until(gone)
    found = await parts.use_cases.analyses.find(principal, more[0].id)
    assert found is not None
    assert found.status is AnalysisStatus.COMPLETED


async def test_a_watch_survives_a_database_that_does_not_answer(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(retention_module, "_LOOK_SECONDS", 0.05)
    now = datetime.now(UTC)
    failures = 0

    def clock() -> datetime:
        nonlocal failures
        if failures < 3:
            failures += 1
            raise RuntimeError("as a driver may")
        return now

    dataset = await attached(parts, principal)
    async with watching(Retention(parts.use_cases.database, parts.sweep, clock=clock)):
        image = await add(parts, principal, dataset)
        await parts.worker.drain()

        async def gone() -> bool:
            return not await has_file(parts, image)

        await until(gone)
    assert failures == 3
