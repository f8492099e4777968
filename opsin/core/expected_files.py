"""Rows of expected files, and how one becomes an artifact when it has come."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.actors import holder_of_link
from opsin.core.artifacts import storage_path
from opsin.core.errors import Overloaded, TooLarge
from opsin.core.records import columns_of
from opsin.storage.blobs import BlobStore, StoredContent, content_key
from opsin.storage.curation import uploads
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import new_id
from opsin.storage.tables import analyses, artifacts


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is expected."""

    id: str
    company_id: str
    analysis_id: str
    name: str
    content_type: str
    max_bytes: int
    sha256: str | None
    expires_at: datetime
    finished_at: datetime | None


def selected_uploads() -> Select[Any]:
    """Rows of `Upload`s."""
    return select(*columns_of(uploads, Upload))


async def at_most(most: int, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The chunks; TooLarge as soon as they are more than so many bytes."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise TooLarge(f"The file has more than {most} bytes")
        yield chunk


async def finish_upload(
    database: Database, blobs: BlobStore, upload: Upload, stored: StoredContent
) -> str | None:
    """Record the file; the digest of what the upload was finished with, here or before.

    None where its analysis is gone.
    """
    now = datetime.now(UTC)
    async with database.write() as transaction:
        connection = transaction.connection
        await transaction.lock_blobs(exclusive=False)
        if await blobs.stat(content_key(stored.sha256)) is None:
            # Somebody deleted equal bytes for good between our writing and the lock.
            raise Overloaded("The file could not be kept; send it again")
        # Held, so that of two files of one name the later one replaces the earlier.
        place = select(analyses.c.dataset_id, analyses.c.image_id, analyses.c.status)
        mine = place.where(analyses.c.id == upload.analysis_id).with_for_update()
        analysis = (await connection.execute(mine)).first()
        if analysis is None:
            return None
        if not await _mark(connection, upload, stored.sha256, now):
            digest = select(uploads.c.sha256).where(uploads.c.id == upload.id)
            return (await connection.execute(digest)).scalar()  # somebody was faster
        await connection.execute(
            delete(artifacts).where(
                artifacts.c.analysis_id == upload.analysis_id, artifacts.c.name == upload.name
            )
        )
        await connection.execute(
            insert(artifacts).values(
                id=new_id(),
                company_id=upload.company_id,
                analysis_id=upload.analysis_id,
                name=upload.name,
                content_type=upload.content_type,
                storage_path=storage_path(upload.analysis_id, upload.name),
                size_bytes=stored.size,
                sha256=stored.sha256,
                created_at=now,
                stored_at=now,
            )
        )
        transaction.emit(
            NewEvent(
                "analysis.artifact_stored",
                upload.company_id,
                dataset_id=analysis.dataset_id,
                image_id=analysis.image_id,
                analysis_id=upload.analysis_id,
                data={"status": analysis.status, "name": upload.name},
            )
        )
        audit.note(
            transaction, holder_of_link(upload.company_id), "artifact.store",
            ("analysis", upload.analysis_id), dataset_id=analysis.dataset_id, name=upload.name,
        )  # fmt: skip
    return stored.sha256


async def _mark(connection: AsyncConnection, upload: Upload, sha256: str, now: datetime) -> bool:
    marked = await connection.execute(
        update(uploads)
        .where(uploads.c.id == upload.id, uploads.c.finished_at.is_(None))
        .values(finished_at=now, sha256=sha256)
    )
    return marked.rowcount == 1
