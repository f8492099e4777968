"""A receiver of webhooks in a process of its own: takes everything, or nothing, and keeps times.

Prints its port, then, when its input ends, a JSON object of what came: for each delivery the
milliseconds since its event, how many came twice or out of order, and when.
"""

import asyncio
import json
import sys
import time
from datetime import datetime
from typing import Any

_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class Counts:
    """What came."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.delays: list[float] = []
        self.times: list[float] = []
        self.ids: set[str] = set()
        self.repeated = 0
        self.out_of_order = 0
        self._newest: dict[str, str] = {}

    def take(self, path: str, identity: str, body: bytes) -> None:
        now = time.time()
        payload: dict[str, Any] = json.loads(body)
        self.times.append(now)
        self.delays.append(now - datetime.fromisoformat(payload["timestamp"]).timestamp())
        self.repeated += identity in self.ids
        self.ids.add(identity)
        self.out_of_order += payload["cursor"] < self._newest.get(path, "")
        self._newest[path] = payload["cursor"]


class Connection(asyncio.Protocol):
    """As little HTTP as a sender that keeps connections needs."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._data[:end].decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            size = int(headers["content-length"])
            if len(self._data) < end + 4 + size:
                return
            body, self._data = self._data[end + 4 : end + 4 + size], self._data[end + 4 + size :]
            self._counts.take(first.split(" ")[1], headers["webhook-id"], body)
            self._transport.write(self._counts.answer)  # type: ignore[attr-defined]  # it is one of TCP


async def main(answer: bytes) -> None:
    counts, loop = Counts(answer), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counts), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    found = {
        "delays": counts.delays,
        "received": len(counts.times),
        "events": len(counts.ids),
        "repeated": counts.repeated,
        "out_of_order": counts.out_of_order,
        "first": counts.times[0] if counts.times else 0.0,
        "last": counts.times[-1] if counts.times else 0.0,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(_BUSY if "busy" in sys.argv else _NO_CONTENT))
