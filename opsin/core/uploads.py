"""Uploads: signed addresses that take one file of an analysis each, and what came of them."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.analyses import lock_analysis
from opsin.core.artifacts import check_artifact_name, check_content_type, storage_path
from opsin.core.errors import BlobNotFound, Conflict, Forbidden, InvalidInput, NotFound, TooLarge
from opsin.core.links import Links
from opsin.core.records import columns_of
from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.curation import uploads
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id, new_ids
from opsin.storage.tables import analyses, artifacts

MAX_UPLOADS = 100
"""Files that one request may ask addresses for."""

_IN_MEMORY = 1 << 20  # bytes of a file that are held before it goes to the disk


@dataclass(frozen=True, slots=True)
class PresignedFile:
    """Where one file goes; `url` is a path of this server where it is not absolute."""

    name: str
    url: str
    storage_path: str
    expires_in: int


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


class Uploads:
    """Gives addresses out, takes what comes, and records it as artifacts."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        links: Links,
        *,
        max_bytes: int,
        expiry: timedelta,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._links = links
        self._max_bytes = max_bytes
        self._expiry = expiry

    async def presign(
        self, principal: Principal, analysis_id: str, files: Sequence[tuple[str, str]]
    ) -> list[PresignedFile]:
        """An address for each file, given as name and content type.

        A name that was used before is taken again: its file is replaced when the new one has come.
        """
        if len(files) > MAX_UPLOADS:
            raise TooLarge(f"At most {MAX_UPLOADS} files may be asked for at once")
        for name, content_type in files:
            check_artifact_name(name)
            check_content_type(name, content_type)
        if len({name for name, _ in files}) < len(files):
            raise InvalidInput("two files have the same name")
        now = datetime.now(UTC)
        expires_at = now + self._expiry
        rows = [
            {
                "id": identity,
                "company_id": principal.company_id,
                "name": name,
                "content_type": content_type,
                "max_bytes": self._max_bytes,
                "created_at": now,
                "expires_at": expires_at,
            }
            for identity, (name, content_type) in zip(new_ids(len(files)), files, strict=True)
        ]
        async with self._database.write() as transaction:
            analysis = await lock_analysis(transaction.connection, principal, analysis_id)
            if not analysis.external:
                raise Conflict("Opsin runs this analysis itself and writes its files")
            if rows:
                placed = [row | {"analysis_id": analysis.id} for row in rows]
                await transaction.connection.execute(insert(uploads), placed)
        seconds = int(self._expiry.total_seconds())
        return [
            PresignedFile(
                name,
                await self._address(str(row["id"]), content_type, expires_at),
                storage_path(analysis.id, name),
                seconds,
            )
            for row, (name, content_type) in zip(rows, files, strict=True)
        ]

    async def receive(
        self, upload_id: str, content_type: str, chunks: AsyncIterable[bytes]
    ) -> Upload:
        """Take the file itself; for addresses whose signature was verified.

        Raises Forbidden for another content type, TooLarge with nothing kept, Conflict for other
        bytes after the upload was finished; the same bytes again change nothing.
        """
        upload = await self._find(upload_id)
        if upload is None:
            raise NotFound("Upload not found")
        if upload.expires_at <= datetime.now(UTC):
            raise Forbidden("the link has expired")
        if content_type.strip().lower() != upload.content_type.lower():
            raise Forbidden(f"the file must be sent as {upload.content_type}")
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            sha256, size = await _write(file, chunks, upload.max_bytes)
            if upload.finished_at is None:
                await self._finish(upload, file, sha256, size)
            elif upload.sha256 != sha256:
                raise Conflict("this upload is finished: another file was sent")
        return upload

    async def collect(self, analysis_id: str) -> int:
        """Record what was sent to the store itself, past this server; gives how many files."""
        statement = _selected().where(
            uploads.c.analysis_id == canonical_id(analysis_id), uploads.c.finished_at.is_(None)
        )
        async with self._database.read() as connection:
            waiting = [Upload(*row) for row in await connection.execute(statement)]
        return sum([await self._collect(upload) for upload in waiting])

    async def sweep(self, now: datetime | None = None) -> int:
        """Forget uploads whose time is over, and remove what was sent and is none; how many."""
        now = now or datetime.now(UTC)
        async with self._database.read() as connection:
            rows = await connection.execute(_selected().where(uploads.c.expires_at <= now))
            over = [Upload(*row) for row in rows]
        for upload in over:
            if upload.finished_at is None:
                await self._collect(upload)
            await self._blobs.delete(_staged(upload.id))
            async with self._database.write() as transaction:
                await transaction.connection.execute(
                    delete(uploads).where(uploads.c.id == upload.id)
                )
        return len(over)

    async def _address(self, upload_id: str, content_type: str, expires_at: datetime) -> str:
        presigned = await self._blobs.presign_put(
            _staged(upload_id), content_type=content_type, expires_in=self._expiry
        )
        if presigned is not None:
            return presigned.url
        return self._links.sign(f"/uploads/{upload_id}", expires_at=expires_at)

    async def _collect(self, upload: Upload) -> bool:
        stat = await self._blobs.stat(_staged(upload.id))
        if stat is None:
            return False
        try:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
                async with aclosing(self._blobs.open(_staged(upload.id))) as chunks:
                    sha256, size = await _write(file, chunks, upload.max_bytes)
                await self._finish(upload, file, sha256, size)
        except (TooLarge, BlobNotFound):
            await self._blobs.delete(_staged(upload.id))
            return False
        await self._blobs.delete(_staged(upload.id))
        return True

    async def _finish(self, upload: Upload, file: IO[bytes], sha256: str, size: int) -> None:
        key = content_key(sha256)
        await self._blobs.put_file(key, file, content_type=upload.content_type)
        now = datetime.now(UTC)
        async with self._database.write() as transaction:
            connection = transaction.connection
            await transaction.lock_blobs(exclusive=False)
            if not await self._mark(connection, upload, sha256, now):
                return  # somebody was faster
            if await self._blobs.stat(key) is None:  # swept between the put and the lock
                await self._blobs.put_file(key, file, content_type=upload.content_type)
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
                    size_bytes=size,
                    sha256=sha256,
                    created_at=now,
                    stored_at=now,
                )
            )
            place = select(analyses.c.dataset_id, analyses.c.image_id)
            row = (await connection.execute(place.where(analyses.c.id == upload.analysis_id))).one()
            transaction.emit(
                NewEvent(
                    "analysis.artifact_stored",
                    upload.company_id,
                    dataset_id=row.dataset_id,
                    image_id=row.image_id,
                    analysis_id=upload.analysis_id,
                    data={"name": upload.name},
                )
            )

    @staticmethod
    async def _mark(
        connection: AsyncConnection, upload: Upload, sha256: str, now: datetime
    ) -> bool:
        marked = await connection.execute(
            update(uploads)
            .where(uploads.c.id == upload.id, uploads.c.finished_at.is_(None))
            .values(finished_at=now, sha256=sha256)
        )
        return marked.rowcount == 1

    async def _find(self, upload_id: str) -> Upload | None:
        statement = _selected().where(uploads.c.id == canonical_id(upload_id))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Upload(*row)


def _selected() -> Select[Any]:
    return select(*columns_of(uploads, Upload))


def _staged(upload_id: str) -> str:
    """Where the store takes a file before its digest is known."""
    return f"uploads/{upload_id}"


async def _write(file: IO[bytes], chunks: AsyncIterable[bytes], most: int) -> tuple[str, int]:
    """Everything into the file; its digest and size."""
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise TooLarge(f"The file has more than {most} bytes")
        digest.update(chunk)
        if size > _IN_MEMORY:
            await asyncio.to_thread(file.write, chunk)
        else:
            file.write(chunk)
    return digest.hexdigest(), size
