"""Connections that are cut leave nothing behind: no task, no database connection."""

import asyncio
import gc
import json
import threading

import pytest
from sqlalchemy.pool import QueuePool

from tests.conftest import LiveServer
from tests.graphql.asking import external, image
from tests.graphql.sockets import started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = 'subscription { analysisEvents(after: "0") { cursor analysis { image { filename } } } }'
CUTS = 100  # of each kind


def connections_in_use() -> int:
    """How many connections are out of the pools of this process."""
    objects = gc.get_objects()
    return sum(pool.checkedout() for pool in objects if issubclass(type(pool), QueuePool))


def sqlite_threads() -> int:
    """The threads of connections to SQLite; one left behind keeps the process from ending."""
    return sum("_connection_worker_thread" in thread.name for thread in threading.enumerate())


async def cut_socket(live: LiveServer, reads: int) -> None:
    async with started_socket(live) as socket:
        await socket.subscribe("1", FOLLOW)
        for _ in range(reads):
            await socket.next()
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


async def test_cut_connections_leave_nothing_behind(any_door: LiveServer) -> None:
    image_id = await image(any_door)
    await asyncio.gather(*(external(any_door, image_id) for _ in range(30)))
    await any_door.client.aclose()  # its connections would count as tasks of the server
    before = asyncio.all_tasks()
    for start in range(0, CUTS, 20):  # some before the answer, some in the middle of the replay
        await asyncio.gather(
            *(cut_socket(any_door, number % 5) for number in range(start, start + 20)),
            *(cut_event_stream(any_door, number % 7) for number in range(start, start + 20)),
        )
    begun = asyncio.all_tasks() - before
    if begun:
        _, still_running = await asyncio.wait(begun, timeout=20)
        assert still_running == set()
    assert connections_in_use() == 0
    assert sqlite_threads() <= 5  # four readers and a writer
