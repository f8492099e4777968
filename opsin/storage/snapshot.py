"""Reads of any length, of one state of the database, on a connection of their own."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from opsin.core.errors import StorageError
from opsin.storage.database import connect_without_pool
from opsin.storage.json_sql import JsonSql, PostgresJson, SqliteJson

T = TypeVar("T")
Rows = Sequence[Sequence[Any]]

_CHUNK_CHARACTERS = 256 * 1024
_FIRST_ROWS, _MOST_ROWS = 16, 512  # long rows may follow short ones
_COLUMN_CHARACTERS = 64  # about what an id or a name takes
_UNAVAILABLE = "the database could not do this now; try again"


class Snapshot(Protocol):
    """One state of the database; whatever others commit meanwhile is not seen."""

    sql: JsonSql

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> AsyncGenerator[Rows, None]:
        """The rows in groups, each read when it is asked for; the last column decides how many.

        A group has 512 rows at most and about 256 KiB, so that neither many short rows nor a few
        long ones fill the memory.  Several statements may be read by turns.
        """


class SqliteSnapshot:
    """A transaction on a thread of its own."""

    sql: JsonSql = SqliteJson()

    def __init__(self, path: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="opsin-export")
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        self._connection = await self._run(self._connect)

    async def rows(
        self, statement: str, parameters: Sequence[Any] = ()
    ) -> AsyncGenerator[Rows, None]:
        connection = self._connection
        assert connection is not None
        given = [self.sql.parameter(value) for value in parameters]
        cursor = await self._run(lambda: connection.execute(statement, given))
        size = _FIRST_ROWS
        while rows := await self._run(partial(cursor.fetchmany, size)):
            yield rows
            size = _next_size(rows)

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.interrupt()  # of a caller who has gone in the middle
            await self._run(self._connection.close)
        self._thread.shutdown(wait=False)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for setting in ("busy_timeout=30000", "query_only=ON"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM companies LIMIT 1").fetchall()  # the state is that of now
        return connection

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except sqlite3.Error as error:
            raise StorageError(_UNAVAILABLE) from error


class PostgresSnapshot:
    """A read-only transaction, read through server-side cursors."""

    sql: JsonSql = PostgresJson()

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def rows(
        self, statement: str, parameters: Sequence[Any] = ()
    ) -> AsyncGenerator[Rows, None]:
        import asyncpg

        try:
            cursor = await self._driver.cursor(statement, *parameters)
            size = _FIRST_ROWS
            while rows := await cursor.fetch(size):
                yield rows
                size = _next_size(rows)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise StorageError(_UNAVAILABLE) from error


@asynccontextmanager
async def open_snapshot(url: URL) -> AsyncIterator[Snapshot]:
    """The state of now; its connection is closed at the end.  Raises StorageError."""
    opened = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgres(url)
    async with opened as snapshot:
        yield snapshot


@asynccontextmanager
async def _sqlite(url: URL) -> AsyncIterator[Snapshot]:
    snapshot = SqliteSnapshot(url.database or "")
    try:
        await snapshot.open()
        yield snapshot
    finally:
        await snapshot.close()


@asynccontextmanager
async def _postgres(url: URL) -> AsyncIterator[Snapshot]:
    engine = connect_without_pool(url)
    try:
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            async with driver.transaction(isolation="repeatable_read", readonly=True):
                # Rows in the order of their indexes from the first on: no table is read and sorted
                # as a whole, and nothing is compiled for a statement that only walks indexes.
                await driver.execute(
                    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
                    "SET LOCAL jit = off"
                )
                yield PostgresSnapshot(driver)
    except (DBAPIError, OSError) as error:
        raise StorageError(_UNAVAILABLE) from error
    finally:
        await engine.dispose()


def _next_size(rows: Rows) -> int:
    """As many as would have made a group of the right size, if they go on as they were."""
    characters = sum(len(row[-1]) for row in rows) + _COLUMN_CHARACTERS * len(rows) * len(rows[0])
    return max(1, min(len(rows) * _CHUNK_CHARACTERS // characters, 4 * len(rows), _MOST_ROWS))
