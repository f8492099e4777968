"""Reads of JSON, straight through the driver: what a compiled read needs, and no more."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from opsin.core.errors import StorageError
from opsin.storage.json_sql import JsonSql, PostgresJson, SqliteJson
from opsin.storage.silent_peers import SERVER_SETTINGS, connection_class

READER_SETTINGS = {
    "default_transaction_read_only": "on",
    # Compiling a statement to machine code takes longer than running it.
    "jit": "off",
    # Every list has an index in its order: a page is read from it, and nothing is sorted.  Also of
    # tables that were empty when the plan was made.
    "enable_bitmapscan": "off",
    "enable_seqscan": "off",
    # Planned once.  A plan for the values themselves is made anew each time, and where one analysis
    # has half of all annotations it walks the whole table to find the first of them.
    "plan_cache_mode": "force_generic_plan",
    # The parts of a statement come one after the other, as they are written.
    "max_parallel_workers_per_gather": "0",
}


class StatementTooLarge(Exception):
    """The database cannot take in the statement: it is nested too deeply, or too long."""


# SQLite 3.46 and later nest as deeply as one likes; the last is PostgreSQL's.
_TOO_LARGE = ("parser stack overflow", "Expression tree is too large", "memory exhausted")
_UNAVAILABLE = "the database could not do this now; try again"


class Reader(Protocol):
    """Statements written with `sql`, their texts made by its `answer`; they see committed rows."""

    sql: JsonSql

    async def fetch_text(self, statement: str, parameters: Sequence[Any]) -> bytes | None:
        """One text in UTF-8, None for NULL; raises StorageError if the database cannot answer."""

    async def fetch_rows(
        self, statement: str, parameters: Sequence[Any]
    ) -> Sequence[Sequence[bytes | None]]:
        """Rows of texts, in the statement's order."""

    async def close(self) -> None: ...


class SqliteReader:
    """A few threads, each with a connection that can only read."""

    sql: JsonSql = SqliteJson()

    def __init__(self, connect: Callable[[], sqlite3.Connection], threads: int) -> None:
        self._connect = connect
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="opsin-read")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def fetch_text(self, statement: str, parameters: Sequence[Any]) -> bytes | None:
        rows = await self._run(statement, parameters)
        return rows[0][0] if rows else None

    async def fetch_rows(
        self, statement: str, parameters: Sequence[Any]
    ) -> Sequence[Sequence[bytes | None]]:
        return await self._run(statement, parameters)

    async def _run(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._read, statement, parameters)
        except sqlite3.Error as error:
            if str(error).startswith(_TOO_LARGE):
                raise StatementTooLarge from error
            raise StorageError(_UNAVAILABLE) from error

    def _read(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            self._connections.append(connection)
        return connection.execute(statement, [self.sql.parameter(p) for p in parameters]).fetchall()

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()
        self._connections.clear()


class PostgresReader:
    """Connections of its own: a general pool does as much at each turn as a small read costs."""

    sql: JsonSql = PostgresJson()

    def __init__(
        self, connect_arguments: Mapping[str, Any], size: int, name: str = "opsin"
    ) -> None:
        self._settings = {**SERVER_SETTINGS, **READER_SETTINGS, "application_name": name}
        self._connect_arguments = connect_arguments
        self.size = size
        self.in_use = 0
        """Connections that read for somebody now."""
        self._turns = asyncio.Semaphore(size)
        self._idle: list[Any] = []
        self._is_closed = False

    async def fetch_text(self, statement: str, parameters: Sequence[Any]) -> bytes | None:
        text: bytes | None = await self._call("fetchval", statement, parameters)
        return text

    async def fetch_rows(
        self, statement: str, parameters: Sequence[Any]
    ) -> Sequence[Sequence[bytes | None]]:
        rows: Sequence[Sequence[bytes | None]] = await self._call("fetch", statement, parameters)
        return rows

    async def _call(self, method: str, statement: str, parameters: Sequence[Any]) -> Any:
        import asyncpg

        # What it may be when the server has ended the connections that were idle.
        lost = (
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            asyncpg.OperatorInterventionError,
            asyncpg.PostgresConnectionError,
            OSError,
        )
        try:
            async with self._turns:
                try:
                    return await self._fetch(method, statement, parameters)
                except lost:
                    self._forget()
                    return await self._fetch(method, statement, parameters)
        except asyncpg.PostgresSyntaxError as error:
            if str(error).startswith(_TOO_LARGE):
                raise StatementTooLarge from error
            raise StorageError(_UNAVAILABLE) from error
        except asyncpg.StatementTooComplexError as error:
            raise StatementTooLarge from error
        except (*lost, asyncpg.PostgresError, TimeoutError) as error:
            raise StorageError(_UNAVAILABLE) from error

    async def _fetch(self, method: str, statement: str, parameters: Sequence[Any]) -> Any:
        self.in_use += 1
        try:
            return await self._fetch_on(method, statement, parameters)
        finally:
            self.in_use -= 1

    async def _fetch_on(self, method: str, statement: str, parameters: Sequence[Any]) -> Any:
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            given = [self.sql.parameter(one) for one in parameters]
            found = await getattr(connection, method)(statement, *given)
        except BaseException:
            # Also when whoever asked has gone: what the connection still does is not waited for.
            connection.terminate()
            raise
        if self._is_closed:
            connection.terminate()
        else:
            self._idle.append(connection)
        return found

    async def _connect(self) -> Any:
        import asyncpg

        if self._is_closed:
            raise asyncpg.InterfaceError("the reader is closed")
        connection = await asyncpg.connect(
            **self._connect_arguments,
            statement_cache_size=512,
            server_settings=self._settings,
            connection_class=connection_class(),
        )
        # Texts as they come: large ones are sent on as they are, and decoding is not for free.
        await connection.set_type_codec(
            "text", schema="pg_catalog", encoder=str.encode, decoder=bytes, format="binary"
        )
        return connection

    def _forget(self) -> None:
        while self._idle:
            self._idle.pop().terminate()

    async def close(self) -> None:
        self._is_closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.close() for connection in idle), return_exceptions=True)
