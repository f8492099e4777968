"""The worker: runs all that is queued, keeps its leases, and gives work back when it stops."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.records import Image
from opsin.core.testing import FakeOperation, Gate, Script
from opsin.settings import Settings
from opsin.storage.tables import analyses
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.core.stored import change_analyses, stored, tell_of
from tests.core.working import found, until_all, working

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = AnalysisStatus


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def parts(settings: Settings, any_database_url: str, script: Script) -> AsyncIterator[Parts]:
    """A house with the operation `fake`, on each kind of database."""
    operation = FakeOperation(script=script)
    async with house_of(settings, operation, database_url=any_database_url) as parts:
        yield parts


@pytest.fixture
async def image(parts: Parts, principal: Principal) -> Image:
    return await add_image(parts, principal)


# --- what is queued is run ------------------------------------------------------------------------


async def test_all_that_is_queued_is_run_once(
    parts: Parts, principal: Principal, script: Script
) -> None:
    images = [await add_image(parts, principal) for _ in range(5)]
    asked = [a for image in images for a in await ask(parts, principal, image, "fake", count=40)]
    assert await parts.worker.drain() == 200
    for analysis in await found(parts, principal, asked):
        assert (analysis.status, analysis.attempts) == (COMPLETED, 1)
        assert analysis.result_type == "FakeResult"
        assert analysis.result is not None and analysis.result["width"] == 40
        assert analysis.provenance is not None
        assert analysis.provenance["operation"] == "fake"
        assert analysis.started_at is not None and analysis.completed_at is not None
        assert analysis.created_at <= analysis.started_at <= analysis.completed_at
    assert sum(len(batch) for batch in script.batches) == 200
    database = parts.use_cases.database
    assert await tell_of(database, asked[0].id) == ["queued", "processing", "completed"]
    assert await parts.worker.drain() == 0


async def test_what_is_queued_later_is_run_by_a_running_worker(
    parts: Parts, principal: Principal, image: Image
) -> None:
    async with working(parts):
        for _ in range(3):
            asked = await ask(parts, principal, image, "fake", count=3)
            await until_all(parts, principal, asked)


async def test_one_slow_analysis_does_not_hold_up_the_others(settings: Settings) -> None:
    slow = Script(uses_device=False)
    operations = FakeOperation("slow", slow), FakeOperation("quick")
    async with house_of(settings, *operations, worker_batch=8) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        slow.running.close()
        (stuck,) = await ask(parts, principal, image, "slow", priority=9)
        others = [await add_image(parts, principal) for _ in range(40)]
        asked = [a for i in others for a in await ask(parts, principal, i, "quick")]
        async with working(parts):
            await until_all(parts, principal, asked)
            assert (await found(parts, principal, [stuck]))[0].status is PROCESSING
            slow.running.open()


# --- what happens to an analysis while it runs ----------------------------------------------------


async def test_an_analysis_cancelled_while_it_runs_keeps_nothing(
    parts: Parts, principal: Principal, image: Image, script: Script
) -> None:
    asked = await ask(parts, principal, image, "fake", count=3)
    script.running.close()
    draining = asyncio.create_task(parts.worker.drain())
    await script.running.arrival()
    await parts.use_cases.analyses.cancel(principal, asked[1].id)
    script.running.open()
    assert await draining == 2
    statuses = [a.status for a in await found(parts, principal, asked)]
    assert statuses == [COMPLETED, CANCELLED, COMPLETED]
    told = await tell_of(parts.use_cases.database, asked[1].id)
    assert told == ["queued", "processing", "cancelled"]
    assert (await stored(parts)).annotations == 0


async def test_an_image_deleted_while_it_is_analysed_takes_all_along(
    parts: Parts, principal: Principal, image: Image, script: Script
) -> None:
    other = await add_image(parts, principal)
    await ask(parts, principal, image, "fake", count=3)
    kept = await ask(parts, principal, other, "fake", count=3)
    script.running.close()
    draining = asyncio.create_task(parts.worker.drain())
    await script.running.arrival()
    await parts.use_cases.images.delete(principal, image.id)
    script.running.open()
    assert await draining == 3
    assert {a.status for a in await found(parts, principal, kept)} == {COMPLETED}
    assert (await stored(parts)).analyses == 3


async def test_a_cancelled_analysis_makes_room_without_waiting_for_its_runner(
    settings: Settings, any_database_url: str
) -> None:
    """The next renewal of the lease tells the worker, which stops waiting for it."""
    script = Script()
    quick = FakeOperation("quick", Script(uses_device=False))
    async with house_of(
        settings,
        FakeOperation("stuck", script),
        quick,
        database_url=any_database_url,
        worker_batch=1,
        lease_seconds=0.6,
    ) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        script.running.close()
        (stuck,) = await ask(parts, principal, image, "stuck", priority=1)
        async with working(parts):
            await script.running.arrival()
            await parts.use_cases.analyses.cancel(principal, stuck.id)
            asked = await ask(parts, principal, image, "quick")
            await until_all(parts, principal, asked)
            script.running.open()


# --- leases ---------------------------------------------------------------------------------------


async def test_a_slow_analysis_is_not_taken_by_another_worker(
    settings: Settings, any_database_url: str
) -> None:
    """It takes two leases; both workers look for lost work all the while."""
    script = Script()
    lease = 2.0  # renewed after a third of it, which a busy machine can be late for
    changes = {"database_url": any_database_url, "lease_seconds": lease}
    operation = FakeOperation(script=script)
    async with (
        house_of(settings, operation, **changes) as one,
        house_of(settings, operation, **changes) as two,
    ):
        principal = await one.use_cases.access.local()
        image = await add_image(one, principal)
        asked = await ask(one, principal, image, "fake", count=2)
        script.running.close()
        async with working(one, two):
            await script.running.arrival()
            await asyncio.sleep(2 * lease)
            script.running.open()
            await until_all(one, principal, asked)
        assert sum(len(batch) for batch in script.batches) == 2
        assert {a.attempts for a in await found(one, principal, asked)} == {1}


async def test_work_in_hand_is_kept_after_the_machine_was_asleep(
    parts: Parts, principal: Principal, image: Image, script: Script
) -> None:
    """Every lease ended meanwhile, but nobody else has taken them."""
    asked = await ask(parts, principal, image, "fake", count=3)
    script.running.close()
    async with working(parts):
        await script.running.arrival()
        past = datetime.now(UTC) - timedelta(hours=8)
        await change_analyses(parts.use_cases.database, lease_until=past)
        database, artifacts = parts.use_cases.database, parts.use_cases.artifacts
        lease = timedelta(seconds=60)
        queue = AnalysisQueue(database, artifacts, lease=lease, max_attempts=3)
        held = {a.lease_id for a in await leases(parts)}
        assert await queue.recover(holding=held) == 0
        script.running.open()
        await until_all(parts, principal, asked)
    assert {a.attempts for a in await found(parts, principal, asked)} == {1}
    assert sum(len(batch) for batch in script.batches) == 3


async def leases(parts: Parts) -> Sequence[Any]:
    async with parts.use_cases.database.read() as connection:
        statement = select(analyses.c.lease_id).where(analyses.c.status == "PROCESSING")
        return (await connection.execute(statement)).all()


# --- shutdown -------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["running", "loading"])
async def test_a_shutdown_gives_work_back_at_once_and_uncounted(
    settings: Settings, any_database_url: str, gate: str
) -> None:
    """Also while a runner hangs, or takes its time to load."""
    script = Script()
    held: Gate = getattr(script, gate)
    operation = FakeOperation(script=script)
    changes = {"database_url": any_database_url}
    async with house_of(settings, operation, **changes) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        asked = await ask(parts, principal, image, "fake", count=20)
        held.close()
        started = time.monotonic()
        async with working(parts):
            await held.arrival()
            started = time.monotonic()
        assert time.monotonic() - started < 15, "the runner is held for 30"
        for analysis in await found(parts, principal, asked):
            assert (analysis.status, analysis.attempts) == (QUEUED, 0)
            assert (analysis.error_code, analysis.error_message) == (None, None)
        # Another worker goes on at once.
        other = FakeOperation()
        async with house_of(settings, other, **changes) as second:
            assert await second.worker.drain() == 20
        assert {a.attempts for a in await found(parts, principal, asked)} == {1}
        held.open()


async def test_a_shutdown_in_the_middle_of_everything_loses_nothing(
    settings: Settings, any_database_url: str
) -> None:
    """Stopped again and again at odd moments; what was written stays, the rest goes on."""
    script = Script(latency=0.002, max_batch=4)
    operation = FakeOperation(script=script)
    changes = {"database_url": any_database_url, "worker_batch": 16}
    async with house_of(settings, operation, **changes) as parts:
        principal = await parts.use_cases.access.local()
        images = [await add_image(parts, principal) for _ in range(15)]
        asked = [a for i in images for a in await ask(parts, principal, i, "fake", count=20)]
        for number in range(25):
            async with working(parts):
                await asyncio.sleep(0.002 * number)
        async with asyncio.timeout(60):
            await parts.worker.drain()
        assert {a.status for a in await found(parts, principal, asked)} == {COMPLETED}
        assert {a.attempts for a in await found(parts, principal, asked)} == {1}
        database = parts.use_cases.database
        for analysis in asked:
            told = await tell_of(database, analysis.id)
            assert told[-1] == "completed" and told.count("completed") == 1
            assert told[:-1] == ["queued", "processing"] * (len(told) // 2), told
