"""What the worker tells and writes while an image is still being worked on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from threading import Event, Semaphore
from typing import Any

import pytest
from sqlalchemy import select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.contract import Item, Runner
from opsin.core.errors import StorageError
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis, Image
from opsin.core.testing import FakeOperation, FakeResult, Script
from opsin.settings import Settings
from opsin.storage.database import Database
from opsin.storage.tables import events
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.core.stored import change_analyses, tell_of
from tests.core.working import found, until, until_all, working

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = AnalysisStatus
PERMITTED_SECONDS = 20


class Writing:
    """What the operation `write` does: a text, one word at a time, each when it may."""

    def __init__(self) -> None:
        self.words: Sequence[str] = ("a", "grey", "whale")
        self.permits: Semaphore | None = Semaphore(0)
        self.pause = 0.0
        self.enough = Event()
        """Has it come to its end."""
        self.told_apart: Callable[[Item[Any]], str] = lambda item: ""

    def write(self, batch: Sequence[Item[Any]]) -> None:
        for number in range(len(self.words)):
            if self.enough.is_set():
                return
            if self.permits is not None:
                assert self.permits.acquire(timeout=PERMITTED_SECONDS)
            time.sleep(self.pause)
            for item in batch:
                item.progress(self.told_apart(item) + " ".join(self.words[: number + 1]))


class Writer(Runner[Any, FakeResult]):
    uses_device = False

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    def run(self, batch: Sequence[Item[Any]]) -> Sequence[FakeResult]:
        self._writing.write(batch)
        return [FakeResult(mark=i.params.mark, width=0, height=0, batch_size=1) for i in batch]


@pytest.fixture
def writing() -> Writing:
    return Writing()


@pytest.fixture
async def parts(
    settings: Settings, any_database_url: str, writing: Writing
) -> AsyncIterator[Parts]:
    """A house with the operation `write`, on each kind of database."""
    write = FakeOperation("write", runner=lambda script: Writer(writing))
    async with house_of(settings, write, database_url=any_database_url) as parts:
        yield parts


@pytest.fixture
async def image(parts: Parts, principal: Principal) -> Image:
    return await add_image(parts, principal)


async def texts_of(database: Database, analysis: Analysis) -> list[str]:
    """The texts in progress that were told of an analysis, in their order."""
    statement = (
        select(events.c.data)
        .where(events.c.analysis_id == analysis.id, events.c.kind == "analysis.progress")
        .order_by(events.c.sequence)
    )
    async with database.read() as connection:
        return [data["text"] for data in (await connection.execute(statement)).scalars()]


async def until_told(parts: Parts, analysis: Analysis, count: int) -> None:
    """Wait until so many texts of an analysis were told."""

    async def reached() -> bool:
        return len(await texts_of(parts.use_cases.database, analysis)) == count

    await until(reached)


async def test_texts_are_told_while_they_are_written_and_before_the_end(
    parts: Parts, principal: Principal, image: Image, writing: Writing
) -> None:
    database = parts.use_cases.database
    (analysis,) = await ask(parts, principal, image, "write")
    assert writing.permits is not None
    async with working(parts):
        for count in (1, 2):
            writing.permits.release()
            await until_told(parts, analysis, count)
            assert (await found(parts, principal, [analysis]))[0].status is PROCESSING
        writing.permits.release()
        await until_all(parts, principal, [analysis])
    told = await tell_of(database, analysis.id)
    assert told[:4] == ["queued", "processing", "progress", "progress"]
    assert told[-1] == "completed"
    # The last word may have come together with the end.
    assert (await texts_of(database, analysis))[:2] == ["a", "a grey"]


async def test_a_fast_writer_is_told_of_now_and_then(
    parts: Parts, principal: Principal, image: Image, writing: Writing
) -> None:
    writing.permits, writing.pause = None, 0.002
    writing.words = [str(number) for number in range(5000)]
    writing.told_apart = lambda item: f"{item.params.mark}: "
    one, two = [(await ask(parts, principal, image, "write", mark=mark))[0] for mark in (1, 2)]

    async def were_told() -> bool:
        database = parts.use_cases.database
        return all([len(await texts_of(database, analysis)) >= 2 for analysis in (one, two)])

    started = time.monotonic()
    draining = asyncio.create_task(parts.worker.drain())
    await until(were_told)
    writing.enough.set()
    assert await draining == 2
    seconds = time.monotonic() - started
    for mark, analysis in enumerate((one, two), start=1):
        texts = await texts_of(parts.use_cases.database, analysis)
        assert 2 <= len(texts) <= seconds / 0.25 + 1
        assert all(text.startswith(f"{mark}: 0 1") or text == f"{mark}: 0" for text in texts)
        assert all(len(before) < len(after) for before, after in pairwise(texts))
        assert (await tell_of(parts.use_cases.database, analysis.id))[-1] == "completed"


async def test_a_cancelled_analysis_is_told_no_more(
    parts: Parts, principal: Principal, image: Image, writing: Writing
) -> None:
    database = parts.use_cases.database
    writing.told_apart = lambda item: f"{item.params.mark}: "
    stopped, kept = [(await ask(parts, principal, image, "write", mark=mark))[0] for mark in (1, 2)]
    assert writing.permits is not None
    async with working(parts):
        writing.permits.release()
        for analysis in (stopped, kept):
            await until_told(parts, analysis, 1)
        await parts.use_cases.analyses.cancel(principal, stopped.id)
        writing.permits.release()
        await until_told(parts, kept, 2)
        writing.permits.release()
        await until_all(parts, principal, [kept])
    told = ["queued", "processing", "progress", "cancelled"]
    assert await tell_of(database, stopped.id) == told


async def test_whose_lease_is_lost_tells_nothing(
    parts: Parts, principal: Principal, image: Image, writing: Writing
) -> None:
    """Another worker runs it by now, and tells of its own."""
    database = parts.use_cases.database
    (analysis,) = await ask(parts, principal, image, "write")
    assert writing.permits is not None
    async with working(parts):
        writing.permits.release()
        await until_told(parts, analysis, 1)
        await change_analyses(database, lease_id="01890000-0000-7000-8000-000000000000")
        writing.permits.release(2)
        await asyncio.sleep(0.6)
    assert await texts_of(database, analysis) == ["a"]
    assert await tell_of(database, analysis.id) == ["queued", "processing", "progress"]


async def test_a_text_that_no_database_takes_is_made_storable(
    parts: Parts, principal: Principal, image: Image, writing: Writing
) -> None:
    writing.words = ["a\x00b\ud800", "c"]
    (analysis,) = await ask(parts, principal, image, "write")
    assert writing.permits is not None
    async with working(parts):
        writing.permits.release()
        await until_told(parts, analysis, 1)
        writing.permits.release()
        await until_all(parts, principal, [analysis])
    assert (await texts_of(parts.use_cases.database, analysis))[0] == "ab?"


async def test_a_text_that_cannot_be_told_costs_nothing(
    parts: Parts,
    principal: Principal,
    image: Image,
    writing: Writing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def down(*arguments: Any) -> None:
        raise StorageError("the database could not do this now; try again")

    monkeypatch.setattr(parts.worker._queue, "tell", down)
    writing.permits, writing.pause = None, 0.1
    (analysis,) = await ask(parts, principal, image, "write")
    assert await parts.worker.drain() == 1
    assert await tell_of(parts.use_cases.database, analysis.id) == [
        "queued",
        "processing",
        "completed",
    ]


async def test_each_analysis_is_written_when_it_is_done(settings: Settings) -> None:
    """Not when the last one of its image is."""
    slow = Script(uses_device=False)
    operations = FakeOperation("slow", slow), FakeOperation("quick")
    async with house_of(settings, *operations) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        slow.running.close()
        (stuck,) = await ask(parts, principal, image, "slow")
        quick = await ask(parts, principal, image, "quick", count=5)
        async with working(parts):
            await until_all(parts, principal, quick)
            assert (await found(parts, principal, [stuck]))[0].status is PROCESSING
            slow.running.open()
            await until_all(parts, principal, [stuck])
