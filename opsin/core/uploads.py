"""Uploads: signed addresses that take one file of an analysis each, and what came of them."""

import hashlib
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.analyses import lock_analysis
from opsin.core.artifacts import check_artifact_name, check_content_type, storage_path
from opsin.core.errors import Conflict, Forbidden, Gone, InvalidInput, NotFound, TooLarge
from opsin.core.expected_files import Upload, at_most, finish_upload, selected_uploads
from opsin.core.links import Links
from opsin.core.roles import Permission
from opsin.core.sent_files import STAGED
from opsin.storage.blobs import BlobStore, StoredContent
from opsin.storage.curation import uploads
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import canonical_id, new_ids
from opsin.storage.tables import images

MAX_UPLOADS = 100
"""Files that one request may ask addresses for."""


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file that somebody wants to send; with its size, the address takes nothing larger."""

    name: str
    content_type: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PresignedFile:
    """Where one file goes; `url` is a path of this server where it is not absolute."""

    name: str
    url: str
    storage_path: str
    expires_in: int


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
        self, principal: Principal, analysis_id: str, files: Sequence[ExpectedFile]
    ) -> list[PresignedFile]:
        """An address for each file.

        A name that was used before is taken again: its file is replaced when the new one has come.
        Raises Gone where the image's own file was deleted, and with it all that was made of it.
        """
        self._check(files)
        now = datetime.now(UTC)
        expires_at = now + self._expiry
        async with self._database.write() as transaction:
            analysis = await lock_analysis(transaction.connection, principal, analysis_id)
            principal.require(Permission.REPORT, analysis.dataset_id)
            audit.note(
                transaction, principal, "artifact.presign", ("analysis", analysis.id),
                dataset_id=analysis.dataset_id, names=[file.name for file in files],
            )  # fmt: skip
            if not analysis.external:
                raise Conflict("Opsin runs this analysis itself and writes its files")
            await _require_files(transaction, analysis.image_id)
            rows = [
                {
                    "id": identity,
                    "company_id": principal.company_id,
                    "analysis_id": analysis.id,
                    "name": file.name,
                    "content_type": file.content_type,
                    "max_bytes": self._max_bytes if file.size_bytes is None else file.size_bytes,
                    "created_at": now,
                    "expires_at": expires_at,
                }
                for identity, file in zip(new_ids(len(files)), files, strict=True)
            ]
            if rows:
                await transaction.connection.execute(insert(uploads), rows)
        seconds = int(self._expiry.total_seconds())
        return [
            PresignedFile(
                file.name,
                await self._address(str(row["id"]), file, expires_at),
                storage_path(analysis.id, file.name),
                seconds,
            )
            for row, file in zip(rows, files, strict=True)
        ]

    async def receive(
        self, upload_id: str, content_type: str, chunks: AsyncIterable[bytes]
    ) -> StoredContent:
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
        within = at_most(upload.max_bytes, chunks)
        if upload.finished_at is None:
            stored = await self._blobs.put_content(within, content_type=upload.content_type)
            finished_as = await finish_upload(self._database, self._blobs, upload, stored)
        else:
            stored, finished_as = await _digested(within), upload.sha256
        if finished_as is None:
            raise NotFound("Upload not found")  # deleted meanwhile, with its analysis
        if finished_as != stored.sha256:
            raise Conflict("this upload is finished: another file was sent")
        return stored

    def _check(self, files: Sequence[ExpectedFile]) -> None:
        if len(files) > MAX_UPLOADS:
            raise TooLarge(f"At most {MAX_UPLOADS} files may be asked for at once")
        for file in files:
            check_artifact_name(file.name)
            check_content_type(file.name, file.content_type)
            if file.size_bytes is not None and file.size_bytes > self._max_bytes:
                raise TooLarge(f"A file may have at most {self._max_bytes} bytes")
        if len({file.name for file in files}) < len(files):
            raise InvalidInput("two files have the same name")

    async def _address(self, upload_id: str, file: ExpectedFile, expires_at: datetime) -> str:
        presigned = await self._blobs.presign_put(
            STAGED + upload_id,
            content_type=file.content_type,
            expires_in=self._expiry,
            size=file.size_bytes,
        )
        if presigned is not None:
            return presigned.url
        return self._links.sign(f"/uploads/{upload_id}", expires_at=expires_at)

    async def _find(self, upload_id: str) -> Upload | None:
        statement = selected_uploads().where(uploads.c.id == canonical_id(upload_id))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Upload(*row)


async def _require_files(transaction: Transaction, image_id: str) -> None:
    """Raises Gone for an image whose files are not kept; nobody deletes them before the commit."""
    statement = select(images.c.storage_deleted).where(images.c.id == image_id)
    held = statement.with_for_update(read=True)
    if (await transaction.connection.execute(held)).scalar():
        raise Gone("The image's files were deleted; no others are kept of it")


async def _digested(chunks: AsyncIterable[bytes]) -> StoredContent:
    """What the chunks would be stored as."""
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return StoredContent(digest.hexdigest(), size)
