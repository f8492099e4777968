"""The database: events commit with their change and in order, errors are ours, nothing leaks."""

import asyncio
import sys
import uuid
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from opsin.core.errors import StorageError
from opsin.storage.database import Database, Signal
from opsin.storage.event_log import EventFilter, NewEvent, last_position, read_events
from opsin.storage.ids import canonical_id, new_id, new_ids
from opsin.storage.silent_peers import SERVER_SETTINGS
from opsin.storage.tables import companies, events
from tests.conftest import postgres_database
from tests.storage.rows import company_values

COMPANY = "01980000-0000-7000-8000-000000000000"


@pytest.fixture
async def database(any_database_url: str):  # type: ignore[no-untyped-def]  # an async generator
    opened = Database(any_database_url)
    yield opened
    await opened.close()


async def test_change_and_event_commit_together(database: Database) -> None:
    async with database.write() as transaction:
        await transaction.connection.execute(insert(companies).values(company_values("one")))
        transaction.emit(NewEvent("company.created", COMPANY))
    with pytest.raises(RuntimeError):
        async with database.write() as transaction:
            await transaction.connection.execute(insert(companies).values(company_values("two")))
            transaction.emit(NewEvent("company.created", COMPANY))
            raise RuntimeError("the use case failed")
    async with database.read() as connection:
        assert (await connection.execute(select(companies.c.name))).scalars().all() == ["one"]
        found = await read_events(connection, EventFilter(COMPANY), after=0, limit=10)
    assert [event.kind for event in found] == ["company.created"]


async def test_events_are_seen_in_order_whoever_commits_first(database: Database) -> None:
    """A reader that goes on from the last event it saw never misses one that commits later."""

    async def write(number: int) -> None:
        async with database.write() as transaction:
            await transaction.connection.execute(
                insert(companies).values(company_values(f"c{number}"))
            )
            await asyncio.sleep(0.001 * (number % 7))
            transaction.emit(NewEvent("n", COMPANY, data={"number": number}))

    seen: list[int] = []

    async def follow() -> None:
        position = 0
        while len(seen) < 120:
            async with database.read() as connection:
                found = await read_events(connection, EventFilter(COMPANY), after=position, limit=7)
            for event in found:
                assert event.sequence > position
                position = event.sequence
                seen.append(event.data["number"])
            await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await asyncio.gather(follow(), *(write(number) for number in range(120)))
    assert sorted(seen) == list(range(120))


async def test_filters_of_the_log(database: Database) -> None:
    image, analysis = new_id(), new_id()
    async with database.write() as transaction:
        transaction.emit(NewEvent("a", COMPANY, image_id=image))
        transaction.emit(NewEvent("b", COMPANY, image_id=image, analysis_id=analysis))
        transaction.emit(NewEvent("b", new_id(), image_id=image, analysis_id=analysis))

    async def kinds(wanted: EventFilter) -> list[str]:
        async with database.read() as connection:
            return [e.kind for e in await read_events(connection, wanted, after=0, limit=10)]

    assert await kinds(EventFilter(COMPANY)) == ["a", "b"]
    assert await kinds(EventFilter(COMPANY, kinds=("b",))) == ["b"]
    assert await kinds(EventFilter(COMPANY, analysis_id=analysis)) == ["b"]
    assert await kinds(EventFilter(new_id(), image_id=image)) == []
    async with database.read() as connection:
        assert await last_position(connection) == 3


async def test_json_comes_back_as_it_went_in(database: Database) -> None:
    data = {
        "z": 1,
        "a": 0.1,
        "big": 2**70,
        "ü": ["\u2028", None, 1e-300, -0.0],
        "n": {"y": 1, "x": 2},
    }
    async with database.write() as transaction:
        transaction.emit(NewEvent("json", COMPANY, data=data))
    async with database.read() as connection:
        stored = (await connection.execute(select(events.c.data))).scalar_one()
    assert stored == data
    assert list(stored) == list(data) and list(stored["n"]) == ["y", "x"]


async def test_a_failing_statement_is_our_error(database: Database) -> None:
    with pytest.raises(StorageError, match="try again"):
        async with database.read() as connection:
            await connection.execute(text("SELECT * FROM nowhere"))
    async with database.read() as connection:  # and the pool is still whole
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1


async def test_another_process_may_hold_sqlites_lock(tmp_path: Path) -> None:
    """A write waits for another process's transaction instead of failing."""
    path = tmp_path / "shared.sqlite3"
    database = Database(f"sqlite:///{path}")
    async with database.write() as transaction:
        await transaction.connection.execute(text("CREATE TABLE t (n INTEGER)"))
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert (await holder.stdout.readline()).strip() == b"held"
    async with database.write() as transaction:
        await transaction.connection.execute(text("INSERT INTO t VALUES (2)"))
    await holder.wait()
    async with database.read() as connection:
        rows = await connection.execute(text("SELECT n FROM t ORDER BY n"))
        assert rows.scalars().all() == [1, 2]
    await database.close()


_HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO t VALUES (1)")
print("held", flush=True)
time.sleep(0.5)
connection.execute("COMMIT")
"""


async def test_a_signal_during_the_look_is_not_missed() -> None:
    signal = Signal()
    seen = signal.fired
    signal.fire()
    async with asyncio.timeout(1):
        await signal.wait(seen, 60)
    waiting = asyncio.create_task(signal.wait(signal.fired, 60))
    await asyncio.sleep(0)
    signal.fire()
    async with asyncio.timeout(1):
        await waiting
    await signal.wait(signal.fired, 0.01)  # nothing fires: ends by itself


def test_ids_ascend_and_are_version_seven() -> None:
    ids = [*new_ids(5000), *(new_id() for _ in range(1000))]
    assert ids == sorted(ids) and len(set(ids)) == len(ids)
    assert {uuid.UUID(i).version for i in ids} == {7}


@pytest.mark.parametrize("text", ["", "x", "123", None, 5, "01980000-0000-7000-8000-00000000000g"])
def test_what_is_no_id(text: object) -> None:
    assert canonical_id(text) is None


def test_an_id_has_one_form() -> None:
    expected = "01980000-0000-7000-8000-000000000abc"
    assert canonical_id("01980000000070008000000000000ABC") == expected


async def test_a_closed_connection_lets_go_of_sqlites_lock(tmp_path: Path) -> None:
    """Also when somebody still holds a cursor, as the traceback of a cancelled caller does."""
    database = Database(f"sqlite:///{tmp_path / 'locked.sqlite3'}")
    with pytest.raises(asyncio.CancelledError):
        async with database.write() as transaction:
            raw = await transaction.connection.get_raw_connection()
            assert raw.driver_connection is not None
            cursor = await raw.driver_connection.execute("SELECT 1 UNION SELECT 2")
            await transaction.connection.invalidate()  # SQLAlchemy, when a caller is cancelled
            raise asyncio.CancelledError
    async with asyncio.timeout(5), database.write() as transaction:
        await transaction.connection.execute(text("SELECT 1"))
    del cursor
    await database.close()


async def test_a_transaction_that_keeps_files_for_long_is_not_ended(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SERVER_SETTINGS, "idle_in_transaction_session_timeout", "200")
    async with postgres_database(postgres) as url:
        database = Database(url)
        try:
            async with database.write() as transaction:
                await transaction.lock_blobs(exclusive=False, for_long=True)
                await asyncio.sleep(1.5)
                assert (await transaction.connection.execute(text("SELECT 1"))).scalar() == 1
            with pytest.raises(StorageError):  # any other is, also on the same connection
                async with database.write() as transaction:
                    await transaction.lock_blobs(exclusive=False)
                    await asyncio.sleep(1.5)
                    await transaction.connection.execute(text("SELECT 1"))
        finally:
            await database.close()
