"""A process that sweeps, and kills itself in front of one of its statements."""

import asyncio
import itertools
import os
import signal
import sys
from datetime import datetime
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from opsin.core.blob_sweep import BlobSweep
from opsin.core.retention import Retention
from opsin.storage.blobs import open_blob_store
from opsin.storage.database import Database


async def sweep(database_url: str, blob_url: str, now: datetime) -> None:
    database, store = Database(database_url), open_blob_store(blob_url)
    try:
        await Retention(database, BlobSweep(database, store), at_once=2).run(now)
    finally:
        await store.close()
        await database.close()


def main() -> None:
    database_url, blob_url, moment, last = sys.argv[1:]
    numbers = itertools.count(1)

    def count(*_: Any) -> None:
        if next(numbers) == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    asyncio.run(sweep(database_url, blob_url, datetime.fromisoformat(moment)))


if __name__ == "__main__":
    main()
