"""Many graphql-transport-ws subscribers in one process, as light as Python makes them.

`python -m bench.subscriber_clients` reads its orders as one line of JSON, prints `connected` and,
when its standard input ends, what every subscriber has seen.
"""

import asyncio
import base64
import json
import os
import random
import re
import struct
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import uvloop

_EVENT = re.compile(rb'"cursor":"(\d+)","occurredAt":"([^"]+)"')
_QUERY = """subscription($after: Cursor, $dataset: ID) {
  analysisEvents(after: $after, datasetId: $dataset) {
    cursor occurredAt kind status analysisId analysis { id status modelName updatedAt } } }"""
_TEXT, _PING, _PONG = 1, 9, 10
_QUIET_SECONDS = 2.0


@dataclass(slots=True)
class Seen:
    """What all subscribers of this process have got."""

    latencies: list[float] = field(default_factory=list)
    moments: dict[bytes, float] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    resyncs: int = 0
    ended: int = 0
    """Connections that the server ended."""
    reconnects: int = 0
    out_of_order: int = 0

    def moment(self, text: bytes) -> float:
        if text not in self.moments:
            self.moments[text] = datetime.fromisoformat(text.decode()).timestamp()
        return self.moments[text]


class Subscriber(asyncio.Protocol):
    """One connection: finds events in frames, without parsing the JSON around them."""

    def __init__(self, follower: "Follower") -> None:
        self._follower = follower
        self._rest = b""
        self._is_open = False
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            "GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket"
            f"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        if not self._follower.is_leaving:
            self._follower.seen.ended += 1

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        start = 0
        if not self._is_open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            self._is_open = True
            self.send({"type": "connection_init"})
        now = time.time()
        while (frame := _frame(data, start)) is not None:
            opcode, begin, end = frame
            start = end
            if opcode == _TEXT:
                self._read(data, begin, end, now)
            elif opcode == _PING:
                self._write(_PONG, data[begin:end])
        self._rest = data[start:]

    def send(self, message: dict[str, Any]) -> None:
        self._write(_TEXT, json.dumps(message).encode())

    def _read(self, data: bytes, begin: int, end: int, now: float) -> None:
        found = _EVENT.search(data, begin, end)
        if found is not None and data.find(b'"RESYNC"', begin, end) < 0:
            self._follower.take(int(found[1]), found[2], now)
        elif found is not None:
            self._follower.seen.resyncs += 1
        elif data.find(b'"connection_ack"', begin, end) >= 0:
            payload = {"query": _QUERY, "variables": self._follower.variables()}
            self.send({"id": "1", "type": "subscribe", "payload": payload})
            if not self.acknowledged.done():  # who waited may have been told to leave
                self.acknowledged.set_result(None)
        else:
            raise RuntimeError(data[begin:end])

    def _write(self, opcode: int, payload: bytes) -> None:
        mask = bytes(4)  # which leaves the payload as it is
        size = len(payload)
        length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0xFE, size)
        self.transport.write(bytes([0x80 | opcode]) + length + mask + payload)


def _frame(data: bytes, start: int) -> tuple[int, int, int] | None:
    """Opcode, begin and end of the payload of the frame at `start`; None when it is not whole."""
    if len(data) < start + 2:
        return None
    size, begin = data[start + 1] & 0x7F, start + 2
    if size == 126:
        size, begin = int.from_bytes(data[begin : begin + 2]), begin + 2
    elif size == 127:
        size, begin = int.from_bytes(data[begin : begin + 8]), begin + 8
    end = begin + size
    return (data[start] & 0x0F, begin, end) if len(data) >= end else None


class Follower:
    """One who follows, over one connection or, coming back with the last cursor, over many."""

    def __init__(self, port: int, dataset: str | None, after: str, seen: Seen) -> None:
        self.seen = seen
        self.cursors: list[int] = []
        self._port = port
        self._dataset = dataset
        self._after = after
        self._connection: Subscriber | None = None
        self.is_leaving = False

    def variables(self) -> dict[str, Any]:
        after = f"{self.cursors[-1]:016d}" if self.cursors else self._after
        return {"dataset": self._dataset, "after": after}

    def take(self, cursor: int, occurred: bytes, now: float) -> None:
        seen = self.seen
        if self.cursors and cursor <= self.cursors[-1]:
            seen.out_of_order += 1
            return
        self.cursors.append(cursor)
        seen.latencies.append(now - seen.moment(occurred))
        seen.first, seen.last = seen.first or now, now

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(
            lambda: Subscriber(self), "127.0.0.1", self._port
        )
        self._connection = protocol
        await protocol.acknowledged

    async def come_back(self) -> None:
        assert self._connection is not None
        self.is_leaving = True
        self._connection.transport.abort()
        await asyncio.sleep(0)
        await self.connect()

    async def keep_reconnecting(self, mean_seconds: float, chance: random.Random) -> None:
        while True:
            await asyncio.sleep(chance.expovariate(1 / mean_seconds))
            await self.come_back()
            self.seen.reconnects += 1


async def follow(orders: dict[str, Any]) -> None:
    seen, datasets = Seen(), orders["datasets"]
    followers = [
        Follower(orders["port"], datasets[n % len(datasets)], orders["after"], seen)
        for n in range(orders["subscribers"])
    ]
    for start in range(0, len(followers), 20):
        await asyncio.gather(*(one.connect() for one in followers[start : start + 20]))
    print("connected", flush=True)
    chance = random.Random(7)
    coming_back = [
        asyncio.create_task(one.keep_reconnecting(orders["reconnect_seconds"], chance))
        for one in followers
        if orders["reconnect_seconds"]
    ]
    await asyncio.to_thread(sys.stdin.read)
    for task in coming_back:  # one that is cut while it comes back comes back below
        task.cancel()
    await asyncio.gather(*coming_back, return_exceptions=True)
    if coming_back:
        await asyncio.gather(*(one.come_back() for one in followers))
    before = -1
    while before != len(seen.latencies):
        before = len(seen.latencies)
        await asyncio.sleep(_QUIET_SECONDS)
    print(
        json.dumps(
            {
                "cursors": [one.cursors for one in followers],
                "latencies": seen.latencies,
                "resyncs": seen.resyncs,
                "ended": seen.ended,
                "reconnects": seen.reconnects,
                "out_of_order": seen.out_of_order,
                "first": seen.first,
                "last": seen.last,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    uvloop.run(follow(json.loads(sys.stdin.readline())))
