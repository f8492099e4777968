"""The worker when something around it fails: stores, leases, a full engine, an odd plugin."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from pydantic import field_validator

from opsin.assembly import Parts
from opsin.core import patience
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.errors import Cancelled, Overloaded, StorageError
from opsin.core.immediate import PictureSource
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.claims import Claim
from opsin.core.queue.finished import Finished
from opsin.core.records import Image
from opsin.core.testing import FakeOperation, FakeParams, Script
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from opsin.storage.blobs.local import LocalBlobStore
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.core.stored import blob_store, stored, tell_of
from tests.core.working import found, until, until_all, working
from tests.pictures import noise_jpeg, solid_png

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = AnalysisStatus


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def parts(settings: Settings, script: Script) -> AsyncIterator[Parts]:
    """A house on SQLite with the operation `fake`."""
    async with house_of(settings, FakeOperation(script=script)) as parts:
        yield parts


@pytest.fixture
async def image(parts: Parts, principal: Principal) -> Image:
    return await add_image(parts, principal)


# --- the blob store -------------------------------------------------------------------------------


async def test_a_picture_that_is_gone_or_damaged_fails_at_once(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    gone = await add_image(parts, principal, noise_jpeg(seed=1))
    damaged = await add_image(parts, principal, noise_jpeg(seed=2))
    well = await add_image(parts, principal, noise_jpeg(seed=3))
    store = blob_store(settings)
    await store.delete(content_key(gone.sha256))
    await store.put_file(content_key(damaged.sha256), io.BytesIO(solid_png()))
    asked = [a for i in (gone, damaged, well) for a in await ask(parts, principal, i, "fake")]
    assert await parts.worker.drain() == 3
    lost, changed, fine = await found(parts, principal, asked)
    assert (lost.status, lost.error_code) == (FAILED, "BLOB_NOT_FOUND")
    assert lost.error_message == "there is no such stored file"
    assert (changed.status, changed.error_code) == (FAILED, "BLOB_NOT_FOUND")
    assert "damaged" in (changed.error_message or "")
    assert fine.status is COMPLETED
    assert {a.attempts for a in (lost, changed)} == {1}
    # Sent again, it can be retried.
    await add_image(parts, principal, noise_jpeg(seed=1))
    await parts.use_cases.analyses.retry(principal, lost.id)
    assert await parts.worker.drain() == 1
    assert (await found(parts, principal, [lost]))[0].status is COMPLETED


def failing(times: int, original: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """The original, after it has failed so many times."""
    left = times

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        if left > 0:
            left -= 1
            raise error
        return original(*arguments, **named)

    return call


DOWN = StorageError("the store is down")


async def test_a_blob_store_that_is_down_for_a_while_costs_no_attempt(
    parts: Parts, principal: Principal, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await ask(parts, principal, image, "fake", count=3)
    monkeypatch.setattr(LocalBlobStore, "open", failing(4, LocalBlobStore.open, DOWN))
    assert await parts.worker.drain() == 3
    assert {a.attempts for a in await found(parts, principal, asked)} == {1}
    assert {a.status for a in await found(parts, principal, asked)} == {COMPLETED}


async def test_a_blob_store_that_stays_down_is_not_asked_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house_of(settings, FakeOperation(), max_attempts=1) as parts:
        principal = await parts.use_cases.access.local()
        (asked,) = await ask(parts, principal, await add_image(parts, principal), "fake")
        monkeypatch.setattr(patience, "_SECONDS", 0.1)
        monkeypatch.setattr(LocalBlobStore, "open", failing(99, LocalBlobStore.open, DOWN))
        assert await parts.worker.drain() == 1
        (analysis,) = await found(parts, principal, [asked])
        assert (analysis.status, analysis.error_code) == (FAILED, "STORAGE_ERROR")
        assert analysis.error_message == "Given up after 1 attempts: the store is down"


# --- the database ---------------------------------------------------------------------------------


async def test_results_wait_for_the_database(
    parts: Parts, principal: Principal, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await ask(parts, principal, image, "fake", count=3)
    monkeypatch.setattr(AnalysisQueue, "finish", failing(4, AnalysisQueue.finish, DOWN))
    assert await parts.worker.drain() == 3
    told = await tell_of(parts.use_cases.database, asked[0].id)
    assert told == ["queued", "processing", "completed"]


@pytest.mark.parametrize("error", [DOWN, RuntimeError("a bug")])
async def test_a_worker_that_cannot_claim_asks_again(
    parts: Parts,
    principal: Principal,
    image: Image,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    asked = await ask(parts, principal, image, "fake", count=3)
    for name in ("claim", "recover"):
        monkeypatch.setattr(AnalysisQueue, name, failing(2, getattr(AnalysisQueue, name), error))
    async with working(parts):
        await until_all(parts, principal, asked)


async def test_one_ending_that_cannot_be_written_does_not_cost_the_others(
    parts: Parts, principal: Principal, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await ask(parts, principal, image, "fake", count=8)
    original = AnalysisQueue.finish

    async def finish(queue: AnalysisQueue, lease_id: str, done: Sequence[Finished]) -> int:
        if any(item.analysis.id == asked[3].id and item.status is COMPLETED for item in done):
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return await original(queue, lease_id, done)

    monkeypatch.setattr(AnalysisQueue, "finish", finish)
    assert await parts.worker.drain() == 8
    statuses = [a.status for a in await found(parts, principal, asked)]
    assert statuses == [COMPLETED] * 3 + [FAILED] + [COMPLETED] * 4
    (bad,) = await found(parts, principal, [asked[3]])
    assert (bad.error_code, bad.attempts) == ("INTERNAL", 1)
    assert "server's log" in (bad.error_message or "")


async def test_a_heartbeat_that_fails_beats_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, renewed = Script(), asyncio.Event()
    original = AnalysisQueue.renew

    async def renew(queue: AnalysisQueue, lease_id: str) -> frozenset[str]:
        held = await original(queue, lease_id)
        renewed.set()
        return held

    async with house_of(settings, FakeOperation(script=script), lease_seconds=0.6) as parts:
        principal = await parts.use_cases.access.local()
        asked = await ask(parts, principal, await add_image(parts, principal), "fake", count=2)
        monkeypatch.setattr(AnalysisQueue, "renew", failing(1, renew, RuntimeError("a bug")))
        script.running.close()
        async with working(parts):
            async with asyncio.timeout(20):
                await renewed.wait()
            script.running.open()
            await until_all(parts, principal, asked)
        assert {a.attempts for a in await found(parts, principal, asked)} == {1}


async def test_a_claim_that_comes_while_the_worker_stops_is_given_back(
    parts: Parts, principal: Principal, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await ask(parts, principal, image, "fake", count=3)
    claimed = asyncio.Event()
    original = AnalysisQueue.claim

    async def claim(queue: AnalysisQueue, most: int) -> Claim:
        taken = await original(queue, most)
        claimed.set()
        await asyncio.sleep(0.1)
        return taken

    monkeypatch.setattr(AnalysisQueue, "claim", claim)
    async with working(parts):
        await claimed.wait()
    for analysis in await found(parts, principal, asked):
        assert (analysis.status, analysis.attempts) == (QUEUED, 0)


# --- the engine and the plugins -------------------------------------------------------------------


async def test_a_full_engine_costs_no_attempt(settings: Settings) -> None:
    """Others who ask and wait keep it full for longer than an analysis has attempts."""
    script = Script(max_batch=1)
    settings = settings.model_copy(update={"queue_limit": 2, "max_attempts": 1})
    async with house_of(settings, FakeOperation(script=script)) as parts:
        use_cases = parts.use_cases
        principal = await use_cases.access.local()
        image = await add_image(parts, principal)
        task = make_task(use_cases.host, "1", "fake")
        script.running.close()
        source = PictureSource(image_id=image.id)

        async def goes_on(*, running: int, queued: int) -> bool:
            found = use_cases.engine.statistics()
            counts = sum(one.running for one in found), sum(one.queued for one in found)
            return counts == (running, queued)

        asking = []
        for waiting in range(3):  # one by one: there is room for two, and one that runs
            analyzing = use_cases.immediate.analyze(principal, source, [task])
            asking.append(asyncio.create_task(analyzing))
            await until(partial(goes_on, running=1, queued=waiting))
        asked = await ask(parts, principal, image, "fake")

        async def was_refused() -> bool:
            told = await tell_of(use_cases.database, asked[0].id)
            return told[:3] == ["queued", "processing", "queued"]

        async with working(parts):
            await until(was_refused)
            script.running.open()
            await until_all(parts, principal, asked)
        assert [a.attempts for a in await found(parts, principal, asked)] == [1]
        await asyncio.gather(*asking, return_exceptions=True)


class RudeOverloaded(Overloaded):
    code = "x" * 100


@pytest.mark.parametrize(
    ("error", "code"),
    [(Cancelled("I stop"), "OPERATION_FAILED"), (RudeOverloaded("too much\x00"), "OVERLOADED")],
)
async def test_a_plugin_that_raises_our_errors_does_not_run_for_ever(
    settings: Settings, error: Exception, code: str
) -> None:
    script = Script(fails=lambda item: error)
    async with house_of(settings, FakeOperation(script=script), max_attempts=1) as parts:
        principal = await parts.use_cases.access.local()
        asked = await ask(parts, principal, await add_image(parts, principal), "fake", count=2)
        async with asyncio.timeout(30):
            assert await parts.worker.drain() == 2
        for analysis in await found(parts, principal, asked):
            assert (analysis.status, analysis.error_code) == (FAILED, code)
            assert error.args[0].replace("\x00", "") in (analysis.error_message or "")


async def test_params_whose_validator_has_a_bug_fail_alone(settings: Settings) -> None:
    class BuggyParams(FakeParams):
        @field_validator("mark")
        @classmethod
        def check(cls, mark: int) -> int:
            if mark == 1 and broken:
                raise ZeroDivisionError("in the validator")
            return mark

    broken = False
    operation = FakeOperation("buggy", params=BuggyParams)
    async with house_of(settings, operation) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        asked = [a for m in range(3) for a in await ask(parts, principal, image, "buggy", mark=m)]
        broken = True
        assert await parts.worker.drain() == 3
        statuses = [a.status for a in await found(parts, principal, asked)]
        assert statuses == [COMPLETED, FAILED, COMPLETED]
        assert (await stored(parts)).analyses == 3
