"""`python -m bench.reads.in_process URL SEEDED`: without a socket, raw SQL and Opsin in turns.

Opsin is its whole ASGI application, asked as the HTTP server would ask it.  Prints milliseconds.
"""

import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from sqlalchemy.engine import make_url

from bench.reads.cases import CASES
from bench.reads.raw_server import connect, open_sqlite
from bench.reads.raw_sql import read_postgres, read_sqlite
from bench.reads.rows import Seeded
from opsin.app import create_app
from opsin.cli.options import read_settings

_WARM_UP, _FEWEST, _MOST, _SECONDS = 7, 20, 400, 3.0


async def main(url: str, seeded: Seeded) -> dict[str, dict[str, float]]:
    """Medians of each case, by contestant; the environment holds Opsin's settings."""
    app = create_app(read_settings(server=True))
    connection: Any = (
        open_sqlite(make_url(url).database or "")
        if url.startswith("sqlite")
        else await connect(url)
    )
    told = {}
    async with app.router.lifespan_context(app):
        for case in CASES:
            values, body = case.values(seeded), case.body("opsin", seeded)

            async def raw(shape: str = case.shape, values: list[Any] = values) -> bytes:
                if isinstance(connection, sqlite3.Connection):
                    return read_sqlite(connection, shape, values)
                return await read_postgres(connection, shape, values)

            async def opsin(body: bytes = body) -> bytes:
                return await asked(app, body)

            told[case.name] = await in_turns({"raw SQL": raw, "Opsin": opsin})
    return told


async def in_turns(contestants: dict[str, Callable[[], Awaitable[bytes]]]) -> dict[str, float]:
    """The median of each in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + _SECONDS
    turns = 0
    while turns < _FEWEST or (turns < _MOST and time.perf_counter() < end):
        turns += 1
        for name, ask in contestants.items():
            started = time.perf_counter()
            await ask()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(seen[_WARM_UP:]) * 1000 for name, seen in times.items()}


async def asked(app: Any, body: bytes) -> bytes:
    """The body of the answer to a request for GraphQL."""
    pieces: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        pieces.append(message.get("body", b""))

    headers = [*_SCOPE["headers"], (b"content-length", b"%d" % len(body))]
    await app(_SCOPE | {"headers": headers, "state": {}}, receive, send)
    return b"".join(pieces)


_SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/graphql",
    "raw_path": b"/graphql",
    "query_string": b"",
    "root_path": "",
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 8000),
    "headers": [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")],
}

if __name__ == "__main__":
    given = Seeded(**json.loads(sys.argv[2]))
    print(json.dumps(uvloop.run(main(sys.argv[1], given))))
