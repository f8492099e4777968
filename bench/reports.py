"""A PDF of the demo's portrait with all skin measures: time, size, and the loop meanwhile."""

import asyncio
import io
import json
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from bench.pictures import portrait
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.records import Image
from opsin.plugins.skin.plugin import MEASURES
from opsin.settings import Settings
from opsin.storage.ids import new_id, new_ids
from opsin.storage.tables import analyses, annotations, images, subjects

EARLIER = (0, 500)
ROUNDS = 5
TICK = 0.002
MOMENT = datetime(2026, 11, 20, tzinfo=UTC)


async def measured(parts: Parts, principal: Principal) -> Image:
    """The portrait as a subject's image, with every measure's real result."""
    use_cases = parts.use_cases
    dataset = await use_cases.datasets.create(principal, "faces")
    subject = {
        "id": new_id(),
        "company_id": principal.company_id,
        "dataset_id": dataset.id,
        "name": "Grace",
        "attributes": {},
        "created_at": MOMENT,
    }
    async with use_cases.database.write() as transaction:
        await transaction.connection.execute(insert(subjects), [subject])
    new = NewImage(dataset.id, "portrait.jpg", subject_id=str(subject["id"]), taken_at=MOMENT)
    image = await use_cases.images.add(principal, new, io.BytesIO(portrait()))
    names = ["face_areas", *(measure.name for measure in MEASURES)]
    tasks = [make_task(use_cases.host, name, name, {}) for name in names]
    asked = await use_cases.analyses.ask(principal, image.id, tasks)
    worker = asyncio.create_task(parts.worker.run())
    ids = [one.id for one in asked]
    while True:
        found = await use_cases.analyses.find_many(principal, ids)
        if all(one.status.is_final for one in found.values()):
            break
        await asyncio.sleep(0.1)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    return image


async def add_earlier(parts: Parts, image: Image, count: int) -> None:
    """Rows of earlier images, each with a copy of the portrait's main metrics."""
    database = parts.use_cases.database
    async with database.read() as connection:
        own = (
            await connection.execute(
                select(analyses.c.operation, annotations.c.data)
                .join(annotations, annotations.c.analysis_id == analyses.c.id)
                .where(annotations.c.annotation_type == "metric", annotations.c.ordering == 0)
            )
        ).all()
        row = (await connection.execute(select(images).where(images.c.id == image.id))).one()
    mine = {"company_id": image.company_id, "created_at": MOMENT}
    place = mine | {"dataset_id": image.dataset_id}
    made = [
        dict(row._mapping) | {"id": identity, "taken_at": MOMENT - timedelta(days=number + 1)}
        for number, identity in enumerate(new_ids(count))
    ]
    told = [
        place
        | {
            "id": new_id(),
            "image_id": one["id"],
            "external": False,
            "operation": operation,
            "operation_version": "1",
            "model_name": operation,
            "model_version": "1",
            "status": "COMPLETED",
            "available_at": MOMENT,
            "updated_at": MOMENT,
        }
        for one in made
        for operation, _ in own
    ]
    found = [
        mine
        | {
            "id": new_id(),
            "analysis_id": one["id"],
            "annotation_type": "metric",
            "data": own[place_of % len(own)][1],
            "ordering": 0,
        }
        for place_of, one in enumerate(told)
    ]
    async with database.write() as transaction:
        for table, rows in ((images, made), (analyses, told), (annotations, found)):
            await transaction.connection.execute(insert(table), rows)


async def pauses(stop: asyncio.Event) -> list[float]:
    """Milliseconds by which the event loop came back late to a sleeper, again and again."""
    found = []
    while not stop.is_set():
        started = time.perf_counter()
        await asyncio.sleep(TICK)
        found.append((time.perf_counter() - started - TICK) * 1000)
    return found


async def reports(parts: Parts, principal: Principal, image: Image) -> dict[str, float]:
    """Seconds of the first and of further reports, size, and how late the loop was meanwhile."""
    seconds, size = [], 0
    stop = asyncio.Event()
    for number in range(ROUNDS + 1):
        if number == 1:
            ticking = asyncio.create_task(pauses(stop))
        started = time.perf_counter()
        size = len(await parts.use_cases.reports.pdf(principal, image.id))
        seconds.append(time.perf_counter() - started)
    stop.set()
    late = statistics.quantiles(await ticking, n=100)
    return {
        "first_s": round(seconds[0], 2),
        "further_s": round(statistics.median(seconds[1:]), 2),
        "kilobytes": round(size / 1000),
        "loop_late_p50_ms": round(late[49], 1),
        "loop_late_p99_ms": round(late[98], 1),
    }


async def measure() -> dict[str, Any]:
    results: dict[str, Any] = {"load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as folder:
        parts = assemble(Settings(data_dir=Path(folder), worker=False, webhooks=False))
        async with parts.running():
            principal = await parts.use_cases.access.local()
            image = await measured(parts, principal)
            for count in EARLIER:
                if count:
                    await add_earlier(parts, image, count)
                results[f"{count}_earlier"] = await reports(parts, principal, image)
    return results


def main() -> dict[str, Any]:
    return asyncio.run(measure())


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
