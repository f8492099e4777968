"""A TCP proxy that can be cut, silenced, slowed, sent elsewhere, and made to answer with errors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum

_PIECE = 65_536
_HTTP_ERROR = (
    b"HTTP/1.1 500 Internal Server Error\r\n"
    b"Content-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
)
_S3_ERROR = b"<Error><Code>InternalError</Code><Message>by the proxy</Message></Error>"


class Mode(Enum):
    """What becomes of connections."""

    PASS = "pass"
    """They go through."""
    CUT = "cut"
    """Those that are open are reset, new ones are closed at once: the other end is down."""
    SILENT = "silent"
    """They stay open and nothing goes through: a cable was pulled."""
    ERRORS = "errors"
    """Each request is answered with an S3 error 500."""


class Proxy:
    """Listens on `port` of loopback and hands on to `target`, as its mode says."""

    def __init__(self, host: str, port: int) -> None:
        self.target = host, port
        self.mode = Mode.PASS
        self.delay = 0.0
        """Seconds by which each piece is late, either way."""
        self.port = 0
        self.connections = 0
        self._open: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._end_all()
            await asyncio.gather(*self._open, return_exceptions=True)

    def set(self, mode: Mode) -> None:
        """Change what happens, to open connections as well."""
        self.mode = mode
        if mode is Mode.SILENT:
            self._flowing.clear()
        else:
            self._flowing.set()
        if mode in (Mode.CUT, Mode.ERRORS):
            self._end_all()

    def retarget(self, host: str, port: int) -> None:
        """Send new connections elsewhere, and end those that are open, as a failover does."""
        self.target = host, port
        self._end_all()

    def _end_all(self) -> None:
        for task in self._open:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            if self.mode is Mode.ERRORS:
                await _refuse(reader, writer)
            elif self.mode is not Mode.CUT:
                await self._through(reader, writer)
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass  # one of the ends has gone, or was ended
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        there, back = await asyncio.open_connection(*self.target)
        ways = [
            asyncio.ensure_future(self._pump(reader, back)),
            asyncio.ensure_future(self._pump(there, writer)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(_PIECE):
            await self._flowing.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            sink.write(piece)
            await sink.drain()
        with contextlib.suppress(OSError, NotImplementedError):
            sink.write_eof()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(_HTTP_ERROR % len(_S3_ERROR))
    if not head.startswith(b"HEAD "):
        writer.write(_S3_ERROR)
    await writer.drain()
    writer.write_eof()
    while await reader.read(_PIECE):  # or the sender of a body never reads the answer
        pass
