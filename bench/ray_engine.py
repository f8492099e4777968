"""The Ray engine beside the local one: overhead, throughput by processes, time to recover.

    python -m bench.ray_engine [overhead|scaling|recovery]...

Overhead: the same requests to both engines by turns, medians of the rounds.  Scaling: a runner that
waits 50 ms a batch of 8 as for a device, with 1, 2 and 4 processes, beside `bench.scaling_model`'s
prediction.  Recovery: kill -9 of a process of the cluster, and of a node with all that is on it,
while requests come one after the other; the longest time without an answer.
"""

import asyncio
import itertools
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.ray_operations import DEVICE_SECONDS, open_bench
from bench.scaling_model import Costs, simulate
from opsin.core.engine import Engine, make_task
from opsin.core.engine.ray import Placements, RayOptions, RaySource
from opsin.core.errors import OpsinError
from opsin.core.imaging import DecodedImage, ImageInfo
from tests.core.engine.ray.local_cluster import LocalCluster

ROUNDS = 3
STORE_BYTES = 2 * 2**30
"""Ray frees what is done with once a second: a store must hold a second of what is sent."""
WIDTH, HEIGHT = 640, 480
NAMES = ("nothing", "wait", "network")


def picture() -> DecodedImage:
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    return DecodedImage(pixels, ImageInfo("PNG", "image/png", WIDTH, HEIGHT, "RGB", 1, 1, True, ()))


@asynccontextmanager
async def engine_of(
    address: str | None, max_batch: int, *, replicas: int = 1, cpus: float = 0.01
) -> AsyncIterator["Asker"]:
    with tempfile.TemporaryDirectory() as folder:
        opened = partial(open_bench, Path(folder), max_batch)
        host, models = opened()
        elsewhere = None
        if address is not None:
            wanted = {"here": False, "cpus": cpus, "memory": 2**20, "replicas": replicas}
            options = RayOptions(
                address,
                opened,
                f"{max_batch}",
                placements=Placements.read("bench", dict.fromkeys(NAMES, wanted)),
                namespace=f"bench-{os.getpid()}-{max_batch}-{replicas}-{cpus}",
                idle_seconds=60,
            )
            elsewhere = partial(RaySource, options=options)
        engine = Engine(host, models, device="cpu", elsewhere=elsewhere, cpu_threads=2)
        try:
            yield Asker(engine, host)
        finally:
            await engine.close()


class Asker:
    def __init__(self, engine: Engine, host: Any) -> None:
        self.engine = engine
        self.host = host
        self._pictures = [picture() for _ in range(64)]
        self._asked = 0

    async def ask(self, name: str) -> None:
        self._asked += 1
        one = self._pictures[self._asked % len(self._pictures)]
        fresh = DecodedImage(one.pixels.copy(), one.info)  # or the cluster would have it already
        task = make_task(self.host, "1", name, {})
        analyzed = await self.engine.analyze(fresh, [task])
        if (error := analyzed.outcomes[0].error) is not None:
            raise error

    async def batch_seconds(self, name: str, count: int) -> float:
        """From asking for so many at once until all are answered."""
        started = time.perf_counter()
        await asyncio.gather(*(self.ask(name) for _ in range(count)))
        return time.perf_counter() - started

    async def cpu_ms_per_item(self, name: str, count: int, others: list[int]) -> float:
        """Processor time of this process and the others, which does not depend on who else runs."""
        pids = [os.getpid(), *others]
        before = sum(map(_cpu_seconds, pids))
        for _ in range(4):
            await self.batch_seconds(name, count)
        return (sum(map(_cpu_seconds, pids)) - before) * 1000 / (4 * count)

    async def per_second(self, name: str, at_once: int, seconds: float) -> float:
        until = time.perf_counter() + seconds
        done = 0

        async def keep_asking() -> None:
            nonlocal done
            while time.perf_counter() < until:
                await self.ask(name)
                done += 1

        started = time.perf_counter()
        await asyncio.gather(*(keep_asking() for _ in range(at_once)))
        return done / (time.perf_counter() - started)


async def overhead(cluster: LocalCluster) -> AsyncIterator[dict[str, Any]]:
    """Milliseconds of one batch, and items a second with two batches on their way."""
    for size in (8, 32):
        async with engine_of(None, size) as here, engine_of(cluster.address, size) as there:
            for name in ("nothing", "network"):
                for asker in (here, there):
                    await asker.batch_seconds(name, size)
                    await asker.batch_seconds(name, size)
                alone: dict[Any, list[float]] = {here: [], there: []}
                rates: dict[Any, list[float]] = {here: [], there: []}
                for _ in range(ROUNDS):
                    for asker in (here, there):
                        alone[asker].append(await asker.batch_seconds(name, size))
                        rates[asker].append(await asker.per_second(name, 2 * size, 1.0))
                local, ray = (statistics.median(alone[asker]) for asker in (here, there))
                slow, fast = (statistics.median(rates[asker]) for asker in (there, here))
                yield {
                    "operation": name,
                    "batch": size,
                    "local_batch_ms": round(local * 1000, 1),
                    "ray_batch_ms": round(ray * 1000, 1),
                    "overhead_ms_per_item": round((ray - local) * 1000 / size, 2),
                    "local_per_second": round(fast, 1),
                    "ray_per_second": round(slow, 1),
                    "local_cpu_ms_per_item": round(await here.cpu_ms_per_item(name, size, []), 2),
                    "ray_cpu_ms_per_item": round(
                        await there.cpu_ms_per_item(
                            name, size, [*_messengers(), *_actors(cluster)]
                        ),
                        2,
                    ),
                    "ray_share_of_local": round(slow / fast, 2),
                }


async def scaling(cluster: LocalCluster) -> AsyncIterator[dict[str, Any]]:
    """Items a second by processes; the model is calibrated by the first row alone."""
    async with engine_of(cluster.address, 8, replicas=1) as asker:
        await asker.batch_seconds("nothing", 8)
        send_seconds = 1 / await asker.per_second("nothing", 32, 3.0)
    for replicas in (1, 2, 4):
        async with engine_of(cluster.address, 8, replicas=replicas) as asker:
            await asker.per_second("wait", 128, 3.0)
            for _ in range(5):  # until a backlog that stands has brought all of them up
                if sum(one.replicas for one in asker.engine.statistics()) >= replicas:
                    break
                await asker.per_second("wait", 128, 10.0)
            rates = [await asker.per_second("wait", 128, 3.0) for _ in range(3)]
            there = sum(one.replicas for one in asker.engine.statistics())
        costs = Costs(
            decode_seconds=0, send_seconds=send_seconds, batch_seconds=DEVICE_SECONDS, batch=8
        )
        predicted = simulate(costs, askers=1, decode_cores=1, actors=there, waiting=128)
        measured = statistics.median(rates)
        yield {
            "processes": there,
            "per_second": round(measured, 1),
            "model_per_second": round(predicted, 1),
            "of_the_model": round(measured / predicted, 2),
        }


async def recovery(cluster: LocalCluster) -> AsyncIterator[dict[str, Any]]:
    """Seconds without an answer after a process or a node is killed."""
    async with engine_of(cluster.address, 8) as asker:
        await asker.batch_seconds("nothing", 1)
        for _ in range(3):
            (pid,) = _actors(cluster)[:1]
            yield {"killed": "process", **await _gap(asker, partial(_kill, pid))}
    for _ in range(2):
        node = cluster.join(cpus=8)
        async with engine_of(cluster.address, 8, cpus=5) as asker:  # on the new node alone
            await asker.batch_seconds("nothing", 1)
            other = cluster.join(cpus=8)
            yield {"killed": "node", **await _gap(asker, node.end)}
        other.end()


async def _gap(asker: Asker, fault: Any) -> dict[str, Any]:
    """The longest time between two answers, and how many requests failed."""
    answered, failed = [time.perf_counter()], 0
    asyncio.get_running_loop().call_later(1.0, fault)
    until = time.perf_counter() + 4.0
    while time.perf_counter() < until:
        try:
            await asker.ask("nothing")
            answered.append(time.perf_counter())
        except OpsinError:
            failed += 1
            await asyncio.sleep(0.1)
    gap = max(b - a for a, b in itertools.pairwise(answered))
    return {"seconds_without_an_answer": round(gap, 2), "requests_failed": failed}


def _actors(cluster: LocalCluster) -> list[int]:
    return [pid for node in cluster.nodes for pid in node.pids("ray::RunnerActor")]


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _messengers() -> list[int]:
    """Children of this process that speak with Ray."""
    told = [task / "children" for task in Path("/proc/self/task").iterdir()]
    pids = {int(pid) for file in told for pid in file.read_text().split()}
    return [pid for pid in pids if b"messenger" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def main() -> None:
    asked = sys.argv[1:] or ["overhead", "scaling", "recovery"]
    cluster = LocalCluster(cpus=4, store_bytes=STORE_BYTES)
    os.environ.update(cluster.environment)
    try:
        for name in asked:
            load = os.getloadavg()[0]
            async for row in globals()[name](cluster):
                print(json.dumps({"measured": name, **row}), flush=True)
            print(json.dumps({"load_before": load, "load_after": os.getloadavg()[0]}), flush=True)
    finally:
        cluster.close()


if __name__ == "__main__":
    asyncio.run(main())
