"""The reader: one text a statement, straight through the driver, and never a write."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from opsin.core.errors import StorageError
from opsin.storage.database import Database
from opsin.storage.reader import StatementTooLarge


@pytest.fixture
async def database(any_database_url: str) -> AsyncIterator[Database]:
    made = Database(any_database_url)
    yield made
    await made.close()


async def answer(database: Database, expression: str, *parameters: object) -> bytes | None:
    reader = database.reader
    return await reader.fetch_text(f"SELECT {reader.sql.answer(expression)}", parameters)


async def test_texts_come_as_bytes(database: Database) -> None:
    assert await answer(database, "'{\"é\":1}'") == '{"é":1}'.encode()
    assert await answer(database, "NULL") is None


async def test_many_read_at_once(database: Database) -> None:
    found = await asyncio.gather(*(answer(database, f"'{n}'") for n in range(50)))
    assert found == [str(n).encode() for n in range(50)]


async def test_what_writes_is_refused(database: Database) -> None:
    with pytest.raises(StorageError):
        await database.reader.fetch_text("DELETE FROM events RETURNING kind", [])


async def test_committed_rows_are_seen_at_once(database: Database) -> None:
    count = database.reader.sql.plain("(SELECT count(*) FROM companies)")
    assert await answer(database, f"{count}||''") == b"0"
    async with database.write() as transaction:
        await transaction.connection.execute(
            text(
                "INSERT INTO companies (id, name, created_at) VALUES "
                "('01890000-0000-7000-8000-000000000000', 'one', '2026-01-31 12:00:00.000000')"
            )
        )
    assert await answer(database, f"{count}||''") == b"1"


async def test_an_error_of_the_database_is_a_storage_error(database: Database) -> None:
    with pytest.raises(StorageError):
        await answer(database, "(SELECT kind FROM no_such_table)")


async def test_what_is_nested_beyond_the_database_is_told_apart(database: Database) -> None:
    deep = "(SELECT " * 4_000 + "1" + ")" * 4_000
    with pytest.raises(StatementTooLarge):
        await answer(database, deep)


@pytest.mark.parametrize("any_database_url", ["postgresql"], indirect=True)
async def test_connections_that_the_server_has_ended_are_replaced(database: Database) -> None:
    await asyncio.gather(*(answer(database, "'x'") for _ in range(20)))
    async with database.write() as transaction:
        await transaction.connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert await answer(database, "'still there'") == b"still there"


async def test_a_closed_reader_leaves_no_connection(any_database_url: str) -> None:
    one, other = Database(any_database_url), Database(any_database_url)
    await asyncio.gather(*(answer(one, "'x'") for _ in range(20)))
    await one.close()
    if not other.is_sqlite:
        async with other.read() as connection:
            mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            assert (await connection.execute(text(mine))).scalar() == 1
    await other.close()
