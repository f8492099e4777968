"""The queue: claimed once, in order, under a lease; results written once; the lost come back."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.contract import Annotation
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.finished import Finished
from opsin.core.records import Analysis
from opsin.storage.database import Database
from opsin.storage.tables import analyses, annotations, events
from tests.core.house import add_image, ask

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = AnalysisStatus
BOX = Annotation(annotation_type="bounding_box", data={"bbox": [1, 2, 3, 4], "format": "xywh"})


@pytest.fixture
def queue(parts: Parts) -> AnalysisQueue:
    lease, use_cases = timedelta(seconds=60), parts.use_cases
    return AnalysisQueue(use_cases.database, use_cases.artifacts, lease=lease, max_attempts=3)


def done(analysis: Analysis) -> Finished:
    return Finished(
        analysis, COMPLETED, result_type="Nothing", result={"a": 1}, annotations=[BOX, BOX]
    )


async def expire_leases(database: Database) -> None:
    async with database.write() as transaction:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await transaction.connection.execute(update(analyses).values(lease_until=past))


async def count(database: Database, table) -> int:  # type: ignore[no-untyped-def]  # any table
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def test_urgent_first_then_oldest(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    late = await ask(parts, principal, image, count=2, priority=-1)
    normal = await ask(parts, principal, image, count=2)
    urgent = await ask(parts, principal, image, count=2, priority=5)
    claims = [await queue.claim(most=4), await queue.claim(most=4), await queue.claim(most=4)]
    order = [analysis.id for claim in claims for analysis in claim.analyses]
    assert order == [a.id for a in (*urgent, *normal, *late)]
    assert claims[0].images[image.id] == image
    assert {a.status for a in claims[0].analyses} == {PROCESSING}


async def test_two_workers_never_claim_the_same(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    asked = {a.id for _ in range(4) for a in await ask(parts, principal, image, count=50)}

    async def work() -> list[str]:
        mine: list[str] = []
        while claim := (await queue.claim(most=7)).analyses:
            mine += [analysis.id for analysis in claim]
        return mine

    claimed = [i for mine in await asyncio.gather(*(work() for _ in range(6))) for i in mine]
    assert len(claimed) == len(asked) and set(claimed) == asked


async def test_results_and_event_come_together_and_once(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    await ask(parts, principal, image, count=3)
    claim = await queue.claim(most=10)
    assert await queue.finish(claim.lease_id, [done(a) for a in claim.analyses]) == 3
    assert await queue.finish(claim.lease_id, [done(a) for a in claim.analyses]) == 0
    database = parts.use_cases.database
    assert await count(database, annotations) == 6
    found = await parts.use_cases.analyses.find(principal, claim.analyses[0].id)
    assert found is not None
    assert (found.status, found.result, found.result_type) == (COMPLETED, {"a": 1}, "Nothing")
    assert found.completed_at is not None
    async with database.read() as connection:
        kinds = await connection.execute(
            select(events.c.kind)
            .where(events.c.analysis_id == found.id)
            .order_by(events.c.sequence)
        )
        assert kinds.scalars().all() == [
            "analysis.queued",
            "analysis.processing",
            "analysis.completed",
        ]


async def test_a_silent_workers_analyses_go_to_another_and_its_late_results_are_dropped(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    await ask(parts, principal, image, count=2)
    silent = await queue.claim(most=10)
    assert await queue.recover() == 0
    await expire_leases(parts.use_cases.database)
    assert await queue.recover() == 2
    assert (await queue.claim(most=10)).analyses == ()  # they are suspects, and wait for their turn
    second = await queue.claim_suspects()
    assert [a.attempts for a in second.analyses] == [2, 2]
    assert await queue.finish(silent.lease_id, [done(a) for a in silent.analyses]) == 0
    assert await queue.finish(second.lease_id, [done(a) for a in second.analyses]) == 2
    assert await count(parts.use_cases.database, annotations) == 4


async def test_an_analysis_that_kills_every_worker_ends(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    (asked,) = await ask(parts, principal, image)
    for claim in (queue.claim(most=1), queue.claim_suspects(), queue.claim_suspects()):
        assert len((await claim).analyses) == 1
        await expire_leases(parts.use_cases.database)
        assert await queue.recover() == 1
    found = await parts.use_cases.analyses.find(principal, asked.id)
    assert found is not None
    assert (found.status, found.error_code) == (FAILED, "WORKER_LOST")
    assert "3 attempts" in (found.error_message or "")
    assert (await queue.claim(most=1)).analyses == ()


async def test_a_renewed_lease_is_not_taken(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    await ask(parts, principal, image, count=2)
    claim = await queue.claim(most=2)
    await expire_leases(parts.use_cases.database)
    assert await queue.renew(claim.lease_id) == {a.id for a in claim.analyses}
    assert await queue.recover() == 0


async def test_a_cancelled_analysis_keeps_nothing_of_its_worker(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    await ask(parts, principal, image, count=2)
    claim = await queue.claim(most=2)
    cancelled = await parts.use_cases.analyses.cancel(principal, claim.analyses[0].id)
    assert cancelled.status is CANCELLED
    assert await queue.renew(claim.lease_id) == {claim.analyses[1].id}
    assert await queue.finish(claim.lease_id, [done(a) for a in claim.analyses]) == 1
    found = await parts.use_cases.analyses.find(principal, cancelled.id)
    assert found is not None and found.status is CANCELLED and found.result is None


async def test_given_back_work_waits_and_is_counted_or_not(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    await ask(parts, principal, image, count=2)
    claim = await queue.claim(most=2)
    free, later = claim.analyses
    await queue.finish(
        claim.lease_id,
        [
            Finished(free, QUEUED, count_attempt=False),
            Finished(later, QUEUED, error_code="OVERLOADED", retry_after=timedelta(hours=1)),
        ],
    )
    again = await queue.claim(most=2)
    assert [(a.id, a.attempts) for a in again.analyses] == [(free.id, 1)]
    waiting = await parts.use_cases.analyses.find(principal, later.id)
    assert waiting is not None and waiting.status is QUEUED and waiting.error_code is None


async def test_a_failed_analysis_is_retried_on_request(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    (asked,) = await ask(parts, principal, image)
    claim = await queue.claim(most=1)
    bad = Finished(claim.analyses[0], FAILED, error_code="OPERATION_FAILED", error_message="no")
    await queue.finish(claim.lease_id, [bad])
    back = await parts.use_cases.analyses.retry(principal, asked.id)
    assert (back.status, back.attempts, back.error_message) == (QUEUED, 0, None)
    assert [a.id for a in (await queue.claim(most=1)).analyses] == [asked.id]


async def test_a_deleted_image_takes_its_running_analyses_along(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    image = await add_image(parts, principal)
    await ask(parts, principal, image, count=2)
    claim = await queue.claim(most=2)
    await parts.use_cases.images.delete(principal, image.id)
    assert await queue.finish(claim.lease_id, [done(a) for a in claim.analyses]) == 0
    assert await count(parts.use_cases.database, analyses) == 0
    assert await count(parts.use_cases.database, annotations) == 0


async def test_what_was_beside_a_killer_is_told_from_it(
    parts: Parts, principal: Principal, queue: AnalysisQueue
) -> None:
    """One of forty ends whatever has it in hand; the others are beside it as often as can be."""
    database = parts.use_cases.database
    image = await add_image(parts, principal)
    asked = await ask(parts, principal, image, count=40)
    killer, ended, sizes = asked[23].id, set[str](), list[int]()
    claim = await queue.claim(most=100)
    while claim.analyses:
        sizes.append(len(claim.analyses))
        if any(analysis.id == killer for analysis in claim.analyses):
            await expire_leases(database)
            assert await queue.recover() == len(claim.analyses)
        else:
            done = [Finished(analysis, COMPLETED) for analysis in claim.analyses]
            assert await queue.finish(claim.lease_id, done) == len(done)
            ended |= {analysis.id for analysis in claim.analyses}
        claim = await queue.claim_suspects()
    assert sizes[:4] == [40, 16, 16, 8] and set(sizes[4:]) == {1}
    assert not await queue.has_suspects()
    assert ended == {analysis.id for analysis in asked} - {killer}
    (found,) = (await parts.use_cases.analyses.find_many(principal, [killer])).values()
    assert (found.status, found.error_code) == (FAILED, "WORKER_LOST")
