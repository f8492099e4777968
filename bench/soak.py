"""A server at 70 % of what it can do for half an hour: is its memory, handles and latency flat?

    python -m bench.soak --minutes 30 [--database postgresql]

One visit: a new picture is uploaded, analysed by a follower's account, and read back with its
result.  What it can do is measured first, by callers who wait for nothing.
"""

import argparse
import asyncio
import contextlib
import io
import itertools
import json
import os
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from websockets.asyncio.client import connect

from bench.databases import each_database
from bench.server import running_process

_LOAD = 0.7
# Small, so that they are full before the first third is over, and growth is a leak.
_CACHES = {"picture_cache_bytes": "4000000", "result_cache_bytes": "4000000"}
_CALLERS = 8
_AT_ONCE = 64
_MEASURE_SECONDS = 20.0
_SAMPLE_SECONDS = 10.0
_DATASET = 'mutation { createDataset(input: {name: "soak"}) { id } }'
_UPLOAD = "mutation($input: UploadImageInput!) { uploadImage(input: $input) { id } }"
_ANALYZE = """mutation($image: ID!) { analyze(input: {imageId: $image, tasks: [
  {taskId: "hash", operation: "perceptual_hash"}]}) { id } }"""
_READ = """query($image: ID!) { image(id: $image) {
  filename analyses(first: 5) { nodes { status result { __typename } } } } }"""
_FOLLOW = "subscription { analysisEvents { kind analysisId } }"


@dataclass
class Client:
    """Visits, and when the analyses that they asked for ended."""

    http: httpx.AsyncClient
    dataset: str
    seed: "itertools.count[int]" = field(default_factory=itertools.count)
    answers: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    waiting: dict[str, float] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)
    failures: int = 0
    not_begun: int = 0

    async def visit(self) -> None:
        try:
            operations = {
                "query": _UPLOAD,
                "variables": {"input": {"datasetId": self.dataset, "file": None}},
            }
            uploaded = await self._post(
                data={
                    "operations": json.dumps(operations),
                    "map": '{"0":["variables.input.file"]}',
                },
                files={"0": ("soak.jpg", _picture(next(self.seed)), "image/jpeg")},
            )
            image = {"image": uploaded["uploadImage"]["id"]}
            asked = await self._post(json={"query": _ANALYZE, "variables": image})
            for analysis in asked["analyze"]:
                if analysis["id"] in self.early:
                    self.early.discard(analysis["id"])
                    self.ends.append(0.0)
                else:
                    self.waiting[analysis["id"]] = time.monotonic()
            await self._post(json={"query": _READ, "variables": image})
        except (httpx.HTTPError, KeyError) as error:
            self.failures += 1
            print(f"a visit failed: {error!r}", file=sys.stderr, flush=True)

    async def _post(self, **arguments: Any) -> dict[str, Any]:
        started = time.monotonic()
        answer = await self.http.post("/graphql", **arguments)
        self.answers.append(time.monotonic() - started)
        body: dict[str, Any] = answer.json()
        if "errors" in body:
            raise KeyError(str(body["errors"]))
        data: dict[str, Any] = body["data"]
        return data

    async def follow(self, url: str) -> None:
        async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]  # a NewType of str
            await socket.send(json.dumps({"type": "connection_init"}))
            await socket.recv()
            payload = {"query": _FOLLOW}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            async for text in socket:
                message = json.loads(text)
                if message["type"] != "next":
                    continue
                event = message["payload"]["data"]["analysisEvents"]
                if event["kind"] != "COMPLETED":
                    continue
                asked = self.waiting.pop(event["analysisId"], None)
                if asked is None:
                    self.early.add(event["analysisId"])  # it ended before its asker was answered
                else:
                    self.ends.append(time.monotonic() - asked)


@cache
def _noise() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def _picture(seed: int) -> bytes:
    """A file like no other: a comment is cheaper than other pixels, and the caller is not timed."""
    start, rest = _noise()[:2], _noise()[2:]
    return start + b"\xff\xfe" + struct.pack(">HQ", 10, seed) + rest


async def _at_most(client: Client, seconds: float) -> float:
    """Visits a second of callers who wait for nothing but the answers."""
    until, count = time.monotonic() + seconds, 0

    async def caller() -> None:
        nonlocal count
        while time.monotonic() < until:
            await client.visit()
            count += 1

    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return count / seconds


async def _at_rate(client: Client, rate: float, seconds: float) -> None:
    """Visits begin at their times, whatever became of the others, unless too many are under way."""
    started, running = time.monotonic(), set[asyncio.Task[None]]()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        if len(running) >= _AT_ONCE:
            client.not_begun += 1
            continue
        task = asyncio.create_task(client.visit())
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


def _process(pid: int) -> dict[str, float]:
    """Megabytes of its own, open handles and threads."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "own_mb": round(int(status["RssAnon"].split()[0]) / 1024, 1),
        "handles": len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - a count, no paths
        "threads": int(status["Threads"]),
    }


async def _sample(client: Client, pid: int) -> AsyncIterator[dict[str, float]]:
    while True:
        await asyncio.sleep(_SAMPLE_SECONDS)
        answers, client.answers = client.answers, []
        ends, client.ends = client.ends, []
        yield _process(pid) | {
            "visits": len(answers) // 3,
            "answer_p50_ms": _at(answers, 0.5),
            "answer_p99_ms": _at(answers, 0.99),
            "end_p50_ms": _at(ends, 0.5),
            "end_p99_ms": _at(ends, 0.99),
        }


def _at(seconds: list[float], part: float) -> float:
    if not seconds:
        return 0.0
    return round(sorted(seconds)[int(part * (len(seconds) - 1))] * 1000, 1)


async def soak(url: str, pid: int, minutes: float, rate: float | None = None) -> dict[str, Any]:
    """Measure what it can do, then load it to 70 % of that, or to `rate` visits a second."""
    limits = httpx.Limits(max_connections=_AT_ONCE)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        made = (await http.post("/graphql", json={"query": _DATASET})).json()
        client = Client(http, made["data"]["createDataset"]["id"])
        following = asyncio.create_task(client.follow(url.replace("http", "ws") + "/graphql"))
        most = await _at_most(client, _MEASURE_SECONDS)
        while client.waiting:  # noqa: ASYNC110 - a dictionary tells nobody
            await asyncio.sleep(0.1)
        client.answers, client.ends = [], []
        samples: list[dict[str, float]] = []

        async def watch() -> None:
            async for sample in _sample(client, pid):
                samples.append(sample)
                print(json.dumps(sample), file=sys.stderr, flush=True)

        watching = asyncio.create_task(watch())
        rate = rate or most * _LOAD
        await _at_rate(client, rate, minutes * 60)
        await asyncio.sleep(1)
        lost = len(client.waiting)
        for task in (watching, following):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    third = max(1, len(samples) // 3)
    return {
        "visits_per_second_at_most": round(most, 1),
        "visits_per_second": round(rate, 1),
        "minutes": minutes,
        "failures": client.failures,
        "not_begun": client.not_begun,
        "never_ended": lost,
        **{
            name: {
                "first_third": round(statistics.median(one[name] for one in samples[:third]), 1),
                "last_third": round(statistics.median(one[name] for one in samples[-third:]), 1),
            }
            for name in samples[0]
        },
    }


def run(minutes: float, kind: str, rate: float | None = None) -> dict[str, Any]:
    for name, url, folder in each_database():
        if name != kind:
            continue
        settings = {"database_url": url, "auth": "dev"} | _CACHES
        with running_process(folder / "data", **settings) as (client, process):
            return asyncio.run(soak(str(client.base_url).rstrip("/"), process.pid, minutes, rate))
    raise SystemExit(f"no database is called {kind}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--database", default="postgresql")
    parser.add_argument(
        "--rate", type=float, help="visits a second; 70 %% of the most there can be"
    )
    given = parser.parse_args()
    print(json.dumps(run(given.minutes, given.database, given.rate), indent=2))
