"""A thousand subscribers over WebSockets: from commit to client, memory, none lost, none repeated.

The clients run in two other processes, and so does who makes the events, by GraphQL mutations.
`occurredAt`, from which the time is measured, is taken just before the commit.
"""

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.databases import each_database
from bench.pictures import portrait
from bench.server import data, new_image, running_process

SUBSCRIBERS = 1000
PROCESSES = 2

CREATE = """mutation($image: ID!) {
  createAnalysis(input: {imageId: $image, modelName: "bench", modelVersion: "1"}) { id } }"""
STATUS = """mutation($id: ID!, $status: AnalysisStatus!) {
  updateAnalysisStatus(input: {analysisId: $id, status: $status}) { id } }"""
EVENTS = """query($image: ID!) { image(id: $image) { dataset { id } } eventCursor }"""


class Clients:
    """Half of the subscribers, in a process of their own."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.subscriber_clients"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(json.dumps(orders) + "\n")

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def wait_until_connected(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "connected\n":
            raise RuntimeError("the subscribers could not connect")

    def seen(self) -> dict[str, Any]:
        """What they saw, once nothing more comes."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        found: dict[str, Any] = json.loads(self._process.stdout.read())
        self._process.wait()
        return found


@contextmanager
def subscribed(orders: dict[str, Any]) -> Iterator[list[Clients]]:
    share = orders | {"subscribers": SUBSCRIBERS // PROCESSES}
    clients = [Clients(share) for _ in range(PROCESSES)]
    for one in clients:
        one.wait_until_connected()
    time.sleep(1.0)  # every subscription has begun
    yield clients


async def write_events(
    url: str, images: list[str], rate: float, seconds: float
) -> tuple[int, float]:
    """Mutations at this rate, one event each; gives how many, and the rate that was reached."""
    turns = itertools.cycle(images)
    made = 0

    async def one_analysis(client: httpx.AsyncClient) -> None:
        nonlocal made

        async def ask(query: str, **variables: Any) -> Any:
            nonlocal made
            answer = await client.post("/graphql", json={"query": query, "variables": variables})
            body = answer.json()
            if "errors" in body:
                raise RuntimeError(body)
            made += 1
            return body["data"]

        identity = (await ask(CREATE, image=next(turns)))["createAnalysis"]["id"]
        await ask(STATUS, id=identity, status="PROCESSING")
        await ask(STATUS, id=identity, status="COMPLETED")

    limits = httpx.Limits(max_connections=16)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                due = began + number * 3 / rate
                if due - began > seconds:
                    break
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one_analysis(client))
        return made, made / (time.perf_counter() - began)


def measure(
    name: str,
    database_url: str,
    folder: Path,
    *,
    datasets: int = 0,
    rate: float,
    seconds: float = 20.0,
    reconnect: float = 0.0,
) -> dict[str, Any]:
    """`datasets` 0: everybody follows everything; else one dataset each."""
    with ExitStack() as stack:
        client, process = stack.enter_context(
            running_process(folder, database_url=database_url, worker="false")
        )
        images = [new_image(client, portrait()) for _ in range(max(datasets, 1))]
        found = [data(client, EVENTS, image=image) for image in images]
        after = found[-1]["eventCursor"]
        ids = [one["image"]["dataset"]["id"] for one in found]
        before = resident(process.pid)
        orders = {
            "port": client.base_url.port,
            "datasets": ids if datasets else [None],
            "after": after,
            "reconnect_seconds": reconnect,
        }
        clients = stack.enter_context(subscribed(orders))
        connected = resident(process.pid)
        cpu = cpu_seconds(process.pid)
        made, reached = asyncio.run(write_events(str(client.base_url), images, rate, seconds))
        used = cpu_seconds(process.pid) - cpu
        seen = [one.seen() for one in clients]
        ended = resident(process.pid)
    latencies = sorted(latency for part in seen for latency in part["latencies"])
    delivered = sum(len(cursors) for part in seen for cursors in part["cursors"])
    expected = made * SUBSCRIBERS // max(datasets, 1)
    return {
        "scenario": name,
        "events": made,
        "events_per_second": round(reached, 1),
        "messages": delivered,
        "messages_per_second": round(
            delivered / (max(part["last"] for part in seen) - min(part["first"] for part in seen))
        ),
        "lost": expected - delivered,
        "repeated": sum(part["out_of_order"] for part in seen),
        "resyncs": sum(part["resyncs"] for part in seen),
        "ended_by_the_server": sum(part["ended"] for part in seen),
        "reconnects": sum(part["reconnects"] for part in seen),
        "p50_ms": round(statistics.median(latencies) * 1000, 1),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 1),
        "most_ms": round(latencies[-1] * 1000, 1),
        "server_cpu_seconds": round(used, 1),
        "kilobytes_per_subscriber": round((connected - before) / SUBSCRIBERS / 1024, 1),
        "kilobytes_per_subscriber_in_the_end": round((ended - before) / SUBSCRIBERS / 1024, 1),
    }


def resident(process: int) -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


SCENARIOS: dict[str, dict[str, Any]] = {
    "ten for each of 100 datasets": {"datasets": 100, "rate": 100},
    "the same, each back every 5 s": {"datasets": 100, "rate": 100, "reconnect": 5.0},
    "all for everything": {"rate": 10},
    "all for everything, each back every 5 s": {"rate": 10, "reconnect": 5.0},
    "all for everything, as fast as they can": {"rate": 100, "seconds": 5.0},
}


def main(only: str | None = None) -> list[dict[str, Any]]:
    results = []
    for database, url, folder in each_database():
        for name, options in SCENARIOS.items():
            if only is not None and only not in f"{database}: {name}":
                continue
            result = {"database": database} | measure(
                name, database_url=url, folder=folder, **options
            )
            results.append(result)
            print(json.dumps(result), flush=True)
    return results


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
