"""The rows that every contestant reads, the same on SQLite and PostgreSQL."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import LOCAL_COMPANY
from opsin.storage.database import connect_without_pool, database_url
from opsin.storage.ids import new_id, new_ids
from opsin.storage.tables import analyses, annotations, companies, datasets, images

ANALYSES, ANNOTATIONS = 200, 20
"""The page of the first three cases."""

LARGE = 10_000
"""Annotations of the one large analysis."""

IMAGES, ANALYSES_OF_IMAGE, ANNOTATIONS_OF_ANALYSIS = 10, 4, 25
"""The dataset that is read four levels deep."""

_OTHERS = 2_000
_FIRST_MOMENT = datetime(2026, 3, 1, 8, tzinfo=UTC)
_CLASSES = ("acne", "pore", "wrinkle", "dark spot", "Größe \u201e2\u201c", 'the "quoted"')


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a request must name: the ids in it, and the key of the API."""

    company_id: str
    dataset_id: str
    large_analysis_id: str
    key: str


def new_database(url: str, folder: Path) -> tuple[str, str]:
    """Opsin's own tables at `url`; the id of the local company, and an API key of it."""
    done = subprocess.run(
        [sys.executable, "-m", "opsin", "keys", "create", "bench", "--json"],
        env=os.environ | {"OPSIN_DATABASE_URL": url, "OPSIN_DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return asyncio.run(_local_company(url)), str(json.loads(done.stdout)["key"])


def seed(url: str, folder: Path) -> Seeded:
    """A new database with the rows of every case, and ten times as many of another company."""
    company_id, key = new_database(url, folder)
    return asyncio.run(_seed(url, company_id, key))


async def _seed(url: str, company_id: str, key: str) -> Seeded:
    numbers = random.Random(1)
    engine = connect_without_pool(database_url(url))
    async with engine.begin() as connection:
        # In this order: the first page of all analyses is the first dataset's.
        await add_dataset(connection, numbers, company_id, 20, ANALYSES // 20, ANNOTATIONS)
        dataset_id, _ = await add_dataset(
            connection, numbers, company_id, IMAGES, ANALYSES_OF_IMAGE, ANNOTATIONS_OF_ANALYSIS
        )
        _, large = await add_dataset(connection, numbers, company_id, 1, 1, LARGE)
        other = await add_company(connection)
        await add_dataset(connection, numbers, other, _OTHERS // 10, 10, ANNOTATIONS)
    await engine.dispose()
    await tidy(url)
    return Seeded(company_id, dataset_id, large[0], key)


async def add_company(connection: AsyncConnection) -> str:
    """A company besides the local one."""
    company_id = new_id()
    await connection.execute(
        insert(companies),
        [{"id": company_id, "name": "another", "created_at": _FIRST_MOMENT}],
    )
    return company_id


async def add_dataset(
    connection: AsyncConnection,
    numbers: random.Random,
    company_id: str,
    image_count: int,
    analyses_of_image: int,
    annotations_of_analysis: int,
) -> tuple[str, list[str]]:
    """A dataset with as many children at each level; its id, and those of its analyses."""
    owner = {"company_id": company_id, "dataset_id": new_id()}
    await _insert(connection, datasets, [_dataset(owner)])
    image_ids = new_ids(image_count)
    await _insert(connection, images, [_image(owner, id, numbers) for id in image_ids])
    made = [
        _analysis(owner, analysis_id, image_id, number)
        for image_id in image_ids
        for number, analysis_id in enumerate(new_ids(analyses_of_image))
    ]
    await _insert(connection, analyses, made)
    for some in _in_chunks(made, max(1, 10_000 // max(1, annotations_of_analysis))):
        rows = [
            _annotation(company_id, analysis["id"], id, numbers)
            for analysis in some
            for id in new_ids(annotations_of_analysis)
        ]
        if rows:
            await _insert(connection, annotations, rows)
    return owner["dataset_id"], [analysis["id"] for analysis in made]


async def tidy(url: str) -> None:
    """What a database does by itself after a while: statistics, visibility, a written-back log."""
    if url.startswith("sqlite"):
        await execute_alone(url, "PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        await execute_alone(url, "VACUUM ANALYZE")
        await execute_alone(url, "CHECKPOINT")


async def execute_alone(url: str, statement: str) -> None:
    """Run a statement that no transaction may hold."""
    engine = connect_without_pool(database_url(url))
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text(statement))
    await engine.dispose()


async def _local_company(url: str) -> str:
    engine = connect_without_pool(database_url(url))
    async with engine.connect() as connection:
        statement = companies.select().where(companies.c.name == LOCAL_COMPANY)
        row = (await connection.execute(statement)).one()
    await engine.dispose()
    return str(row.id)


async def _insert(connection: AsyncConnection, table: Table, rows: list[dict[str, Any]]) -> None:
    await connection.execute(insert(table), rows)


def _in_chunks(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _dataset(owner: dict[str, str]) -> dict[str, Any]:
    return {
        "id": owner["dataset_id"],
        "company_id": owner["company_id"],
        "name": "spring survey",
        "description": "",
        "created_at": _FIRST_MOMENT,
        "updated_at": _FIRST_MOMENT,
    }


def _image(owner: dict[str, str], id: str, numbers: random.Random) -> dict[str, Any]:
    return owner | {
        "id": id,
        "filename": f"IMG_{numbers.randrange(10_000):04}.jpg",
        "content_type": "image/jpeg",
        "sha256": f"{numbers.getrandbits(256):064x}",
        "size_bytes": numbers.randrange(100_000, 9_000_000),
        "width": 4032,
        "height": 3024,
        "notes": [],
        "metadata": {},
        "created_at": _moment(numbers),
    }


def _analysis(owner: dict[str, str], id: str, image_id: str, number: int) -> dict[str, Any]:
    moment = _FIRST_MOMENT + timedelta(seconds=number, microseconds=123_456 * (number % 7))
    return owner | {
        "id": id,
        "image_id": image_id,
        "external": True,
        "model_name": f"skin-{number % 5}",
        "model_version": "2.1.0",
        "status": ("COMPLETED", "PROCESSING", "COMPLETED", "FAILED")[number % 4],
        "summary": {"findings": number},
        "available_at": moment,
        "created_at": moment,
        "updated_at": moment,
    }


def _annotation(
    company_id: str, analysis_id: str, id: str, numbers: random.Random
) -> dict[str, Any]:
    return {
        "id": id,
        "company_id": company_id,
        "analysis_id": analysis_id,
        "annotation_type": "bounding_box",
        "class_name": numbers.choice(_CLASSES),
        "confidence": numbers.random(),
        "data": {
            "bbox": [round(numbers.random() * 3000, 2) for _ in range(4)],
            "format": "xywh",
        },
        "created_at": _moment(numbers),
    }


def _moment(numbers: random.Random) -> datetime:
    return _FIRST_MOMENT + timedelta(microseconds=numbers.randrange(86_400_000_000))
