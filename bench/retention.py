"""Retention and deletion: a look that finds nothing, files that go, a dataset that is deleted."""

import asyncio
import hashlib
import io
import statistics
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert

from bench.databases import each_database
from opsin.assembly import Parts, assemble
from opsin.core import removal
from opsin.core.access import Principal
from opsin.core.datasets import RetentionPolicy
from opsin.core.records import Dataset
from opsin.core.retention import Removed
from opsin.settings import Settings
from opsin.storage.blobs import BlobStore, content_key, open_blob_store
from opsin.storage.ids import new_ids
from opsin.storage.tables import analyses, annotations, images

KEPT = 100_000
"""Young images of the dataset in which a look finds nothing."""
LOOKS = 5
IMAGES, ANALYSES, ANNOTATIONS = 2_000, 18, 10
"""Of a dataset that is emptied: images, analyses of each, annotations of each of those."""


async def _insert(parts: Parts, table: Table, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 2_000):
        async with parts.use_cases.database.write() as transaction:
            await transaction.connection.execute(insert(table), rows[start : start + 2_000])


async def _fill(
    parts: Parts, dataset: Dataset, count: int, analyses_each: int, store: BlobStore | None
) -> None:
    """Images of a dataset, with a file of 1 kB each where there is a store."""
    now = datetime.now(UTC)
    base = {"company_id": dataset.company_id, "created_at": now}
    digests = [hashlib.sha256(f"{dataset.id} {n}".encode()).hexdigest() for n in range(count)]
    if store is not None:
        for digest in digests:
            await store.put_file(content_key(digest), io.BytesIO(digest.encode() * 16))
    rows = [
        base
        | {"id": identity, "dataset_id": dataset.id, "filename": "a.jpg", "sha256": digest}
        | {"content_type": "image/jpeg", "size_bytes": 1024, "width": 64, "height": 64}
        | {"taken_at": now}
        for identity, digest in zip(new_ids(count), digests, strict=True)
    ]
    await _insert(parts, images, rows)
    made = [
        base
        | {"id": identity, "dataset_id": dataset.id, "operation": "o", "model_name": "o"}
        | {"image_id": rows[number // analyses_each]["id"], "model_version": "1"}
        | {"status": "COMPLETED", "available_at": now, "updated_at": now}
        for number, identity in enumerate(new_ids(count * analyses_each))
    ]
    await _insert(parts, analyses, made)
    found = [
        base
        | {"id": identity, "analysis_id": made[number // ANNOTATIONS]["id"]}
        | {"annotation_type": "metric", "data": {"value": number}}
        for number, identity in enumerate(new_ids(len(made) * ANNOTATIONS))
    ]
    await _insert(parts, annotations, found)


async def _beside(
    parts: Parts, principal: Principal, work: Awaitable[Any]
) -> tuple[float, float, float]:
    """Seconds of the work; milliseconds of small writes meanwhile: their median, the longest."""
    done, waits = False, list[float]()

    async def write() -> None:
        while not done:
            begun = time.perf_counter()
            await parts.use_cases.datasets.create(principal, "beside")
            waits.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    begun = time.perf_counter()
    await work
    seconds = time.perf_counter() - begun
    done = True
    await writing
    return seconds, statistics.median(waits), max(waits)


async def _measure(url: str, folder: Path) -> dict[str, Any]:
    settings = Settings(database_url=url, data_dir=folder / "data")
    store = open_blob_store(settings.resolved_blob_url)
    async with assemble(settings).running() as parts:
        use_cases = parts.use_cases
        principal = await use_cases.access.local()
        policy = RetentionPolicy(expire_files_after_days=30, expire_results_after_days=30)
        kept = await use_cases.datasets.create(principal, "kept", retention=policy)
        await _fill(parts, kept, KEPT, 0, None)
        looks = []
        for _ in range(LOOKS):
            begun = time.perf_counter()
            if await use_cases.retention.run() != Removed():
                raise AssertionError("nothing was due")
            looks.append((time.perf_counter() - begun) * 1000)
        due = await use_cases.datasets.create(
            principal, "due", retention=RetentionPolicy(expire_files_after_days=1)
        )
        await _fill(parts, due, IMAGES, ANALYSES, store)
        later = datetime.now(UTC) + timedelta(days=2)
        files, *small = await _beside(parts, principal, use_cases.retention.run(later))
        removal._WITH_THE_ANSWER = timedelta(hours=1)  # all of it is timed
        deletion, *others = await _beside(
            parts, principal, use_cases.datasets.delete(principal, due.id)
        )
        if await use_cases.image_pages.page(principal, dataset_id=kept.id, limit=0) != ([], KEPT):
            raise AssertionError("another dataset lost images")
    await store.close()
    return {
        f"look_at_{KEPT}_images_ms": round(statistics.median(looks), 1),
        "files_removed_per_s": round(IMAGES / files),
        "small_write_beside_ms": [round(value, 1) for value in small],
        "dataset_deleted_s": round(deletion, 2),
        "rows_deleted_per_s": round(IMAGES * (1 + ANALYSES * (1 + ANNOTATIONS)) / deletion),
        "small_write_beside_deletion_ms": [round(value, 1) for value in others],
    }


def main() -> dict[str, Any]:
    results = {}
    for name, url, folder in each_database():
        results[name] = asyncio.run(_measure(url, folder))
        print(name, results[name], flush=True)
    return results


if __name__ == "__main__":
    main()
