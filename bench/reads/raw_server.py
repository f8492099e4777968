"""`python -m bench.reads.raw_server PORT URL`: raw SQL as a bare ASGI application.

It reads a request that names a shape, runs the statement written for it, and sends its bytes.
"""

import asyncio
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import orjson
import uvicorn
from sqlalchemy.engine import make_url

from bench.reads.raw_sql import prepare_postgres, read_postgres, read_sqlite
from bench.reads.tools import CONNECTIONS

SQLITE_THREADS = 4


class Postgres:
    """A few connections, handed out without the work that a pool does at each turn."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()

    async def open(self, stack: AsyncExitStack) -> None:
        for _ in range(CONNECTIONS):
            connection = await connect(self._url)
            stack.push_async_callback(connection.close)
            self._idle.put_nowait(connection)

    async def read(self, shape: str, values: list[Any]) -> bytes:
        connection = await self._idle.get()
        try:
            return await read_postgres(connection, shape, values)
        finally:
            self._idle.put_nowait(connection)


class Sqlite:
    """A few threads, each with a connection."""

    def __init__(self, url: str) -> None:
        self._path = make_url(url).database
        self._idle: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(SQLITE_THREADS)

    async def open(self, stack: AsyncExitStack) -> None:
        for _ in range(SQLITE_THREADS):
            connection = open_sqlite(self._path or "")
            stack.callback(connection.close)
            self._idle.append(connection)

    async def read(self, shape: str, values: list[Any]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._read, shape, values
        )

    def _read(self, shape: str, values: list[Any]) -> bytes:
        connection = self._idle.pop()  # never empty: there are as many threads
        try:
            return read_sqlite(connection, shape, values)
        finally:
            self._idle.append(connection)


async def connect(url: str) -> Any:
    """A connection of asyncpg for the URL, whose texts are bytes."""
    import asyncpg

    parsed = make_url(url)
    connection = await asyncpg.connect(
        host=str(parsed.query.get("host", parsed.host)),
        user=parsed.username,
        database=parsed.database,
        # Otherwise it is planned anew each time, which takes longer than a small page.
        server_settings={"plan_cache_mode": "force_generic_plan"},
    )
    await prepare_postgres(connection)
    return connection


def open_sqlite(path: str) -> sqlite3.Connection:
    """A connection for any thread, with the same caches as opsin's."""
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA mmap_size=268435456")
    connection.execute("PRAGMA cache_size=-65536")
    return connection


def application(url: str) -> Any:
    """The ASGI application."""
    database = Sqlite(url) if url.startswith("sqlite") else Postgres(url)
    headers = [(b"content-type", b"application/json")]
    stack = AsyncExitStack()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await database.open(stack)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await stack.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        asked = orjson.loads((await receive())["body"])  # one this small comes in one piece
        text = await database.read(asked["shape"], asked["values"])
        length = [*headers, (b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": text})

    return answer


def serve(app: Any, port: int) -> None:
    """uvicorn, as fast as it goes."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="auto",  # Strawberry's application has none
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    serve(application(sys.argv[2]), int(sys.argv[1]))
