"""The time by which leases are held: the database's, which every node shares."""

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from opsin.storage.database import Database


class QueueClock:
    """The database's time, asked now and then; between, it goes on as the monotonic clock does.

    So a node whose clock is wrong, or is set, neither takes what others hold nor loses its own.
    SQLite has no time but the machine's, and all of its processes are on that machine.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read: datetime | None = None
        self._read_at = 0.0

    async def now(self) -> datetime:
        """The time; asks the database if it was never asked.  Raises StorageError."""
        if self._read is None:
            await self.read()
        assert self._read is not None
        return self._read + timedelta(seconds=time.monotonic() - self._read_at)

    async def read(self) -> None:
        """Ask the database again."""
        if self._database.is_sqlite:
            read, read_at = datetime.now(UTC), time.monotonic()
        else:
            async with self._database.read() as connection:
                read_at = time.monotonic()
                read = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        self._read, self._read_at = read, read_at
