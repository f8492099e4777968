"""Connections that are cut leave nothing behind: no task, no file, no database connection."""

import asyncio
import gc
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.pool import QueuePool

from tests.conftest import LiveServer
from tests.core.engine.workbench import until
from tests.graphql.asking import external, image
from tests.graphql.sockets import started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = 'subscription { analysisEvents(after: "0") { cursor analysis { image { filename } } } }'
EVENTS = 2
CUTS = 1000  # of each kind
_AT_ONCE = 50
_POOLED = 50
"""More connections to the database than are pooled; less than what a leak would leave open."""


def connections_in_use() -> int:
    """How many connections are out of the pools of this process."""
    objects = gc.get_objects()
    return sum(pool.checkedout() for pool in objects if issubclass(type(pool), QueuePool))


def open_files() -> int:
    """The file descriptors of this process, sockets among them."""
    return len(list(Path("/proc/self/fd").iterdir()))


def sqlite_threads() -> int:
    """The threads of connections to SQLite; one left behind keeps the process from ending."""
    return sum("_connection_worker_thread" in thread.name for thread in threading.enumerate())


async def cut_socket(live: LiveServer, reads: int) -> None:
    async with started_socket(live) as socket:
        await socket.subscribe("1", FOLLOW)
        for _ in range(min(reads, EVENTS)):
            await socket.next()
        if reads > EVENTS:
            await asyncio.sleep(0.01)  # it waits for what is new
        socket.vanish()


async def cut_event_stream(live: LiveServer, lines: int) -> None:
    body = json.dumps({"query": FOLLOW}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    for _ in range(lines):
        assert await reader.readline()
    writer.transport.abort()


async def cut_some(live: LiveServer, start: int) -> None:
    """Some before the answer, some in the middle of the replay, some of them live."""
    numbers = range(start, start + _AT_ONCE)
    await asyncio.gather(
        *(cut_socket(live, number % 5) for number in numbers),
        *(cut_event_stream(live, number % 7) for number in numbers),
    )


async def all_end(begun: set["asyncio.Task[Any]"]) -> None:
    if begun:
        _, still_running = await asyncio.wait(begun, timeout=20)
        assert still_running == set()


async def test_cut_connections_leave_nothing_behind(any_door: LiveServer) -> None:
    image_id = await image(any_door)
    # Of these events some of the sockets above read all, and are cut while they wait for the next.
    await asyncio.gather(*(external(any_door, image_id) for _ in range(EVENTS)))
    await any_door.client.aclose()  # its connections would count as tasks of the server
    before = asyncio.all_tasks()
    await cut_some(any_door, 0)  # and the pools are filled
    await all_end(asyncio.all_tasks() - before)
    files = open_files()
    for start in range(0, CUTS, _AT_ONCE):
        await cut_some(any_door, start)
    # The reader of the log is one of these tasks: it has ended with its last follower.
    await all_end(asyncio.all_tasks() - before)
    await until(lambda: connections_in_use() == 0)  # the server's duties look for work, too
    assert sqlite_threads() <= 5  # four readers and a writer
    assert open_files() - files < _POOLED
