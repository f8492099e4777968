"""Connections of the HTTP server: how they are taken, kept, timed and let go of when it drains."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from opsin.graphql.http import ENDS_ITSELF

log = logging.getLogger(__name__)

_BACKLOG = 2048
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_PAUSE = 1.0
_MOST_HEAD_BYTES = 64 * 1024
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Acceptor:
    """Takes connections one in each turn of the loop, so that a busy process takes fewer.

    Several processes listen on one socket: what waits in its queue when one of them ends, or dies,
    is taken by another.  uvloop's own servers take all that wait at once, and one process would
    have most of the connections of clients that come together.
    """

    def __init__(self, listener: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        self._listener = listener
        self._make = make
        self._connecting: set[asyncio.Task[Any]] = set()
        self._is_open = False

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(_BACKLOG)
        self._is_open = True
        self._watch()

    def stop(self) -> None:
        """Take those that wait, and no more: who comes now is another process's, or refused."""
        if self._is_open:  # not where the end came before the start
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            while self._accept():
                pass
            self._is_open = False
        self._listener.close()

    @property
    def is_connecting(self) -> bool:
        return bool(self._connecting)

    def _watch(self) -> None:
        if self._is_open:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> bool:
        """Take one; False when there is none, or no room for it."""
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process was faster, or the client has gone
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            log.warning("no connection can be taken now: %s", error.strerror)
            loop.remove_reader(self._listener.fileno())
            loop.call_later(_NO_ROOM_PAUSE, self._watch)
            return False
        connection.setblocking(False)
        task = loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return True

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._make, connection)
        except OSError:  # the client has gone
            connection.close()


class HttpConnection(HttpToolsProtocol):
    """Closed after its next answer once it drains; a request's head has a time and a length."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        head_seconds: float,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._awaits_head = True
        self._head_bytes = 0
        self._is_draining = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP only
        # As the base class has it: what TCP gives is a Transport.
        super().connection_made(transport)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._untime_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        awaited = self._awaits_head
        super().data_received(data)
        if not self._awaits_head:
            return
        # A piece in which a head only begins may hold the end of a body; the next ones do not.
        self._head_bytes += len(data) if awaited else 0
        if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self._untime_head()
            self.transport.write(_TOO_LONG)
            self.transport.close()
        elif self._head_timer is None:
            self._time_head()

    def on_message_begin(self) -> None:
        self._awaits_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._awaits_head, self._head_bytes = False, 0
        self._untime_head()
        super().on_headers_complete()
        if self._is_draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def drain(self) -> None:
        """Say `Connection: close` with the next answer, or the one under way.

        One that is idle is left to its client, who may be sending a request at this moment, until
        it has been idle for as long as any connection may be.
        """
        self._is_draining = True
        if self.pipeline:
            self.pipeline[0][0].keep_alive = False  # the last to be answered
        elif self.cycle is not None:
            self.cycle.keep_alive = False
        elif self._awaits_head:
            self._untime_head()
            self._head_timer = self.loop.call_later(self.timeout_keep_alive, self._head_is_late)

    def _time_head(self) -> None:
        self._head_timer = self.loop.call_later(self._head_seconds, self._head_is_late)

    def _untime_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._awaits_head and not self.transport.is_closing():
            if self.scope is not None:  # something has come
                self.transport.write(_TOO_SLOW)
            self.transport.close()


class SocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket, which may be ended by the application itself when the server drains.

    From a client that does not read, nothing is read: each of its pings has an answer, which would
    wait in memory with all the others.
    """

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.writable.is_set() and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.initial_response is not None and not self.handshake_complete:
            is_whole = not cast("dict[str, Any]", message).get("more_body", False)
            # An answer instead of the handshake ends it, too: the base class would log an error.
            self.handshake_complete = message["type"].endswith("body") and is_whole

    async def receive(self) -> ASGIReceiveEvent:
        await self.writable.wait()  # what comes next would be read on
        return await super().receive()

    @property
    def ends_itself(self) -> bool:
        scope = cast("dict[str, Any]", getattr(self, "scope", {}))
        return bool(scope.get("state", {}).get(ENDS_ITSELF))
