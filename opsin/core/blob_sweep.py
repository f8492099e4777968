"""Removes blobs that no row names any more, never one that somebody is about to name."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, union_all

from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.database import Database
from opsin.storage.tables import artifacts, images

log = logging.getLogger(__name__)

_AT_ONCE = 50  # who takes an image in waits for so many deletions at most
_CONTENT = content_key("0" * 64).partition("/")[0] + "/"
_LONGEST_WRITE = timedelta(hours=1)  # whoever has not written for so long is dead


class BlobSweep:
    """Compares the blob store with the rows, a group of blobs at a time."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def run(self, *, older_than: timedelta, now: datetime | None = None) -> int:
        """Delete unnamed blobs last written before `older_than` ago; gives how many.

        What a process left behind when it died while writing goes too.  A blob that the store
        fails to delete does not keep the others; it is left for the next time.
        """
        now = now or datetime.now(UTC)
        limit = now - older_than
        await self._blobs.discard_unfinished(min(limit, now - _LONGEST_WRITE))
        swept, group = 0, list[str]()
        async for blob in self._blobs.list(_CONTENT):
            if blob.modified < limit:
                group.append(blob.key)
            if len(group) == _AT_ONCE:
                swept += await self._sweep(group)
                group = []
        return swept + await self._sweep(group)

    async def remove(self, *digests: str) -> None:
        """Delete the blobs with these digests now, but those that a row still names."""
        keys = [content_key(digest) for digest in digests]
        for start in range(0, len(keys), _AT_ONCE):
            await self._sweep(keys[start : start + _AT_ONCE])

    async def _sweep(self, keys: Sequence[str]) -> int:
        if not keys:
            return 0
        by_sha256 = {key.removeprefix(_CONTENT).replace("/", ""): key for key in keys}
        async with self._database.write() as transaction:
            # Whoever names a blob looks for it under the shared side of this lock.
            await transaction.lock_blobs(exclusive=True)
            named = await transaction.connection.execute(
                union_all(
                    *(
                        select(table.c.sha256).where(table.c.sha256.in_(list(by_sha256)), *still)
                        for table, still in (
                            (images, [images.c.storage_deleted.is_(False)]),
                            (artifacts, []),
                        )
                    )
                )
            )
            unnamed = by_sha256.keys() - set(named.scalars())
            answers = await asyncio.gather(
                *(self._blobs.delete(by_sha256[sha256]) for sha256 in unnamed),
                return_exceptions=True,
            )
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if failures:
            log.warning("%d blobs could not be deleted", len(failures), exc_info=failures[0])
        return len(answers) - len(failures)
