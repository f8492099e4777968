"""Backup and restore of 200,000 annotations and 2,000 files, on each pair of databases."""

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.engine import make_url

from bench.databases import each_database
from opsin.cli import event_loop
from opsin.core.backup import Backup, BackupOptions, Restore, RestoreOptions
from opsin.storage.blobs import content_key
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database, connect_without_pool, database_url
from opsin.storage.ids import new_id, new_ids
from opsin.storage.schema import upgrade
from opsin.storage.tables import analyses, annotations, companies, datasets, images

IMAGES = 2_000
ANNOTATIONS_OF_EACH = 100
FILE_BYTES = 100_000


async def measure(url: str, folder: Path) -> dict[str, Any]:
    """All four pairs; `url` is a PostgreSQL with room for one more database."""
    blobs = LocalBlobStore(folder / "blobs")
    sources = {"sqlite": f"sqlite:///{folder / 'source.sqlite3'}", "postgresql": url}
    results: dict[str, Any] = {"images": IMAGES, "annotations": IMAGES * ANNOTATIONS_OF_EACH}
    for kind, source in sources.items():
        await upgrade(source)
        await _fill(source, blobs)
        saved = folder / f"backup-{kind}"
        database = Database(source)
        backup = Backup(
            database, source, blobs, models=folder / "models", secret=b"s" * 64, owns_secret=False
        )
        started = time.perf_counter()
        manifest = await backup.run(saved, BackupOptions(), _untold)
        results[f"save_{kind}"] = _told(manifest.rows, started)
        await database.close()
        for other in sources:
            target = await _new_database(other, url, folder / f"from-{kind}.sqlite3", kind)
            restore = Restore(
                target,
                LocalBlobStore(folder / f"blobs-{kind}-{other}"),
                models=folder / "models",
                secret=b"s" * 64,
                secret_file=None,
            )
            started = time.perf_counter()
            await restore.run(saved, RestoreOptions(), _untold)
            results[f"restore_{kind}_into_{other}"] = _told(manifest.rows, started)
    return results


def _told(rows: int, started: float) -> dict[str, float]:
    seconds = time.perf_counter() - started
    return {
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "files_per_second": round(IMAGES / seconds),
    }


def _untold(_what: str, _done: int, _total: int | None) -> None:
    pass


async def _new_database(kind: str, url: str, path: Path, name: str) -> str:
    if kind == "sqlite":
        return f"sqlite:///{path}"
    engine = connect_without_pool(database_url(url))
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text(f"CREATE DATABASE from_{name}"))
    await engine.dispose()
    return make_url(url).set(database=f"from_{name}").render_as_string(hide_password=False)


async def _fill(url: str, blobs: LocalBlobStore) -> None:
    now = datetime.now(UTC)
    company, dataset = new_id(), new_id()
    each = {"company_id": company, "created_at": now}
    database = Database(url)
    async with database.write() as transaction:
        execute = transaction.connection.execute
        await execute(insert(companies).values(id=company, name="bench", created_at=now))
        await execute(
            insert(datasets).values(
                id=dataset, name="bench", description="", updated_at=now, **each
            )
        )
        for number, identity in enumerate(new_ids(IMAGES)):
            content = number.to_bytes(4, "big") * (FILE_BYTES // 4)
            sha256 = hashlib.sha256(content).hexdigest()
            await blobs.put(content_key(sha256), _once(content))
            image = {"id": identity, "dataset_id": dataset, "filename": f"{number}.png"}
            image |= {"content_type": "image/png", "sha256": sha256, "size_bytes": FILE_BYTES}
            await execute(insert(images).values(width=1, height=1, taken_at=now, **image, **each))
            analysis = {"id": new_id(), "dataset_id": dataset, "image_id": identity}
            analysis |= {"model_name": "m", "model_version": "1", "status": "COMPLETED"}
            analysis |= {"external": True, "available_at": now, "updated_at": now}
            await execute(insert(analyses).values(**analysis, **each))
            found = {"analysis_id": analysis["id"], "annotation_type": "bounding_box"}
            found |= {"data": {"bbox": [1.5, 2.5, 100.25, 50.125], "format": "xywh"}}
            found |= {"class_name": "cat", "confidence": 0.987654321}
            rows = [{"id": one, **found, **each} for one in new_ids(ANNOTATIONS_OF_EACH)]
            await execute(insert(annotations), rows)
    await database.close()


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def main() -> dict[str, Any]:
    for kind, url, folder in each_database():
        if kind == "postgresql":
            return event_loop.run(measure(url, folder))
    raise AssertionError("there is no PostgreSQL")


if __name__ == "__main__":
    import json

    print(json.dumps(main(), indent=2))
