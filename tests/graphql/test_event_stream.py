"""Server-sent events on the wire: graphql-sse's distinct connections mode, read byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from opsin.graphql import event_stream
from tests.conftest import LiveServer
from tests.graphql.asking import external, image

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = """subscription($id: ID) {
  analysisEvents(after: "0", imageId: $id) { cursor kind analysis { id status } } }"""


class Stream:
    """One HTTP/1.1 answer in chunks."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.head = b""

    async def read_head(self) -> None:
        self.head = await self._reader.readuntil(b"\r\n\r\n")

    async def chunk(self) -> bytes:
        """The next chunk; empty at the end of the answer."""
        async with asyncio.timeout(20):
            size = int(await self._reader.readline(), 16)
            return (await self._reader.readexactly(size + 2))[:-2]


@asynccontextmanager
async def streamed(live: LiveServer, query: str, **variables: Any) -> AsyncIterator[Stream]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    stream = Stream(reader)
    await stream.read_head()
    try:
        yield stream
    finally:
        writer.transport.abort()


async def test_events_are_framed_as_the_protocol_says(door: LiveServer) -> None:
    image_id = await image(door)
    analysis_id = await external(door, image_id)
    async with streamed(door, FOLLOW, id=image_id) as stream:
        status, *headers = stream.head.lower().split(b"\r\n")
        assert status == b"http/1.1 200 ok"
        assert b"content-type: text/event-stream" in headers
        assert b"cache-control: no-cache, no-transform" in headers
        event, data, *end = (await stream.chunk()).split(b"\n")
        assert (event, end) == (b"event: next", [b"", b""])
        told = json.loads(data.removeprefix(b"data: "))["data"]["analysisEvents"]
        assert told["analysis"] == {"id": analysis_id, "status": "QUEUED"}


async def test_a_stream_that_has_nothing_to_say_says_that(
    door: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.05)
    image_id = await image(door)
    async with streamed(door, FOLLOW, id=image_id) as stream:
        for _ in range(3):
            assert await stream.chunk() == b":\n\n"  # a comment, which no client hands on
        await external(door, image_id)
        while (chunk := await stream.chunk()) == b":\n\n":
            pass
        assert chunk.startswith(b"event: next\n")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("{ viewer { name } }", {"data": {"viewer": {"name": "local user"}}}),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_an_operation_with_one_answer_is_complete_after_it(
    door: LiveServer, query: str, shown: Any
) -> None:
    async with streamed(door, query) as stream:
        event, data, *_ = (await stream.chunk()).split(b"\n")
        answer = json.loads(data.removeprefix(b"data: "))
        assert event == b"event: next"
        assert answer == shown or answer["errors"][0]["extensions"]["code"] == shown
        assert await stream.chunk() == b"event: complete\ndata:\n\n"
        assert await stream.chunk() == b""


async def test_text_with_line_breaks_stays_one_line(door: LiveServer) -> None:
    query = """mutation($name: String!) { createDataset(input: {name: $name}) { name } }"""
    async with streamed(door, query, name="one\ntwo\r\nthree\u2028four") as stream:
        _, data, *end = (await stream.chunk()).split(b"\n")
        assert end == [b"", b""]
        shown = json.loads(data.removeprefix(b"data: "))["data"]["createDataset"]["name"]
        assert shown == "one\ntwo\r\nthree\u2028four"
