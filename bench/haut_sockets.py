"""Thousands of idle notification sockets, as light as Python makes them; they answer pings."""

import asyncio
import base64
import os
import time
from typing import Any, Self
from urllib.parse import urlsplit

_PING, _PONG = 9, 0x8A
_AT_ONCE = 200


class _Socket(asyncio.Protocol):
    """One connection, up to the handshake's answer, and pings after it."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head: bytes | None = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            if b"\r\n\r\n" in self._head:
                answer, self._head = self._head, None
                if not answer.startswith(b"HTTP/1.1 101"):
                    self.opened.set_exception(RuntimeError(answer.decode(errors="replace")))
                elif not self.opened.done():
                    self.opened.set_result(None)
        elif data[0] & 15 == _PING:
            content = data[2 : 2 + data[1]]
            self.transport.write(bytes([_PONG, 0x80 | len(content)]) + bytes(4) + content)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed before it was open"))


class Sockets:
    """Opens them, some hundred at a time, and closes them."""

    def __init__(self, url: str, user: int, token: str, count: int) -> None:
        self._address = urlsplit(url)
        key = base64.b64encode(os.urandom(16)).decode()
        self._request = (
            f"GET /notifications/?user_id={user} HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\nCookie: authorization={token}\r\n\r\n"
        ).encode()
        self.count = count
        self.seconds = 0.0
        self._open: list[_Socket] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        host, port = self._address.hostname or "", self._address.port or 80
        room = asyncio.Semaphore(_AT_ONCE)

        async def connect() -> None:
            async with room:
                _, one = await loop.create_connection(lambda: _Socket(self._request), host, port)
                self._open.append(one)
                await one.opened

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.count):
                group.create_task(connect())
        self.seconds = time.perf_counter() - started
        return self

    async def __aexit__(self, *_: object) -> None:
        for one in self._open:
            one.transport.abort()
        await asyncio.sleep(0.5)
