"""Searches over 100,000 images by GraphQL: a page of 50, and how many there are in all."""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, insert, text

from bench.databases import each_database
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.graphql.context import Context
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.settings import Settings
from opsin.storage.curation import image_classes, image_classifications
from opsin.storage.database import Database
from opsin.storage.ids import new_id, new_ids
from opsin.storage.tables import analyses, annotations, companies, datasets, images

IMAGES = 100_000
RARE = 10_000
"""One image in so many is rare, and so is what is found in it."""
FOUND_IN_EACH = 3
ROUNDS = 7

PAGE = "{ images(first: 50%s) { nodes { id filename } } }"
COUNT = "{ images(first: 0%s) { totalCount } }"
FILTERS = {
    "everything": "",
    "file name, common": 'filenameContains: "IMG_"',
    "file name, rare": 'filenameContains: "harbour"',
    "file name, none": 'filenameContains: "nowhere"',
    "metadata, common": 'metadata: {key: "place", contains: "bergen"}',
    "metadata, rare": 'metadata: {contains: "tromsø"}',
    "class, common": 'classId: "%(common)s"',
    "class, rare": 'classId: "%(rare)s"',
    "model, common": 'analysis: {modelName: "detector"}',
    "model, rare": 'analysis: {modelName: "trial"}',
    "finding, common": 'analysis: {className: "person", confidenceFrom: 0.5}',
    "finding, rare": 'analysis: {className: "walrus", confidenceFrom: 0.5}',
    "finding of a rare model": 'analysis: {modelName: "trial", className: "walrus"}',
    "deleted only": "deleted: ONLY",
}


async def fill(database: Database) -> tuple[Principal, dict[str, str]]:
    """One company's images, each analysed once and classified; ids of a common and a rare class."""
    now = datetime.now(UTC)
    company, dataset = new_id(), new_id()
    common, rare = new_ids(2)
    mine: dict[str, Any] = {"company_id": company, "created_at": now}
    async with database.write() as transaction:

        async def add(table: Table, rows: Sequence[dict[str, Any]]) -> None:
            for start in range(0, len(rows), 5_000):
                await transaction.connection.execute(insert(table), rows[start : start + 5_000])

        await add(companies, [{"id": company, "name": "bench", "created_at": now}])
        await add(datasets, [mine | {"id": dataset, "name": "d", "updated_at": now}])
        labels = [{"id": common, "name": "common"}, {"id": rare, "name": "rare"}]
        await add(image_classes, [mine | {"dataset_id": dataset} | one for one in labels])
        image_ids, analysis_ids = new_ids(IMAGES), new_ids(IMAGES)
        place = mine | {"dataset_id": dataset}
        await add(images, [place | _image(n, i) for n, i in enumerate(image_ids)])
        given = [
            {"id": new_id(), "image_id": i, "class_id": c, "created_by": company}
            for n, i in enumerate(image_ids)
            for c in ([common, rare] if n % RARE == RARE // 2 else [common] if n % 2 else [])
        ]
        await add(image_classifications, [mine | one for one in given])
        told = [place | _analysis(n, i, image_ids[n], now) for n, i in enumerate(analysis_ids)]
        await add(analyses, told)
        await add(annotations, [mine | one for one in _findings(analysis_ids)])
    async with database.write() as transaction:
        await transaction.connection.execute(text("ANALYZE"))
    return Principal(company, "bench"), {"common": common, "rare": rare}


def _image(number: int, identity: str) -> dict[str, Any]:
    is_rare = number % RARE == RARE // 2
    return {
        "id": identity,
        "filename": f"{'harbour' if is_rare else 'IMG'}_{number:07d}.JPG",
        "content_type": "image/jpeg",
        "sha256": "0" * 64,
        "size_bytes": 1,
        "width": 1,
        "height": 1,
        "notes": [],
        "metadata": {"place": "Tromsø" if is_rare else "Bergen", "camera": "X1", "depth": number},
        "deleted_at": datetime.now(UTC) if number % RARE == 7 else None,
    }


def _analysis(number: int, identity: str, image_id: str, now: datetime) -> dict[str, Any]:
    return {
        "id": identity,
        "image_id": image_id,
        "external": True,
        "model_name": "trial" if number % RARE == RARE // 2 else "detector",
        "model_version": "1",
        "status": "COMPLETED",
        "available_at": now,
        "updated_at": now,
    }


def _findings(analysis_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    ids = iter(new_ids(len(analysis_ids) * FOUND_IN_EACH))
    for number, analysis_id in enumerate(analysis_ids):
        for place in range(FOUND_IN_EACH):
            is_rare = number % RARE == RARE // 2 and place == 1
            yield {
                "id": next(ids),
                "analysis_id": analysis_id,
                "annotation_type": "bounding_box",
                "class_name": "walrus" if is_rare else ("person", "car", "dog")[place],
                "confidence": 0.9,
                "data": {"bbox": [1, 2, 3, 4], "format": "xywh"},
            }


async def milliseconds(schema: OpsinSchema, context: Context, query: str) -> float:
    """The median of some rounds; the first, which plans the statement, is not counted."""
    seconds = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        answer = await schema.execute(query, context_value=context)
        seconds.append(time.perf_counter() - started)
        assert not answer.errors, answer.errors
    assert schema.compiler.counts.ordinary == 0, query
    return round(statistics.median(seconds[1:]) * 1000, 1)


async def searches(parts: Parts) -> dict[str, Any]:
    """Milliseconds of a page and of a count, by filter."""
    principal, ids = await fill(parts.use_cases.database)
    limits = Limits(depth=20, fields=100, aliases=10, tokens=1_000, rows=10**6, page=1_000)
    schema = build_schema(parts.use_cases.host, limits)
    context = Context(parts.use_cases, principal, "http://bench.test", 1_000)
    found = {}
    for name, filter in FILTERS.items():
        given = f", filter: {{{filter % ids}}}" if filter else ""
        found[name] = {
            "page_ms": await milliseconds(schema, context, PAGE % given),
            "count_ms": await milliseconds(schema, context, COUNT % given),
        }
    return found


async def measure() -> dict[str, Any]:
    results: dict[str, Any] = {"load": os.getloadavg()[0], "images": IMAGES}
    for name, url, folder in each_database():
        parts = assemble(Settings(data_dir=folder, database_url=url, worker=False))
        async with parts.running():
            results[name] = await searches(parts)
    return results


def main() -> dict[str, Any]:
    return asyncio.run(measure())


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
