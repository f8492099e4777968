"""Subscribers over WebSockets that come back with their cursor, to whichever node is there."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

_FOLLOW = """subscription($after: Cursor) {
  analysisEvents(after: $after) { cursor kind analysisId } }"""


class Follower:
    """Collects (cursor, analysis, kind); `ports` are asked in turn, again after each loss."""

    def __init__(self, ports: Callable[[], list[int]]) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.losses = 0
        self._ports = ports

    async def run(self) -> None:
        """Until cancelled."""
        for number in itertools.count():
            ports = self._ports()
            try:
                await self._follow(ports[number % len(ports)])
            except (OSError, TimeoutError, WebSocketException):
                self.losses += 1
            await asyncio.sleep(0.1)

    async def _follow(self, port: int) -> None:
        after = self.seen[-1][0] if self.seen else "0"
        async with connect(
            f"ws://127.0.0.1:{port}/graphql",
            subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]  # a NewType of str
            open_timeout=5,
            ping_interval=2,
            ping_timeout=5,
        ) as socket:
            await socket.send(json.dumps({"type": "connection_init"}))
            await socket.recv()
            payload = {"query": _FOLLOW, "variables": {"after": after}}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            await self._collect(socket)

    async def _collect(self, socket: ClientConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "ping":
                await socket.send(json.dumps({"type": "pong"}))
            if message["type"] in ("complete", "error"):
                return  # told to come back
            if message["type"] != "next":
                continue
            event = (message["payload"].get("data") or {}).get("analysisEvents")
            if event is None or event["kind"] == "RESYNC":
                return
            self.seen.append((event["cursor"], event["analysisId"], event["kind"]))


@contextlib.asynccontextmanager
async def followers(count: int, ports: Callable[[], list[int]]) -> AsyncIterator[list[Follower]]:
    """So many, each beginning at another of the ports."""

    def turned(number: int) -> Callable[[], list[int]]:
        return lambda: (now := ports())[number % len(now) :] + now[: number % len(now)]

    made = [Follower(turned(number)) for number in range(count)]
    tasks = [asyncio.create_task(one.run()) for one in made]
    try:
        yield made
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
