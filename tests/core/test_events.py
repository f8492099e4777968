"""Following the log: each event once, in order, from any cursor, through failures."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import select

from opsin.assembly import Parts
from opsin.core import event_hub, patience
from opsin.core import events as events_module
from opsin.core.access import Principal
from opsin.core.errors import InvalidInput, StorageError
from opsin.core.events import Events, decode_position, encode_position
from opsin.storage.database import Database
from opsin.storage.event_log import EventFilter, NewEvent, read_events
from opsin.storage.tables import events
from tests.conftest import other_company
from tests.core.working import until


@pytest.fixture
async def elsewhere(parts: Parts) -> AsyncIterator[Database]:
    """The same database, opened by another process as far as signals are concerned."""
    database = Database(parts.database_url)
    yield database
    await database.close()


class Follower:
    """Collects what it is given until the test ends."""

    def __init__(self, log: Events, wanted: EventFilter, after: int, pause: float = 0.0) -> None:
        self.seen: list[int] = []
        self.task = asyncio.create_task(self._follow(log, wanted, after, pause))

    async def _follow(self, log: Events, wanted: EventFilter, after: int, pause: float) -> None:
        async for group in log.follow(wanted, after=after):
            for event in group:
                self.seen.append(event.sequence)
                await asyncio.sleep(pause)

    async def sees(self, expected: list[int]) -> None:
        async def all_seen() -> bool:
            return len(self.seen) >= len(expected) or self.task.done()

        await until(all_seen)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.seen == expected


async def write(database: Database, company: str, kinds: list[str], seed: int) -> None:
    """Transactions of a few events each, begun and committed at odd moments."""
    chance = random.Random(seed)
    for kind in kinds:
        await asyncio.sleep(chance.random() * 0.003)
        async with database.write() as transaction:
            for _ in range(chance.randrange(1, 4)):
                transaction.emit(NewEvent(kind, company))
            if chance.random() < 0.2:
                await asyncio.sleep(0.002)


async def log_of(database: Database, **wanted: Any) -> list[int]:
    conditions = [events.c[name] == value for name, value in wanted.items()]
    async with database.read() as connection:
        statement = select(events.c.sequence).where(*conditions).order_by(events.c.sequence)
        return list((await connection.execute(statement)).scalars())


async def test_everyone_sees_every_event_once_and_in_order(
    parts: Parts, principal: Principal, elsewhere: Database
) -> None:
    """Writers in two processes, followers from the start, the middle and the end."""
    company, stranger = principal.company_id, (await other_company(parts)).company_id
    here, log = parts.use_cases.database, parts.use_cases.events
    await write(here, company, ["a"] * 10, seed=0)
    middle = await log.position()
    start = [
        Follower(log, EventFilter(company), 0),
        Follower(log, EventFilter(company), 0, pause=0.001),
        Follower(Events(elsewhere, poll_seconds=0.02), EventFilter(company), middle),
        Follower(log, EventFilter(company, kinds=("b",)), 0),
        Follower(log, EventFilter(stranger), 0),
    ]
    await asyncio.gather(
        *(write(here, company, ["a", "b"] * 20, seed) for seed in range(3)),
        *(write(elsewhere, company, ["a", "b"] * 20, seed) for seed in range(3, 6)),
        write(elsewhere, stranger, ["b"] * 20, seed=9),
    )
    mine = await log_of(here, company_id=company)
    expected = [
        mine,
        mine,
        [sequence for sequence in mine if sequence > middle],
        await log_of(here, company_id=company, kind="b"),
        await log_of(here, company_id=stranger),
    ]
    for follower, sequences in zip(start, expected, strict=True):
        await follower.sees(sequences)


async def test_without_a_cursor_only_what_comes_is_told(parts: Parts, principal: Principal) -> None:
    company = principal.company_id
    here, log = parts.use_cases.database, parts.use_cases.events
    await write(here, company, ["old"] * 3, seed=0)
    following = log.follow(EventFilter(company), after=None)
    first = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0.1)
    await write(here, company, ["new"], seed=1)
    assert {event.kind for event in await first} == {"new"}
    await following.aclose()  # type: ignore[attr-defined]  # it is a generator


def fail_reads(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The next reads fail, of the hub and of each follower for itself."""
    for reader in (events_module, event_hub):
        monkeypatch.setattr(reader, "read_events", failing(times))


def failing(times: int) -> Callable[..., Any]:
    left = times

    async def read(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise StorageError("the database is down")
        return await read_events(*arguments, **named)

    return read


async def test_a_follower_waits_for_a_database_that_is_down(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, log = parts.use_cases.database, parts.use_cases.events
    monkeypatch.setattr(patience, "_SHORT_PAUSE", 0.01)
    follower = Follower(log, EventFilter(principal.company_id), 0)
    await write(here, principal.company_id, ["a"] * 3, seed=0)
    fail_reads(monkeypatch, 5)
    await write(here, principal.company_id, ["b"] * 3, seed=1)
    await follower.sees(await log_of(here, company_id=principal.company_id))


async def test_a_follower_is_told_when_it_stays_down(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_SHORT_PAUSE", 0.01)
    monkeypatch.setattr(patience, "_SECONDS", 0.1)
    fail_reads(monkeypatch, 1000)
    log = parts.use_cases.events
    with pytest.raises(StorageError):
        async with asyncio.timeout(5):
            await anext(log.follow(EventFilter(principal.company_id), after=0))


@pytest.mark.parametrize("text", ["", "-1", "1.0", "x", "9" * 17, "٣", " 1", "1 ", "0x10"])
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode_position(text)


def test_cursors_sort_as_texts() -> None:
    positions = [0, 9, 10, 2**31, 10**15]
    cursors = [encode_position(position) for position in positions]
    assert cursors == sorted(cursors)
    assert [decode_position(cursor) for cursor in cursors] == positions
