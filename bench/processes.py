"""Several worker processes on one PostgreSQL: throughput by their number, enqueue to start."""

import argparse
import asyncio
import io
import json
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import delete, func, select, update

from bench.databases import each_database
from bench.queue_drain import PLUGIN
from opsin.assembly import Parts, assemble
from opsin.cli import event_loop
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.imaging import encode_png
from opsin.settings import Settings
from opsin.storage.tables import analyses, annotations, artifacts, events

_REAL = ("perceptual_hash", "dominant_colors", "image_quality", "saliency")
_SIDE = 512


def settings_of(url: str, folder: Path) -> Settings:
    return Settings(data_dir=folder, database_url=url, worker=False, cpu_threads=1, poll_seconds=5)


async def work(url: str, folder: Path) -> None:
    """One worker process: says when it is ready, and works until it is ended."""
    async with assemble(settings_of(url, folder), [PLUGIN]).running() as parts:
        event_loop.spare_collector()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        task = asyncio.create_task(parts.worker.run())
        await asyncio.to_thread(sys.stdin.readline)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def started(count: int, url: str, folder: Path) -> list[Process]:
    """So many worker processes, which wait to be told to begin."""
    command = [sys.executable, "-m", "bench.processes", "--work", url, str(folder)]
    found = [
        await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        for _ in range(count)
    ]
    for process in found:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    return found


def tell(processes: Sequence[Process]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")


async def throughput(parts: Parts, count: int, url: str, folder: Path) -> float:
    """Seconds in which so many processes run all that is there, once more."""
    async with parts.use_cases.database.write() as transaction:
        for made in (annotations, artifacts):  # by the processes before
            await transaction.connection.execute(delete(made))
        await transaction.connection.execute(
            update(analyses).values(
                status="QUEUED", attempts=0, result=None, result_key=None, completed_at=None
            )
        )
    processes = await started(count, url, folder)
    begun = time.perf_counter()
    tell(processes)
    while await _open(parts):  # noqa: ASYNC110 - the work is done in other processes
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - begun
    tell(processes)
    for process in processes:
        await process.wait()
    return seconds


async def _open(parts: Parts) -> int:
    async with parts.use_cases.database.read() as connection:
        rows = await connection.execute(
            select(func.count()).where(analyses.c.status.in_(("QUEUED", "PROCESSING")))
        )
        return int(rows.scalar_one())


async def delays(parts: Parts, principal: Principal, image_id: str, count: int) -> list[float]:
    """Milliseconds from the event of being queued to that of being begun, in another process."""
    use_cases = parts.use_cases
    after = await use_cases.events.position()
    for _ in range(count):
        await use_cases.analyses.ask(
            principal, image_id, [make_task(use_cases.host, "1", "do_nothing")]
        )
        await asyncio.sleep(0.01)
    while await _open(parts):  # noqa: ASYNC110 - so is this
        await asyncio.sleep(0.05)
    queued, begun = events.alias(), events.alias()
    async with use_cases.database.read() as connection:
        rows = await connection.execute(
            select(queued.c.created_at, begun.c.created_at)
            .join(begun, begun.c.analysis_id == queued.c.analysis_id)
            .where(
                queued.c.sequence > after,
                queued.c.kind == "analysis.queued",
                begun.c.kind == "analysis.processing",
            )
        )
        return sorted((end - begin).total_seconds() * 1000 for begin, end in rows)


async def images_of(parts: Parts, principal: Principal, count: int) -> list[str]:
    dataset = await parts.use_cases.datasets.create(principal, f"bench {count}")
    generator = np.random.default_rng(1)
    found = []
    for number in range(count):
        pixels = generator.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
        new = NewImage(dataset.id, f"{number}.png")
        content = io.BytesIO(encode_png(pixels))
        found.append((await parts.use_cases.images.add(principal, new, content)).id)
    return found


async def measure(url: str, folder: Path, kind: str, numbers: Sequence[int]) -> dict[str, Any]:
    async with assemble(settings_of(url, folder), [PLUGIN]).running() as parts:
        use_cases = parts.use_cases
        principal = await use_cases.access.local()
        if kind == "delays":
            (image,) = await images_of(parts, principal, 1)
            processes = await started(1, url, folder)
            tell(processes)
            await asyncio.sleep(2)
            found = await delays(parts, principal, image, 500)
            tell(processes)
            await processes[0].wait()
            return {
                "enqueue_to_start_ms": {
                    "p50": round(statistics.median(found), 1),
                    "p99": round(found[int(len(found) * 0.99)], 1),
                    "count": len(found),
                }
            }
        names = ["do_nothing"] * 50 if kind == "nothing" else list(_REAL)
        for image in await images_of(parts, principal, 200 if kind == "nothing" else 100):
            tasks = [make_task(use_cases.host, str(n), name) for n, name in enumerate(names)]
            await use_cases.analyses.ask(principal, image, tasks)
        total = await _open(parts)
        seconds = {n: await throughput(parts, n, url, folder) for n in numbers}
        return {
            "work": kind,
            "analyses": total,
            "per_second": {n: round(total / seconds[n]) for n in numbers},
            "of_one": {n: round(seconds[numbers[0]] / seconds[n], 2) for n in numbers},
        }


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--numbers", type=int, nargs="+", default=[1, 2, 4])
    kinds = ("delays", "nothing", "real")
    parser.add_argument("--kinds", choices=kinds, nargs="+", default=kinds)
    given = parser.parse_args(arguments)
    if given.work:
        event_loop.run(work(given.work[0], Path(given.work[1])))
        return []
    results = []
    for kind in given.kinds:
        for name, url, folder in each_database():
            if name == "postgresql":
                results.append(event_loop.run(measure(url, folder, kind, given.numbers)))
                print(json.dumps(results[-1]), flush=True)
    return results


if __name__ == "__main__":
    main()
