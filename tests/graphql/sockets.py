"""A graphql-transport-ws client of the tests, which can also vanish without a word."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import LiveServer

SUBPROTOCOL = "graphql-transport-ws"


class Socket:
    """One open socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, message: object) -> None:
        await self.connection.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def start(self, payload: dict[str, Any] | None = None) -> None:
        await self.send({"type": "connection_init", "payload": payload or {}})
        assert (await self.receive())["type"] == "connection_ack"

    async def subscribe(self, identity: str, query: str, **variables: Any) -> None:
        payload = {"query": query, "variables": variables}
        await self.send({"id": identity, "type": "subscribe", "payload": payload})

    async def next(self, identity: str = "1") -> dict[str, Any]:
        """The next result of an operation."""
        message = await self.receive()
        assert (message["id"], message["type"]) == (identity, "next"), message
        payload: dict[str, Any] = message["payload"]
        return payload

    async def closed(self) -> int:
        """The code with which the server closes the socket."""
        await self.connection.wait_closed()
        assert self.connection.close_code is not None
        return self.connection.close_code

    def vanish(self) -> None:
        """Cut the connection as a machine does that loses its power."""
        self.connection.transport.abort()


@asynccontextmanager
async def open_socket(live: LiveServer, **options: Any) -> AsyncIterator[Socket]:
    async with connect(live.websocket_url, subprotocols=[SUBPROTOCOL], **options) as connection:  # type: ignore[list-item]  # a NewType of str
        yield Socket(connection)


@asynccontextmanager
async def started_socket(
    live: LiveServer, payload: dict[str, Any] | None = None
) -> AsyncIterator[Socket]:
    async with open_socket(live) as socket:
        await socket.start(payload)
        yield socket
