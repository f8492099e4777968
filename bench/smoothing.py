"""Smoothed values of the newest of 10,000 images, against reading the whole history for them."""

import asyncio
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, insert, text

from bench.databases import each_database
from opsin.core.access import Principal
from opsin.core.history import History, SmoothingMethod
from opsin.core.history import SmoothingOptions as Options
from opsin.core.history.smoothing import Sample, smooth
from opsin.storage.database import Database
from opsin.storage.ids import new_id, new_ids
from opsin.storage.schema import upgrade
from opsin.storage.tables import analyses, annotations, companies, datasets, images, subjects

IMAGES = 10_000
OPERATIONS = [f"measure_{number}" for number in range(10)]
"""What every image is measured by; the first and every 2,500th image by `rare`, too."""
RARE = 2_500
METRICS = 6
"""Metrics of each result; the first is the main one."""
HOURS = 0.8
"""Between two images: 420 of them are in the usual window, and nearly all in a year."""
ROUNDS = 9
MOMENT = datetime(2026, 11, 20, tzinfo=UTC)

USUAL = Options()
LARGEST = Options(365, 100, SmoothingMethod.LINEAR_APPROXIMATION)


async def fill(database: Database) -> tuple[Principal, str, str, list[str]]:
    """One subject's images with their results; gives dataset, subject and the newest two images."""
    company, dataset, subject = new_ids(3)
    mine: dict[str, Any] = {"company_id": company, "created_at": MOMENT}
    image_ids = new_ids(IMAGES)
    async with database.write() as transaction:

        async def add(table: Table, rows: Sequence[dict[str, Any]]) -> None:
            for start in range(0, len(rows), 5_000):
                await transaction.connection.execute(insert(table), rows[start : start + 5_000])

        await add(companies, [{"id": company, "name": "bench", "created_at": MOMENT}])
        await add(datasets, [mine | {"id": dataset, "name": "d", "updated_at": MOMENT}])
        place = mine | {"dataset_id": dataset}
        await add(subjects, [place | {"id": subject, "name": "s", "attributes": {}}])
        of_subject = place | {"subject_id": subject}
        # The newest has the greatest id, as where pictures come when they are taken.
        await add(images, [of_subject | _image(n, i) for n, i in enumerate(reversed(image_ids))])
        told = [
            place | _analysis(image_id, operation)
            for number, image_id in enumerate(reversed(image_ids))
            for operation in (*OPERATIONS, *(["rare"] if number % RARE == 0 else []))
        ]
        await add(analyses, told)
        for start in range(0, len(told), 5_000):
            await add(
                annotations,
                [
                    mine | _metric(number, row, place)
                    for number, row in enumerate(told[start : start + 5_000])
                    for place in range(METRICS)
                ],
            )
    async with database.write() as transaction:
        await transaction.connection.execute(text("ANALYZE"))
    return Principal(company, "bench"), dataset, subject, image_ids[-2:]


def _image(number: int, identity: str) -> dict[str, Any]:
    return {
        "id": identity,
        "filename": f"{number}.jpg",
        "content_type": "image/jpeg",
        "sha256": "0" * 64,
        "size_bytes": 1,
        "width": 1,
        "height": 1,
        "notes": [],
        "metadata": {},
        "side": "front",
        "light": "regular",
        "taken_at": MOMENT - timedelta(hours=HOURS * number),
    }


def _analysis(image_id: str, operation: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "image_id": image_id,
        "external": False,
        "operation": operation,
        "operation_version": "1",
        "model_name": operation,
        "model_version": "1",
        "status": "COMPLETED",
        "available_at": MOMENT,
        "updated_at": MOMENT,
    }


def _metric(number: int, analysis: dict[str, Any], place: int) -> dict[str, Any]:
    score = number * 37 % 100
    return {
        "id": new_id(),
        "analysis_id": analysis["id"],
        "annotation_type": "metric",
        "class_name": analysis["operation"],
        "data": {"name": f"area_{place}.measure", "value": score / 7, "unit": "", "score": score},
        "ordering": place,
    }


async def whole(
    history: History, principal: Principal, subject: Sequence[str], until: datetime, wanted: Options
) -> dict[str, float]:
    """The same values by reading every point in the window first."""
    since = until - timedelta(days=wanted.window_days) + timedelta(microseconds=1)
    points = await history.of_subject(principal, *subject, since=since, until=until, limit=100_000)
    samples: dict[str, list[Sample]] = defaultdict(list)
    for point in points:
        samples[point.operation].append(Sample(point.taken_at, point.image_id, point.number))
    return {
        operation: smooth(found[0], found[1:], wanted).value
        for operation, found in samples.items()
        if found[0].at == until
    }


async def milliseconds(work: Callable[[], Awaitable[Any]], rounds: int = ROUNDS) -> float:
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - started)
    return round(statistics.median(seconds[1:]) * 1000, 2)


async def measure() -> dict[str, Any]:
    results: dict[str, Any] = {"load": os.getloadavg()[0], "images": IMAGES}
    for name, url, _ in each_database():
        await upgrade(url)
        database = Database(url)
        try:
            results[name] = await _of(database)
        finally:
            await database.close()
    return results


async def _of(database: Database) -> dict[str, float]:
    principal, dataset, subject, (second, newest) = await fill(database)
    history = History(database)
    found: dict[str, float] = {}
    for name, image, until, options in (
        ("usual", second, MOMENT - timedelta(hours=HOURS), USUAL),
        ("largest", second, MOMENT - timedelta(hours=HOURS), LARGEST),
        ("usual_with_rare", newest, MOMENT, USUAL),
        ("largest_with_rare", newest, MOMENT, LARGEST),
    ):

        async def ours(image: str = image, options: Options = options) -> dict[str, float]:
            values = await history.smoothed(principal, image, options)
            return {one.operation: one.value for one in values}

        async def plain(until: datetime = until, options: Options = options) -> dict[str, float]:
            return await whole(history, principal, (dataset, subject), until, options)

        assert await ours() == await plain()
        found[f"{name}_ms"] = await milliseconds(ours)
        found[f"{name}_whole_ms"] = await milliseconds(plain, rounds=3)
    return found


def main() -> dict[str, Any]:
    return asyncio.run(measure())


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
