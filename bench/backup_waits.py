"""How long somebody who writes to SQLite waits while a backup is made, by the number of files."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from opsin.cli import event_loop
from opsin.core.backup import Backup, BackupOptions
from opsin.storage.blobs import content_key
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database
from opsin.storage.ids import new_id, new_ids
from opsin.storage.schema import upgrade
from opsin.storage.tables import companies, datasets, images

FILES = (2_000, 20_000)
FILE_BYTES = 1_000
_ROUNDS = 3
_PAUSE = 0.002


async def measure(count: int, folder: Path) -> dict[str, Any]:
    """The longest and the median wait of a writer, in milliseconds, in each of some backups."""
    path, blobs = folder / "opsin.sqlite3", LocalBlobStore(folder / "blobs")
    url = f"sqlite:///{path}"
    await upgrade(url)
    database = Database(url)
    await _fill(database, blobs, count)
    rounds = []
    for number in range(_ROUNDS):
        backup = Backup(
            database, url, blobs, models=folder / "models", secret=b"s" * 64, owns_secret=False
        )
        command = [sys.executable, "-m", __spec__.name, str(path)]
        with subprocess.Popen(  # noqa: ASYNC220 - started before what is measured
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None and writer.stdin is not None
            writer.stdout.readline()  # it writes
            started = time.perf_counter()
            await backup.run(folder / f"backup-{number}", BackupOptions(), _untold)
            seconds = time.perf_counter() - started
            writer.stdin.close()
            waits = json.loads(writer.stdout.readline())
        rounds.append({"seconds": round(seconds, 2), **waits})
    await database.close()
    return {"files": count, "rounds": rounds}


def write_until_told(path: Path) -> dict[str, float]:
    """Small transactions, one after the other, until standard input ends."""
    import threading

    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    connection = sqlite3.connect(path, timeout=600, isolation_level=None)
    waits: list[float] = []
    while not over.is_set():
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE companies SET name = name")
        connection.execute("COMMIT")
        waits.append(time.perf_counter() - started)
        if len(waits) == 1:
            print("writes", flush=True)
        time.sleep(_PAUSE)
    waits.sort()
    return {
        "writes": len(waits),
        "median_ms": round(1000 * waits[len(waits) // 2], 1),
        "longest_ms": round(1000 * waits[-1], 1),
    }


def _untold(_what: str, _done: int, _total: int | None) -> None:
    pass


async def _fill(database: Database, blobs: LocalBlobStore, count: int) -> None:
    now = datetime.now(UTC)
    company, dataset = new_id(), new_id()
    each = {"company_id": company, "created_at": now}
    rows = []
    for number, identity in enumerate(new_ids(count)):
        content = number.to_bytes(4, "big") * (FILE_BYTES // 4)
        sha256 = hashlib.sha256(content).hexdigest()
        path = blobs._path(content_key(sha256))  # without its flush to the disk, file by file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        image = {"id": identity, "dataset_id": dataset, "filename": f"{number}.png"}
        image |= {"content_type": "image/png", "sha256": sha256, "size_bytes": FILE_BYTES}
        rows.append(image | {"width": 1, "height": 1, "taken_at": now} | each)
    async with database.write() as transaction:
        execute = transaction.connection.execute
        await execute(insert(companies).values(id=company, name="bench", created_at=now))
        await execute(
            insert(datasets).values(
                id=dataset, name="bench", description="", updated_at=now, **each
            )
        )
        await execute(insert(images), rows)


def main() -> list[dict[str, Any]]:
    found = []
    for count in FILES:
        with tempfile.TemporaryDirectory() as folder:
            found.append(event_loop.run(measure(count, Path(folder))))
    return found


if __name__ == "__main__":
    given = sys.argv[1:]
    print(json.dumps(write_until_told(Path(given[0])) if given else main()), flush=True)
