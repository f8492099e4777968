"""Connections of cancelled callers: nobody waits for a lost one, and closing leaves none open."""

import asyncio
import gc
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from opsin.core.errors import StorageError
from opsin.storage.database import Database


async def _write(database: Database) -> None:
    async with database.write() as transaction:
        await transaction.connection.execute(text("SELECT 1"))


@pytest.mark.parametrize("steps", range(0, 16, 3))
async def test_a_cancelled_first_caller_does_not_hold_up_the_next(
    tmp_path: Path, steps: int
) -> None:
    """However far it has come with the making of the only connection."""
    database = Database(f"sqlite:///{tmp_path / 'turns.sqlite3'}")
    first = asyncio.create_task(_write(database))
    others = [asyncio.create_task(_write(database)) for _ in range(3)]
    for _ in range(steps):
        await asyncio.sleep(0)
    first.cancel()
    started = time.monotonic()
    await asyncio.gather(*others)
    assert time.monotonic() - started < 30  # where nobody is woken it is a minute
    await asyncio.gather(first, return_exceptions=True)
    await database.close()


async def test_closing_waits_for_who_is_at_it(tmp_path: Path) -> None:
    """A connection that came back to a closed pool would be left to the garbage collector."""
    database = Database(f"sqlite:///{tmp_path / 'turns.sqlite3'}")
    inside, leave = asyncio.Event(), asyncio.Event()

    async def reader() -> None:
        async with database.read() as connection:
            inside.set()
            await leave.wait()
            await connection.execute(text("SELECT 1"))

    reading = asyncio.create_task(reader())
    await inside.wait()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    leave.set()
    await asyncio.gather(reading, closing)
    gc.collect()  # a connection left open would be complained of here
    with pytest.raises(StorageError):
        await _write(database)
