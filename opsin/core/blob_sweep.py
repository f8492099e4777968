"""Removes blobs that no row names any more, never one that somebody is about to name."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.database import Database
from opsin.storage.tables import images

_AT_ONCE = 200
_CONTENT = content_key("0" * 64).partition("/")[0] + "/"


class BlobSweep:
    """Compares the blob store with the rows, a group of blobs at a time."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def run(self, *, older_than: timedelta, now: datetime | None = None) -> int:
        """Delete unnamed blobs last written before `older_than` ago; gives how many."""
        limit = (now or datetime.now(UTC)) - older_than
        swept, group = 0, list[str]()
        async for blob in self._blobs.list(_CONTENT):
            if blob.modified < limit:
                group.append(blob.key)
            if len(group) == _AT_ONCE:
                swept += await self._sweep(group)
                group = []
        return swept + await self._sweep(group)

    async def _sweep(self, keys: Sequence[str]) -> int:
        if not keys:
            return 0
        by_sha256 = {key.removeprefix(_CONTENT).replace("/", ""): key for key in keys}
        async with self._database.write() as transaction:
            # Whoever names a blob looks for it under the shared side of this lock.
            await transaction.lock_blobs(exclusive=True)
            named = await transaction.connection.execute(
                select(images.c.sha256).where(images.c.sha256.in_(list(by_sha256)))
            )
            unnamed = by_sha256.keys() - set(named.scalars())
            for sha256 in unnamed:
                await self._blobs.delete(by_sha256[sha256])
        return len(unnamed)
