"""Numbers that are given once: to many at the same time, without gaps, also after a failure."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from opsin.storage.counters import next_number
from opsin.storage.database import Database


@pytest.fixture
async def databases(any_database_url: str) -> AsyncIterator[list[Database]]:
    """As several processes have them."""
    opened = [Database(any_database_url) for _ in range(3)]
    yield opened
    for database in opened:
        await database.close()


async def take(database: Database, name: str) -> int:
    async with database.write() as transaction:
        return await next_number(transaction.connection, name)


async def test_each_kind_begins_with_one(databases: list[Database]) -> None:
    first = databases[0]
    assert [await take(first, "whale") for _ in range(3)] == [1, 2, 3]
    assert await take(first, "seal") == 1
    assert await take(databases[1], "whale") == 4


async def test_many_who_ask_at_once(databases: list[Database]) -> None:
    found = await asyncio.gather(*(take(database, "whale") for database in databases * 10))
    assert sorted(found) == list(range(1, 31))


async def test_who_fails_leaves_no_gap(databases: list[Database]) -> None:
    with pytest.raises(RuntimeError):
        async with databases[0].write() as transaction:
            assert await next_number(transaction.connection, "whale") == 1
            raise RuntimeError
    assert await take(databases[1], "whale") == 1
