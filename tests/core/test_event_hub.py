"""One reader for all followers: what it shares, whom it tells to resync, and what wakes it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from opsin.assembly import Parts
from opsin.core import event_hub
from opsin.core.access import Principal
from opsin.core.events import RESYNC, Events
from opsin.storage.database import Database
from opsin.storage.event_log import CHANNEL, Event, EventFilter, NewEvent, last_position
from tests.core.working import until
from tests.graphql.statements import statements_of

LONG = 3600.0
"""A poll that never comes during a test."""


@pytest.fixture
async def elsewhere(parts: Parts) -> AsyncIterator[Database]:
    """The same database, opened by another process as far as signals are concerned."""
    database = Database(parts.database_url)
    yield database
    await database.close()


@pytest.fixture
async def log(parts: Parts) -> AsyncIterator[Events]:
    """The log of this process, which never polls."""
    events = Events(parts.use_cases.database, poll_seconds=LONG)
    yield events
    await events.close()


async def tell(database: Database, company: str, *kinds: str, **ids: Any) -> None:
    async with database.write() as transaction:
        for kind in kinds:
            transaction.emit(NewEvent(kind, company, **ids))


async def started(following: AsyncIterator[list[Event]]) -> "asyncio.Task[list[Event]]":
    """The next group to come, once the follower waits for it."""
    task = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0.2)
    assert not task.done()
    return task


async def taken(following: AsyncIterator[list[Event]], count: int) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(20):
        while len(events) < count:
            events += await anext(following)
    return events


async def test_a_commit_is_read_once_for_all(
    parts: Parts, principal: Principal, log: Events
) -> None:
    company = principal.company_id
    wanted = [EventFilter(company), EventFilter(company, kinds=("a",)), EventFilter("another")]
    followers = [log.follow(wanted[n % 3], after=0) for n in range(30)]
    waiting = [await started(following) for following in followers[:1]]
    waiting += [asyncio.ensure_future(anext(following)) for following in followers[1:]]
    await asyncio.sleep(0.5)
    with statements_of("events") as statements:
        await tell(parts.use_cases.database, company, "a", "b")
        groups = await asyncio.gather(*(task for n, task in enumerate(waiting) if n % 3 != 2))
    # PostgreSQL tells of the commit as well, maybe after it has been read.
    assert len(statements) <= 2
    assert {tuple(event.kind for event in group) for group in groups} == {("a", "b"), ("a",)}
    assert not any(task.done() for n, task in enumerate(waiting) if n % 3 == 2)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("named", ["dataset_id", "image_id", "analysis_id"])
async def test_an_event_of_nothing_is_not_for_those_who_want_something(
    parts: Parts, principal: Principal, log: Events, named: str
) -> None:
    company, one = principal.company_id, "01890000-0000-7000-8000-000000000001"
    everything = log.follow(EventFilter(company), after=0)
    something = log.follow(EventFilter(company, **{named: one}), after=0)  # type: ignore[arg-type]  # a member that takes a text
    all_of_it, some = await started(everything), await started(something)
    here = parts.use_cases.database
    await tell(here, company, "of nothing")
    assert [event.kind for event in await all_of_it] == ["of nothing"]
    await tell(here, company, "of something", **{named: one})
    assert [event.kind for event in await some] == ["of something"]
    assert [event.kind for event in await taken(everything, 1)] == ["of something"]


async def test_a_slow_follower_is_told_to_resync_and_misses_nothing(
    parts: Parts, principal: Principal, log: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "KEPT_EVENTS", 10)
    company, here = principal.company_id, parts.use_cases.database
    slow, quick = (log.follow(EventFilter(company), after=None) for _ in range(2))
    slow_task, quick_task = await started(slow), await started(quick)
    await tell(here, company, "first")
    first = await slow_task
    quick_seen = list(await quick_task)
    for number in range(25):  # the slow one reads none of these
        await tell(here, company, f"{number}")
        quick_seen += await taken(quick, 1)
    (resync,) = await anext(slow)
    assert (resync.kind, resync.sequence) == (RESYNC, first[-1].sequence)
    rest = await taken(slow, 25)
    assert [event.sequence for event in first + rest] == [e.sequence for e in quick_seen]
    assert RESYNC not in {event.kind for event in quick_seen + rest}
    await tell(here, company, "live again")
    assert [event.kind for event in await taken(slow, 1)] == ["live again"]


async def test_a_replay_that_is_long_is_no_reason_to_resync(
    parts: Parts, principal: Principal, log: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "KEPT_EVENTS", 2)
    company, here = principal.company_id, parts.use_cases.database
    await tell(here, company, *(f"{number}" for number in range(40)))
    following = log.follow(EventFilter(company), after=0)
    seen = await taken(following, 40)
    assert [event.kind for event in seen] == [f"{number}" for number in range(40)]


async def test_the_reader_ends_with_the_last_follower(
    parts: Parts, principal: Principal, log: Events
) -> None:
    before = asyncio.all_tasks()
    for _ in range(3):
        followers = [log.follow(EventFilter(principal.company_id), after=0) for _ in range(5)]
        waiting = [await started(following) for following in followers]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def nothing_left() -> bool:
        return asyncio.all_tasks() <= before and not await listeners(parts.use_cases.database)

    await until(nothing_left)


async def test_all_who_follow_are_cancelled_when_the_process_ends(
    parts: Parts, principal: Principal, log: Events
) -> None:
    waiting = await started(log.follow(EventFilter(principal.company_id), after=None))
    log.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(asyncio.CancelledError):  # and who comes later, at once
        await anext(log.follow(EventFilter(principal.company_id), after=0))


# What only PostgreSQL does: it tells of other processes' commits.


async def listeners(database: Database) -> list[int]:
    """The processes of PostgreSQL whose client listens."""
    if database.is_sqlite:
        return []
    statement = text(
        """SELECT pid FROM pg_stat_activity
           WHERE datname = current_database() AND query LIKE 'LISTEN %'"""
    )
    async with database.read() as connection:
        return list((await connection.execute(statement)).scalars())


# SQLite has no notifications.
on_postgresql = pytest.mark.parametrize("any_database_url", ["postgresql"], indirect=True)


@on_postgresql
async def test_another_process_is_heard_without_a_poll(
    principal: Principal, log: Events, elsewhere: Database
) -> None:
    following = log.follow(EventFilter(principal.company_id), after=None)
    waiting = await started(following)

    async def listening() -> bool:
        return len(await listeners(elsewhere)) == 1

    await until(listening)
    await tell(elsewhere, principal.company_id, "a", "b")
    async with asyncio.timeout(20):
        assert [event.kind for event in await waiting] == ["a", "b"]


@on_postgresql
async def test_nothing_is_missed_when_the_listening_connection_is_lost(
    principal: Principal, log: Events, elsewhere: Database
) -> None:
    company, seen = principal.company_id, []
    following = log.follow(EventFilter(company), after=None)
    waiting = await started(following)
    for number in range(5):

        async def listening() -> bool:
            return len(await listeners(elsewhere)) == 1

        await until(listening)
        (process,) = await listeners(elsewhere)
        async with elsewhere.write() as transaction:
            terminated = await transaction.connection.execute(
                text("SELECT pg_terminate_backend(:pid)"), {"pid": process}
            )
            assert terminated.scalar_one()
            transaction.emit(NewEvent(f"{number}", company))  # told to nobody
        async with asyncio.timeout(20):
            seen += [event.kind for event in await waiting]
        waiting = asyncio.ensure_future(anext(following))
    assert seen == ["0", "1", "2", "3", "4"]
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@on_postgresql
async def test_a_notification_carries_the_position_and_no_more(
    parts: Parts, principal: Principal
) -> None:
    here, told = parts.use_cases.database, asyncio.Queue[str]()
    _, arguments = here._reader.dialect.create_connect_args(here.url)
    connection = await asyncpg.connect(**arguments)
    try:
        await connection.add_listener(CHANNEL, lambda *given: told.put_nowait(given[3]))
        await tell(here, principal.company_id, "a", "b", "c")
        async with asyncio.timeout(20):
            payload = await told.get()
        async with here.read() as reading:
            assert payload == str(await last_position(reading))
        with pytest.raises(RuntimeError):
            async with here.write() as transaction:
                transaction.emit(NewEvent("never", principal.company_id))
                raise RuntimeError
        await tell(here, principal.company_id, "d")
        async with asyncio.timeout(20):
            assert int(await told.get()) > int(payload)
        assert told.empty()
    finally:
        await connection.close()
