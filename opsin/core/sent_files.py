"""Files that clients send to the store itself: found, recorded, swept when nobody wants them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from opsin.core.errors import BlobNotFound, OpsinError, Overloaded, StorageError, TooLarge
from opsin.core.expected_files import Upload, at_most, finish_upload, selected_uploads
from opsin.storage.blobs import BlobStore
from opsin.storage.curation import uploads
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id

log = logging.getLogger(__name__)

STAGED = "uploads/"
"""Where the store takes files whose digest nobody knows yet, by the ids of their uploads."""

_AT_ONCE = 500  # uploads that one statement asks for
_LOOK_EVERY = timedelta(seconds=5)


class SentFiles:
    """Looks into the store for what has come past this server."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def collect(self, analysis_id: str | None = None) -> int:
        """Record what was sent to the store itself, past this server; gives how many files.

        Of one analysis, or of all.  A file that cannot be had now is left for the next time.
        """
        if not self._blobs.takes_uploads:
            return 0
        statement = selected_uploads().where(uploads.c.finished_at.is_(None))
        if analysis_id is not None:
            statement = statement.where(uploads.c.analysis_id == canonical_id(analysis_id))
        async with self._database.read() as connection:
            waiting = [Upload(*row) for row in await connection.execute(statement)]
        if analysis_id is None and waiting:
            staged = {key async for key in self._staged()}
            waiting = [upload for upload in waiting if upload.id in staged]
        collected = 0
        for upload in waiting:
            try:
                collected += await self._collect(upload)
            except (Overloaded, StorageError) as error:
                log.warning("a file that was sent could not be recorded: %s", error)
        return collected

    async def watch(self) -> None:
        """Record for ever what is sent to the store itself; ends when it is cancelled."""
        while self._blobs.takes_uploads:
            try:
                await self.collect()
            except Exception as error:  # the next one does it
                expected = isinstance(error, OpsinError)
                log.warning("uploads could not be looked for", exc_info=not expected)
            await asyncio.sleep(_LOOK_EVERY.total_seconds())

    async def sweep(self, now: datetime | None = None) -> int:
        """Forget uploads whose time is over, and remove what was sent and is none; how many."""
        now = now or datetime.now(UTC)
        async with self._database.read() as connection:
            rows = await connection.execute(selected_uploads().where(uploads.c.expires_at <= now))
            over = [Upload(*row) for row in rows]
        forgotten = 0
        for upload in over:
            if upload.finished_at is None and self._blobs.takes_uploads:
                try:
                    await self._collect(upload)
                except (Overloaded, StorageError) as error:
                    # Left for the next time; the others need not wait for it.
                    log.warning("a file that was sent could not be recorded: %s", error)
                    continue
            async with self._database.write() as transaction:
                await transaction.connection.execute(
                    delete(uploads).where(uploads.c.id == upload.id)
                )
            forgotten += 1
        await self._remove_orphans()
        return forgotten

    async def _staged(self) -> AsyncIterator[str]:
        """The ids of the uploads of which the store holds a file; what is no id is not ours."""
        async with aclosing(self._blobs.list(STAGED)) as found:
            async for blob in found:
                name = blob.key.removeprefix(STAGED)
                if canonical_id(name) == name:
                    yield name

    async def _remove_orphans(self) -> None:
        """Remove sent files that no upload is left of: their analysis is gone, or their time."""
        if not self._blobs.takes_uploads:
            return
        staged = [key async for key in self._staged()]
        for start in range(0, len(staged), _AT_ONCE):
            some = staged[start : start + _AT_ONCE]
            known = select(uploads.c.id).where(uploads.c.id.in_(some))
            async with self._database.read() as connection:
                left = set((await connection.execute(known)).scalars())
            for key in set(some) - left:
                await self._blobs.delete(STAGED + key)

    async def _collect(self, upload: Upload) -> bool:
        key = STAGED + upload.id
        try:
            async with aclosing(self._blobs.open(key)) as chunks:
                stored = await self._blobs.put_content(
                    at_most(upload.max_bytes, chunks), content_type=upload.content_type
                )
        except BlobNotFound:
            return False  # nothing has come yet
        except TooLarge:
            await self._blobs.delete(key)
            return False
        await finish_upload(self._database, self._blobs, upload, stored)
        await self._blobs.delete(key)
        return True
