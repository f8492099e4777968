"""An open connection to a receiver: HTTP/1.1, one request at a time, little read of the answers."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final, cast

import httptools

from opsin.core.addresses import Address

_CONNECT_SECONDS = 3.0
_MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES: Final = 16 * 1024
"""Of an answer; one that goes on is cut off with its connection."""


class ConnectionFailed(Exception):
    """The connection ended, or what came is no HTTP, before there was an answer."""


class Connection(asyncio.Protocol):
    """After each exchange: `is_free`, when it can take the next one."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_free = True
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._head: asyncio.Future[None] | None = None
        self._whole: asyncio.Future[None] | None = None
        self._head_bytes = 0

    async def send(self, request: bytes) -> None:
        """Until the status and the headers of the answer have come; raises ConnectionFailed."""
        loop = asyncio.get_running_loop()
        self.status, self.headers, self.body, self._head_bytes = 0, {}, b"", 0
        self._head, self._whole = loop.create_future(), loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        if self._transport is None or self._transport.is_closing():
            raise ConnectionFailed
        self.is_free = False
        self._transport.write(request)
        await self._head

    async def rest(self, seconds: float) -> None:
        """The answer's body, as much as there is time and room for."""
        assert self._whole is not None, "a request was sent"
        await asyncio.wait([self._whole], timeout=seconds)

    def close(self) -> None:
        self.is_free = False
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.close()  # nothing was asked for
            return
        if not self.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end()
        if not self.status and self._head_bytes > _MAX_HEAD_BYTES:
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        assert self._parser is not None and self._head is not None
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = {}  # the answer itself is still to come
            return
        self.status = status
        if not self._head.done():
            self._head.set_result(None)

    def on_body(self, data: bytes) -> None:
        self.body += data[: MAX_BODY_BYTES - len(self.body)]
        if len(self.body) >= MAX_BODY_BYTES:
            self._end()

    def on_message_complete(self) -> None:
        if not self.status:
            return
        assert self._parser is not None and self._whole is not None
        self.is_free = self._parser.should_keep_alive()
        self._parser = None
        if not self._whole.done():
            self._whole.set_result(None)

    def _end(self) -> None:
        """There will be no more of this."""
        self._parser = None
        if self._head is not None and not self._head.done():
            self._head.set_exception(ConnectionFailed())
            self._head.exception()  # whoever waited may have gone
        if self._whole is not None and not self._whole.done():
            self._whole.set_result(None)
        self.close()


async def connect(
    addresses: Sequence[Address], host: str, port: int, context: ssl.SSLContext | None
) -> Connection:
    """A connection to the first of these addresses that answers; TLS verifies `host`.

    Raises OSError, of which ssl.SSLError is one.
    """
    loop = asyncio.get_running_loop()
    failure = OSError("the name has no address")
    for address in addresses:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    Connection,
                    str(address),
                    port,
                    ssl=context,
                    server_hostname=host if context is not None else None,
                )
            return connection
        except ssl.SSLError:
            raise
        except OSError as error:  # TimeoutError is one
            failure = error
    raise failure
