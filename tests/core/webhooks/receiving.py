"""A receiver of webhooks on loopback: keeps what comes, and answers as a test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.core.loopback import accepting, answer

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
Handler: TypeAlias = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def payload(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def cursor(self) -> int:
        return int(self.payload["cursor"])


class Receiver:
    """Keeps connections open as a usual server does; each path has its answers in order."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[Received] = []
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self._answers: dict[str, list[bytes | Handler]] = {}
        self._came = asyncio.Condition()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answers(self, *given: bytes | Handler, path: str = "/") -> None:
        """One after the other, the last for ever; without any, 204."""
        self._answers[path] = list(given)

    def at(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path == path]

    async def gets(self, count: int, path: str = "/", seconds: float = 30) -> list[Received]:
        """Wait for so many requests."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.at(path)) >= count)
        return self.at(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                raw = dict(line.split(": ", 1) for line in lines if line)
                headers |= {name.lower(): value for name, value in raw.items()}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Received(first.split(" ")[1], headers, body)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    await self._take(request, writer)
                finally:
                    self.at_once -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _take(self, request: Received, writer: asyncio.StreamWriter) -> None:
        given = self._answers.get(request.path, [])
        wanted = given.pop(0) if len(given) > 1 else given[0] if given else NO_CONTENT
        async with self._came:
            self.received.append(request)
            self._came.notify_all()
        if isinstance(wanted, bytes):
            writer.write(wanted)
            await writer.drain()
        else:
            await wanted(request, writer)


def status(line: str, *headers: str, body: bytes = b"") -> bytes:
    """The answer with this status line, as `503 Busy`."""
    return answer(body, *headers, status=line)


async def hang(_request: Received, _writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.sleep(3600)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with accepting(receiver.serve) as receiver.port:
        yield receiver
