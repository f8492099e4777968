"""Clients that cost next to nothing: kept-alive connections, bytes that were made before."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections.abc import Sequence
from typing import Any, cast

import uvloop


class Connection(asyncio.Protocol):
    """One request at a time; an answer is its status and its body."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._wanted = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of a class of its own

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._wanted:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._wanted = end + 4 + int(length)
        if len(self._received) >= self._wanted:
            whole, self._received, self._wanted = bytes(self._received), bytearray(), 0
            assert self._answer is not None
            self._answer.set_result((int(whole[9:12]), whole.partition(b"\r\n\r\n")[2]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server hung up"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


class Load:
    """Requests to one server as one user; every answer has to have the status that is wanted."""

    def __init__(self, port: int, key: str, secret: str) -> None:
        self._port = port
        self._key = key
        self._secret = secret

    def one_after_the_other(
        self, requests: Sequence[bytes], status: int
    ) -> tuple[float, list[bytes]]:
        """Seconds for all of them on one connection, and the bodies of the answers."""

        async def run() -> tuple[float, list[bytes]]:
            connection = await self._connect()
            started = time.perf_counter()
            answers = [await connection.ask(request) for request in requests]
            return time.perf_counter() - started, [_checked(one, status) for one in answers]

        return uvloop.run(run())

    def at_once(self, requests: Sequence[bytes], status: int, clients: int) -> float:
        """Answers a second, so many clients taking the requests as they come."""

        async def run() -> float:
            connections = [await self._connect() for _ in range(clients)]
            left = iter(requests)

            async def client(connection: Connection) -> None:
                for request in left:
                    _checked(await connection.ask(request), status)

            started = time.perf_counter()
            await asyncio.gather(*map(client, connections))
            return len(requests) / (time.perf_counter() - started)

        return uvloop.run(run())

    def get(self, path: str) -> bytes:
        return self._request("GET", path, b"")

    def post(self, path: str, content: Any) -> bytes:
        return self._request("POST", path, json.dumps(content).encode())

    def signed(self, path: str, content: Any, dialect: str) -> bytes:
        """As pipelines sign: `timestamped`, or `documented` over another text than is sent."""
        body = json.dumps(content).encode()
        now = str(int(time.time()))
        if dialect == "timestamped":
            signature = "sha256=" + self._digest(now.encode() + b"." + body)
        else:
            canonical = json.dumps(content, separators=(",", ":"), sort_keys=True)
            signature = self._digest(canonical.encode())
        return self._request("POST", path, body, x_ml_timestamp=now, x_ml_signature=signature)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, "127.0.0.1", self._port)
        return made

    def _digest(self, message: bytes) -> str:
        return hmac.new(self._secret.encode(), message, hashlib.sha256).hexdigest()

    def _request(self, method: str, path: str, body: bytes, **headers: str) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            "host: 127.0.0.1",
            f"authorization: Bearer {self._key}",
            f"content-length: {len(body)}",
            "content-type: application/json",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


def _checked(answer: tuple[int, bytes], status: int) -> bytes:
    if answer[0] != status:
        raise AssertionError(answer)
    return answer[1]


def annotations(count: int, seed: int) -> list[dict[str, Any]]:
    """Boxes as a detector finds them."""
    numbers = random.Random(seed)
    return [
        {
            "annotation_type": "bounding_box",
            "class_name": f"class {number % 80}",
            "confidence": round(numbers.random(), 4),
            "data": {
                "bbox": [round(numbers.random() * 500, 2) for _ in range(4)],
                "format": "xywh",
            },
        }
        for number in range(count)
    ]
