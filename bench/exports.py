"""A million annotations exported, against the quickest that each database can do with its rows."""

import asyncio
import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert

from bench.databases import each_database
from opsin.core.exports.exports import Exports
from opsin.core.exports.request import ExportFormat, Target, TargetKind
from opsin.storage.bulk import as_sent, insert_rows
from opsin.storage.database import Database
from opsin.storage.ids import new_id, new_ids
from opsin.storage.schema import upgrade
from opsin.storage.tables import analyses, annotations, companies, datasets, images

IMAGES, ANALYSES, ANNOTATIONS = 1000, 2, 500  # analyses of each image, annotations of each analysis
ROUNDS = 3
NAMES = ("id", "company_id", "analysis_id", "annotation_type", "class_name", "confidence", "data",
         "ordering", "created_at")  # fmt: skip


async def fill(database: Database) -> Target:
    """One dataset with all of them."""
    company, dataset, now = new_id(), new_id(), datetime.now(UTC)
    numbers = random.Random(1)
    async with database.write() as transaction:
        connection = transaction.connection
        await connection.execute(insert(companies).values(id=company, name="c", created_at=now))
        times = {"created_at": now, "updated_at": now}
        await connection.execute(
            insert(datasets).values(id=dataset, company_id=company, name="d", **times)
        )
    for _ in range(IMAGES):
        async with database.write() as transaction:
            connection, image = transaction.connection, new_id()
            own = {"company_id": company, "dataset_id": dataset}
            picture = {"content_type": "image/jpeg", "sha256": "0" * 64, "size_bytes": 1}
            size = {"width": 640, "height": 480}
            await connection.execute(
                insert(images).values(
                    id=image, filename="a.jpg", created_at=now, **own, **picture, **size
                )
            )
            made = new_ids(ANALYSES)
            told = {"external": True, "model_name": "yolo", "model_version": "8", "reuse": False}
            rest = {"image_id": image, "status": "COMPLETED", "available_at": now} | times
            await connection.execute(
                insert(analyses), [{"id": one} | own | told | rest for one in made]
            )
            moment = as_sent(connection, annotations.c.created_at, now)
            rows = [
                (identity, company, one, "bounding_box", f"class {n % 80}", numbers.random(),
                 box(numbers), n, moment)
                for one in made
                for n, identity in enumerate(new_ids(ANNOTATIONS))
            ]  # fmt: skip
            await insert_rows(connection, annotations, NAMES, rows)
    return Target(TargetKind.DATASET, dataset, company)


def box(numbers: random.Random) -> str:
    sides = [round(numbers.random() * 300, 2) for _ in range(4)]
    return orjson.dumps({"bbox": sides, "format": "xywh"}).decode()


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def timed(work: Callable[[Callable[[], None]], Coroutine[Any, Any, int]]) -> dict[str, Any]:
    """Seconds, bytes and the most memory beyond that at the start; `work` calls back as it goes."""
    start, most = resident_bytes(), 0

    def look() -> None:
        nonlocal most
        most = max(most, resident_bytes() - start)

    began = time.perf_counter()
    written = await work(look)
    return {"seconds": time.perf_counter() - began, "bytes": written, "growth": most}


async def ours(
    exports: Exports, target: Target, form: ExportFormat, look: Callable[[], None]
) -> int:
    written = 0
    async for chunk in exports.stream(target, form):
        written += len(chunk)
        look()
    return written


async def copy_out(database: Database, look: Callable[[], None]) -> int:
    """`COPY annotations TO STDOUT`, thrown away as it comes."""
    written = 0

    async def take(chunk: bytes) -> None:
        nonlocal written
        written += len(chunk)
        look()

    async with database.read() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.copy_from_table("annotations", output=take)
    return written


async def raw_rows(path: str, look: Callable[[], None]) -> int:
    """Every row of the table as sqlite3 gives it, a thousand at a time; only counted."""
    connection, count = sqlite3.connect(path), 0
    cursor = connection.execute("SELECT * FROM annotations")
    while rows := cursor.fetchmany(1000):
        count += len(rows)
        look()
    connection.close()
    return count


async def measure(url: str) -> dict[str, Any]:
    await upgrade(url)
    database = Database(url)
    target = await fill(database)
    exports = Exports(database)
    path = database.url.database or ""
    contestants: dict[str, Any] = {
        form.value: lambda look, form=form: ours(exports, target, form, look)
        for form in ExportFormat
    }
    if database.is_sqlite:
        contestants["sqlite3 rows"] = lambda look: raw_rows(path, look)
    else:
        contestants["COPY TO STDOUT"] = lambda look: copy_out(database, look)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, work in contestants.items():  # by turns, so that all meet the same neighbours
            found[name].append(await timed(work))
    await database.close()
    total = IMAGES * ANALYSES * ANNOTATIONS
    return {
        name: {
            "annotations_per_second": round(total / statistics.median(r["seconds"] for r in runs)),
            "megabytes": round(runs[0]["bytes"] / 1e6),
            "memory_growth_megabytes": round(max(r["growth"] for r in runs[1:]) / 1e6, 1),
        }
        for name, runs in found.items()
    }


def main() -> list[dict[str, Any]]:
    results = []
    for name, url, _ in each_database():
        for contestant, numbers in asyncio.run(measure(url)).items():
            results.append({"database": name, "contestant": contestant} | numbers)
            print(results[-1], flush=True)
    return results


if __name__ == "__main__":
    main()
