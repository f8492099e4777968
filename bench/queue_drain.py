"""10,000 queued no-op analyses: drained by the worker, none lost, none run twice, per second."""

import io
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bench.databases import each_database
from opsin.assembly import Parts, assemble
from opsin.cli import event_loop
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.imaging import encode_png
from opsin.core.plugin_host import PluginSource
from opsin.settings import Settings
from opsin.storage.tables import analyses, events

ANALYSES = 10_000
PLUGIN = PluginSource("nothing", "bench.nothing")


async def drain(url: str, folder: Path, images: int) -> dict[str, Any]:
    """Queue the analyses on so many pictures, then time the worker until all have ended."""
    settings = Settings(data_dir=folder, database_url=url, worker=False)
    parts = assemble(settings, [PLUGIN])
    async with parts.running():
        principal = await parts.use_cases.access.local()
        await _queue(parts, principal, images)
        event_loop.spare_collector()  # as `opsin worker` does, whose loop this is, too
        started, processor = time.perf_counter(), time.process_time()
        ended = await parts.worker.drain()
        seconds, used = time.perf_counter() - started, time.process_time() - processor
        await _check(parts)
    return {
        "images": images,
        "analyses": ended,
        "seconds": round(seconds, 2),
        "per_second": round(ended / seconds),
        "processor_seconds": round(used, 2),
    }


async def _queue(parts: Parts, principal: Principal, images: int) -> None:
    import numpy as np

    use_cases = parts.use_cases
    dataset = await use_cases.datasets.create(principal, "bench")
    for number in range(images):
        pixels = np.full((8, 8, 3), number % 256, np.uint8)
        new = NewImage(dataset.id, f"{number}.png")
        image = await use_cases.images.add(principal, new, io.BytesIO(encode_png(pixels)))
        left = ANALYSES // images
        while left:
            count = min(left, 64)
            tasks = [make_task(use_cases.host, str(n), "do_nothing") for n in range(count)]
            await use_cases.analyses.ask(principal, image.id, tasks)
            left -= count


async def _check(parts: Parts) -> None:
    """Every analysis COMPLETED in its first attempt, with its three events."""
    async with parts.use_cases.database.read() as connection:
        rows = await connection.execute(
            select(analyses.c.status, analyses.c.attempts, func.count()).group_by(
                analyses.c.status, analyses.c.attempts
            )
        )
        found = [tuple(row) for row in rows]
        kinds = await connection.execute(
            select(events.c.kind, func.count())
            .where(events.c.analysis_id.is_not(None))
            .group_by(events.c.kind)
        )
        told = {kind: count for kind, count in kinds}
    if found != [("COMPLETED", 1, ANALYSES)] or set(told.values()) != {ANALYSES}:
        raise AssertionError(f"lost or repeated: {found} {told}")


def main() -> list[dict[str, Any]]:
    results = []
    for images in (100, 2_000):
        for name, url, folder in each_database():
            results.append({"database": name} | event_loop.run(drain(url, folder, images)))
            print(results[-1], flush=True)
    return results


if __name__ == "__main__":
    main()
