"""The end of a run's work on an image: told once, whoever ends the last analysis, and however."""

import asyncio
from datetime import timedelta

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.finished import Finished
from opsin.core.records import Analysis, Dataset
from opsin.core.subjects import NewSubject
from opsin.core.testing import Script
from tests.core.applications.conftest import Statements
from tests.core.applications.house import SAMPLE, add, asked_of, completed, told
from tests.core.house import ask
from tests.core.working import found

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = AnalysisStatus


def queue_of(parts: Parts, *, lease: timedelta = timedelta(seconds=60)) -> AnalysisQueue:
    use_cases = parts.use_cases
    return AnalysisQueue(use_cases.database, use_cases.artifacts, lease=lease, max_attempts=1)


@pytest.fixture
async def asked(parts: Parts, principal: Principal, dataset: Dataset) -> list[Analysis]:
    """The three analyses of one image, of a subject's batch."""
    subject = await parts.use_cases.subjects.create(principal, dataset.id, NewSubject("somebody"))
    batch = await parts.use_cases.batches.create(principal, dataset.id, subject.id)
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    await add(parts, principal, dataset, subject_id=subject.id, batch_id=batch.id)
    return await asked_of(parts, run.id)


async def test_the_last_ending_tells_of_all(
    parts: Parts, principal: Principal, asked: list[Analysis]
) -> None:
    queue = queue_of(parts)
    claim = await queue.claim(10)
    image = next(iter(claim.images.values()))
    for number, analysis in enumerate(claim.analyses):
        assert await told(parts, "run.completed") == []
        status = (COMPLETED, FAILED, COMPLETED)[number]
        assert await queue.finish(claim.lease_id, [Finished(analysis, status)]) == 1
    (event,) = await told(parts, "run.completed")
    assert (event.dataset_id, event.image_id) == (image.dataset_id, image.id)
    assert event.data == {
        "run_id": asked[0].run_id,
        "application_id": SAMPLE.id,
        "subject_id": image.subject_id,
        "batch_id": image.batch_id,
    }
    assert image.subject_id is not None and image.batch_id is not None
    last = (await told(parts, "analysis.completed"))[-1]
    assert event.sequence > last.sequence
    (ended,) = (await parts.use_cases.runs.of_images(principal, [image.id]))[image.id]
    assert ended.completed_at is not None


async def test_workers_that_end_the_last_analyses_at_the_same_moment_tell_once(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    images = await add(parts, principal, dataset, 12)
    queue = queue_of(parts)
    claim = await queue.claim(100)
    assert len(claim.analyses) == 36
    await asyncio.gather(
        *(queue.finish(claim.lease_id, [Finished(a, COMPLETED)]) for a in claim.analyses)
    )
    assert await completed(parts) == sorted(image.id for image in images)
    assert (await parts.use_cases.runs.counts(principal, [run.id]))[run.id].completed == 12


async def test_a_cancelled_analysis_is_an_ended_one(
    parts: Parts, principal: Principal, asked: list[Analysis]
) -> None:
    cancel = parts.use_cases.analyses.cancel
    await asyncio.gather(*(cancel(principal, analysis.id) for analysis in asked))
    assert len(await told(parts, "run.completed")) == 1
    for analysis in asked:
        await cancel(principal, analysis.id)
    assert len(await told(parts, "run.completed")) == 1


async def test_one_cancelled_while_the_others_run(
    parts: Parts, principal: Principal, asked: list[Analysis], script: Script
) -> None:
    script.running.close()
    draining = asyncio.create_task(parts.worker.drain())
    await script.running.arrival()
    await parts.use_cases.analyses.cancel(principal, asked[0].id)
    assert await told(parts, "run.completed") == []
    script.running.open()
    assert await draining == 2
    assert len(await told(parts, "run.completed")) == 1


async def test_a_failed_operation_does_not_hold_up_the_end(
    parts: Parts, principal: Principal, asked: list[Analysis], script: Script
) -> None:
    script.fails = lambda item: ValueError("broken") if item.params.mark == 1 else None
    await parts.worker.drain()
    statuses = [a.status for a in await found(parts, principal, asked)]
    assert statuses == [FAILED, COMPLETED, COMPLETED]
    assert len(await told(parts, "run.completed")) == 1


async def test_one_that_goes_back_into_the_queue_has_not_ended(
    parts: Parts, principal: Principal, asked: list[Analysis]
) -> None:
    queue = queue_of(parts)
    claim = await queue.claim(10)
    first, *rest = claim.analyses
    await queue.finish(claim.lease_id, [Finished(a, COMPLETED) for a in rest])
    back = Finished(first, QUEUED, count_attempt=False)
    await queue.finish(claim.lease_id, [back])
    assert await told(parts, "run.completed") == []
    assert await parts.worker.drain() == 1
    assert len(await told(parts, "run.completed")) == 1


async def test_one_that_is_lost_for_good_is_an_ended_one(
    parts: Parts, principal: Principal, asked: list[Analysis]
) -> None:
    queue = queue_of(parts, lease=timedelta(seconds=-1))
    await queue.claim(10)
    assert await queue.recover() == 3
    # All that were in hand are suspects, and each has to be lost alone.
    while (await queue.claim_suspects()).analyses:
        await queue.recover()
    assert {a.status for a in await found(parts, principal, asked)} == {FAILED}
    assert len(await told(parts, "run.completed")) == 1


async def test_a_retry_is_told_of_as_an_analysis_and_completes_nothing_again(
    parts: Parts, principal: Principal, asked: list[Analysis], script: Script
) -> None:
    script.fails = lambda item: ValueError("broken") if item.params.mark == 1 else None
    await parts.worker.drain()
    script.fails = lambda item: None
    image_id = asked[0].image_id
    (before,) = (await parts.use_cases.runs.of_images(principal, [image_id]))[image_id]
    retried = await parts.use_cases.analyses.retry(principal, asked[0].id)
    assert retried.run_id == asked[0].run_id
    assert await parts.worker.drain() == 1
    assert {a.status for a in await found(parts, principal, asked)} == {COMPLETED}
    assert len(await told(parts, "run.completed")) == 1
    assert (await parts.use_cases.runs.of_images(principal, [image_id]))[image_id] == [before]


async def test_a_retry_before_the_end_is_waited_for(
    parts: Parts, principal: Principal, asked: list[Analysis]
) -> None:
    await parts.use_cases.analyses.cancel(principal, asked[0].id)
    await parts.use_cases.analyses.retry(principal, asked[0].id)
    for analysis in asked[1:]:
        await parts.use_cases.analyses.cancel(principal, analysis.id)
    assert await told(parts, "run.completed") == []
    assert await parts.worker.drain() == 1
    assert len(await told(parts, "run.completed")) == 1


async def test_nothing_is_told_of_an_image_that_is_deleted_meanwhile(
    parts: Parts, principal: Principal, asked: list[Analysis], script: Script
) -> None:
    script.running.close()
    draining = asyncio.create_task(parts.worker.drain())
    await script.running.arrival()
    await parts.use_cases.images.delete(principal, asked[0].image_id)
    script.running.open()
    await draining
    assert await told(parts, "run.completed") == []


async def test_analyses_of_no_run_cost_nothing_more(
    parts: Parts, principal: Principal, dataset: Dataset, statements: Statements
) -> None:
    (image,) = await add(parts, principal, dataset)
    await ask(parts, principal, image, "fake", count=3)
    statements()
    assert await parts.worker.drain() == 3
    seen = statements()
    assert seen
    assert not [text for text in seen if "image_runs" in text or "run_id" in _where(text)]


def _where(statement: str) -> str:
    return statement.partition("WHERE")[2].partition("RETURNING")[0]
