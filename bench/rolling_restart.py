"""Requests and subscriptions lost while every process of a server is replaced under load."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from bench.databases import each_database
from opsin.core.imaging import encode_png

LAST = "the last one"
_START_SECONDS = 120
_CREATE = """mutation($image: ID!, $name: String!) {
  createAnalysis(input: {imageId: $image, modelName: $name, modelVersion: "1"}) { id } }"""
_READ = "query($image: ID!) { image(id: $image) { filename analyses(first: 5) { nodes { id } } } }"
_FOLLOW = """subscription($image: ID!, $after: Cursor) {
  analysisEvents(imageId: $image, after: $after) { cursor analysis { id modelName } } }"""
_PICTURE = encode_png(np.zeros((8, 8, 3), np.uint8))


class Server:
    """`opsin serve --workers` on a free port."""

    def __init__(self, process: Process, url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    async def roll(self) -> float:
        """Have every process replaced; gives the seconds that took."""
        begun, before = time.perf_counter(), self._count()
        self.process.send_signal(signal.SIGHUP)
        while self._count() == before:
            assert self.process.returncode is None, self._log.read_text()
            assert "broken off" not in self._log.read_text(), self._log.read_text()
            await asyncio.sleep(0.05)
        return time.perf_counter() - begun

    def _count(self) -> int:
        return self._log.read_text().count("the rolling restart is done")


@asynccontextmanager
async def running(folder: Path, workers: int, environment: Mapping[str, str]):  # type: ignore[no-untyped-def]  # its type says nothing more
    """A server of so many processes, ended in the end."""
    log = folder / "server.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "opsin", "serve", "--port", "0", "--workers", str(workers)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=file,
            env={**os.environ, **environment, "OPSIN_DATA_DIR": str(folder / "data")},
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            lines = [(await process.stdout.readline()).decode().split() for _ in range(3)]
        if not all(lines):
            raise RuntimeError(log.read_text())
        yield Server(process, dict(lines)["Viewer"].rstrip("/"), log)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 60)
            except TimeoutError:
                process.kill()
                await process.wait()


class Load:
    """Callers of several kinds, each of which counts what it was answered.

    Each waits `pause` seconds between its calls.
    """

    def __init__(self, url: str, image: str, pause: float = 0.002) -> None:
        self._url = url
        self._image = image
        self._pause = pause
        self._ended = False
        self._after: str | None = None
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest = 0.0
        self.created: set[str] = set()
        self.heard: list[tuple[str, str]] = []
        self._callers: list[asyncio.Task[None]] = []
        self._follower: asyncio.Task[None] | None = None

    async def start(self, callers: int) -> None:
        """So many of each kind, and one who follows what they change."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"{self._url}/graphql", json={"query": "{ eventCursor }"})
            self._after = data_of(answer)["eventCursor"]
        for _ in range(callers):
            for kind in (self._kept_alive, self._new_connections, self._uploads, self._creates):
                self._callers.append(asyncio.create_task(kind()))
        self._follower = asyncio.create_task(self._follows())

    async def end(self) -> None:
        """Until every caller has its last answer; the follower waits for the event of LAST."""
        self._ended = True
        await asyncio.gather(*self._callers)

    async def followed(self) -> None:
        """Until the follower has heard of LAST."""
        assert self._follower is not None, "it was started"
        await self._follower

    async def _repeated(self, kind: str, call: Callable[[], Awaitable[None]]) -> None:
        while not self._ended:
            begun = time.perf_counter()
            try:
                await call()
                self.counts[kind] += 1
            except Exception as error:
                self.failures.append(f"{kind}: {type(error).__name__} {error}")
            self.slowest = max(self.slowest, time.perf_counter() - begun)
            await asyncio.sleep(self._pause)

    async def _kept_alive(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            await self._repeated("reads on kept connections", lambda: self._read(client))

    async def _new_connections(self) -> None:
        async def call() -> None:
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                await self._read(client)

        await self._repeated("reads on new connections", call)

    async def _uploads(self) -> None:
        """Requests whose bodies take a while to come, so that drains find them half way."""

        async def body() -> AsyncIterator[bytes]:
            text = json.dumps({"query": _READ, "variables": {"image": self._image}}).encode()
            for start in range(0, len(text), 32):
                yield text[start : start + 32]
                await asyncio.sleep(0.02)

        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:

            async def call() -> None:
                headers = {"content-type": "application/json"}
                data_of(await client.post(f"{self._url}/graphql", content=body(), headers=headers))

            await self._repeated("slow bodies", call)

    async def _creates(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:

            async def call() -> None:
                self.created.add(await create(client, self._url, self._image, "http"))

            await self._repeated("changes", call)

    async def _read(self, client: httpx.AsyncClient) -> None:
        body = {"query": _READ, "variables": {"image": self._image}}
        assert data_of(await client.post(f"{self._url}/graphql", json=body))["image"]

    async def _follows(self) -> None:
        """By server-sent events, coming back with the cursor whenever the stream ends."""
        after = self._after
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            while True:
                body = {"query": _FOLLOW, "variables": {"image": self._image, "after": after}}
                try:
                    async with client.stream(
                        "POST",
                        f"{self._url}/graphql",
                        json=body,
                        headers={"accept": "text/event-stream"},
                    ) as answer:
                        assert answer.status_code == 200, answer.status_code
                        self.counts["streams"] += 1
                        async for line in answer.aiter_lines():
                            if not line.startswith("data: {"):
                                continue
                            event = json.loads(line[6:])["data"]["analysisEvents"]
                            after = event["cursor"]
                            self.heard.append((event["cursor"], event["analysis"]["id"]))
                            if event["analysis"]["modelName"] == LAST:
                                return
                except Exception as error:
                    self.failures.append(f"stream: {type(error).__name__} {error}")
                    await asyncio.sleep(0.05)


def data_of(answer: httpx.Response) -> Any:
    """The data of an answer without errors."""
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code} {answer.text[:200]}")
    body = answer.json()
    if "errors" in body:
        raise RuntimeError(str(body["errors"])[:200])
    return body["data"]


async def create(client: httpx.AsyncClient, url: str, image: str, name: str) -> str:
    """An analysis of a model elsewhere; gives its id."""
    body = {"query": _CREATE, "variables": {"image": image, "name": name}}
    answer = await client.post(f"{url}/graphql", json=body)
    identity: str = data_of(answer)["createAnalysis"]["id"]
    return identity


async def an_image(client: httpx.AsyncClient, url: str) -> str:
    """A picture in a new dataset; gives its id."""
    query = 'mutation { createDataset(input: {name: "rolled"}) { id } }'
    dataset = data_of(await client.post(f"{url}/graphql", json={"query": query}))
    query = "mutation($input: UploadImageInput!) { uploadImage(input: $input) { id } }"
    given = {"datasetId": dataset["createDataset"]["id"], "file": None}
    answer = await client.post(
        f"{url}/graphql",
        data={
            "operations": json.dumps({"query": query, "variables": {"input": given}}),
            "map": '{"0": ["variables.input.file"]}',
        },
        files={"0": ("one.png", _PICTURE, "image/png")},
    )
    identity: str = data_of(answer)["uploadImage"]["id"]
    return identity


async def measure(folder: Path, url: str, workers: int, rolls: int, callers: int) -> dict[str, Any]:
    """Roll so many times under load, and say what was answered, lost and heard."""
    async with (
        running(folder, workers, {"OPSIN_DATABASE_URL": url}) as server,
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
    ):
        image = await an_image(client, server.url)
        load = Load(server.url, image)
        await load.start(callers)
        begun = time.perf_counter()
        await asyncio.sleep(1)
        seconds = [await server.roll() for _ in range(rolls)]
        await asyncio.sleep(1)
        await load.end()
        took = time.perf_counter() - begun
        await create(client, server.url, image, LAST)
        await load.followed()
    missed = load.created - {identity for _, identity in load.heard}
    return {
        "workers": workers,
        "requests": sum(load.counts.values()),
        "per_second": round(sum(load.counts.values()) / took),
        "lost": len(load.failures),
        "slowest_seconds": round(load.slowest, 2),
        "seconds_of_a_roll": [round(one, 1) for one in seconds],
        "events": len(load.heard),
        "events_missed": len(missed),
        "events_twice": len(load.heard) - len(set(load.heard)),
        "failures": load.failures[:5],
        "kinds": dict(load.counts),
    }


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rolls", type=int, default=2)
    parser.add_argument("--callers", type=int, default=2, help="of each kind")
    given = parser.parse_args(arguments)
    results = []
    for name, url, folder in each_database():
        found = asyncio.run(measure(folder, url, given.workers, given.rolls, given.callers))
        results.append({"database": name} | found)
        print(json.dumps(results[-1]), flush=True)
    return results


if __name__ == "__main__":
    main()
