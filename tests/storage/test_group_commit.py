"""Writes that share a transaction: together or alone, each caller hears of its own and no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from opsin.core.errors import InvalidInput, StorageError
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import EventFilter, NewEvent, read_events
from opsin.storage.group_commit import MOST, GroupCommit
from opsin.storage.tables import companies
from tests.storage.rows import company_values

COMPANY = "01980000-0000-7000-8000-000000000000"


@pytest.fixture
async def database(any_database_url: str) -> AsyncIterator[Database]:
    opened = Database(any_database_url)
    yield opened
    await opened.close()


class Writer:
    """Inserts companies by name, one statement each; remembers what came together."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.begun = asyncio.Event()

    async def __call__(
        self, transaction: Transaction, names: Sequence[str]
    ) -> list[str | Exception]:
        self.groups.append(list(names))
        self.begun.set()
        answers: list[str | Exception] = []
        for name in names:
            if name == "refused":
                answers.append(InvalidInput("no such name"))
                continue
            if name == "broken":
                raise RuntimeError("a mistake of ours")
            values = company_values(name)
            await transaction.connection.execute(insert(companies).values(values))
            transaction.emit(NewEvent("made", COMPANY, data={"name": name}))
            answers.append(name.upper())
        return answers


async def stored(database: Database) -> tuple[set[str], list[str]]:
    """The names of the companies, and those that events tell of."""
    async with database.read() as connection:
        names = (await connection.execute(select(companies.c.name))).scalars().all()
        told = await read_events(connection, EventFilter(COMPANY), after=0, limit=1000)
    return set(names), [event.data["name"] for event in told]


async def test_who_comes_while_one_runs_joins_the_next(database: Database) -> None:
    writer = Writer()
    group = GroupCommit(database, writer)
    names = [f"c{number}" for number in range(MOST + 30)]
    first = asyncio.create_task(group.add("first"))
    await writer.begun.wait()
    answers = await asyncio.gather(*map(group.add, names))
    assert await first == "FIRST"
    assert answers == [name.upper() for name in names]
    assert writer.groups == [["first"], names[:MOST], names[MOST:]]
    # Each with its event, in the order in which they came.
    assert await stored(database) == ({"first", *names}, ["first", *names])


async def test_what_one_is_refused_is_nothing_to_the_others(database: Database) -> None:
    writer = Writer()
    group = GroupCommit(database, writer)
    wanted = ("a", "refused", "b")
    answers = await asyncio.gather(*map(group.add, wanted), return_exceptions=True)
    assert [answers[0], answers[2]] == ["A", "B"]
    assert isinstance(answers[1], InvalidInput)
    assert writer.groups == [list(wanted)]
    assert await stored(database) == ({"a", "b"}, ["a", "b"])


@pytest.mark.parametrize("bad", ["broken", "there"])
async def test_what_breaks_the_transaction_fails_alone(database: Database, bad: str) -> None:
    writer = Writer()
    group = GroupCommit(database, writer)
    await group.add("there")  # a second one of this name is refused by the database
    answers = await asyncio.gather(*map(group.add, ("a", bad, "b")), return_exceptions=True)
    assert [answers[0], answers[2]] == ["A", "B"]
    assert isinstance(answers[1], RuntimeError if bad == "broken" else IntegrityError)
    assert writer.groups[1:] == [["a", bad, "b"], ["a"], [bad], ["b"]]
    assert await stored(database) == ({"there", "a", "b"}, ["there", "a", "b"])


async def test_a_commit_that_fails_is_tried_by_nobody_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what became of it: a second try could write everything twice."""

    async def fails(*_: object) -> None:
        raise OSError("the connection is gone")

    writer = Writer()
    group = GroupCommit(database, writer)
    monkeypatch.setattr("opsin.storage.database.append_events", fails)
    answers = await asyncio.gather(*map(group.add, "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageError, StorageError]
    assert writer.groups == [["a", "b"]]
    monkeypatch.undo()
    assert await group.add("c") == "C"
    assert await stored(database) == ({"c"}, ["c"])


async def test_a_database_that_is_down_is_asked_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async def write(_transaction: Transaction, names: Sequence[str]) -> list[str | Exception]:
        nonlocal calls
        calls += 1
        raise OSError("no route to the database")

    group: GroupCommit[str, str] = GroupCommit(database, write)
    answers = await asyncio.gather(*map(group.add, "abc"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageError] * 3
    assert calls == 1


async def test_who_leaves_takes_nothing_from_the_others(database: Database) -> None:
    writer = Writer()
    group = GroupCommit(database, writer)
    leaving, staying = (asyncio.create_task(group.add(name)) for name in ("a", "b"))
    await writer.begun.wait()
    leaving.cancel()
    assert await staying == "B"
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await stored(database) == ({"a", "b"}, ["a", "b"])
