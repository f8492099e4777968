"""Images: taken in whole or not at all, kept by content, found, and deleted."""

import asyncio
import base64
import binascii
import hashlib
import io
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, Any

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.answers.content_digest import content_name
from opsin.core.deletion_log import DeletionAction, note
from opsin.core.engine import Engine
from opsin.core.errors import BlobNotFound, InvalidInput, NotFound, TooLarge
from opsin.core.fetch import Fetcher
from opsin.core.imaging import ImageInfo, ImageLimits
from opsin.core.new_images import NewImage as NewImage
from opsin.core.new_images import place
from opsin.core.pages import Listing
from opsin.core.records import Image, columns_of, from_values, to_record
from opsin.core.removed_rows import remove_images
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.soft_deletion import in_place, not_deleted
from opsin.core.storable import check_json
from opsin.core.thumbnails import thumbnail
from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import images

LISTING = Listing(images, Image, parent="dataset_id")
OnArrival = Callable[[Transaction, Sequence[Mapping[str, Any]]], Awaitable[None]]
"""Told of new images of one dataset, whose rows are written, in the transaction that does it."""
_CHUNK = 1 << 20
_THUMBNAILS_AT_ONCE = 4
_DIGEST_ON_LOOP = 1 << 16  # bytes that take less time than a change of thread
# Control, format (such as "from right to left"), half of a character, line and paragraph ends.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of images to the caller's own."""
    return [*_own(principal), *not_deleted(images)]


def _own(principal: Principal) -> Sequence[ColumnElement[bool]]:
    return [within(principal, images)]


class Images:
    """Takes images in: checked by decoding them whole, blob first, then the row and its event."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        engine: Engine,
        fetcher: Fetcher,
        limits: ImageLimits,
        *,
        arrived: OnArrival | None = None,
    ) -> None:
        self._arrived = arrived
        self._database = database
        self._blobs = blobs
        self._engine = engine
        self._fetcher = fetcher
        self._limits = limits
        self._thumbnails = asyncio.Semaphore(_THUMBNAILS_AT_ONCE)

    async def add(self, principal: Principal, new: NewImage, file: IO[bytes]) -> Image:
        """Store the picture in `file`.

        Raises InvalidImage, InvalidInput or TooLarge with nothing stored, NotFound for a dataset,
        subject or batch that is not the caller's; the rest is said by `new_images.place`.
        """
        if not isinstance(new.metadata, dict):
            raise InvalidInput("metadata must be an object")
        check_json(new.metadata, "metadata")
        async with self._database.read() as connection:
            await place(connection, principal, new, keep=False)  # told before it is decoded
        sha256, size = await asyncio.to_thread(_digest, file, self._limits.max_bytes)
        name = content_name(principal.company_id, sha256)  # it may be analysed next
        info = (await self._engine.decode(file, content=name)).info
        key = content_key(sha256)
        await self._put(key, file, info)
        async with self._database.write() as transaction:
            connection = transaction.connection
            await transaction.lock_blobs(exclusive=False)
            placed = await place(connection, principal, new)
            values = image_values(principal, placed, info, sha256, size)
            if await self._blobs.stat(key) is None:  # swept between the put and this lock
                await self._put(key, file, info)
            await connection.execute(insert(images).values(values))
            transaction.emit(
                NewEvent(
                    "image.created",
                    principal.company_id,
                    dataset_id=values["dataset_id"],
                    image_id=values["id"],
                )
            )
            audit.note(
                transaction, principal, "image.create", ("image", values["id"]),
                dataset_id=values["dataset_id"], filename=values["filename"],
            )  # fmt: skip
            if self._arrived is not None:
                await self._arrived(transaction, [values])
        return from_values(Image, values)

    async def import_url(self, principal: Principal, new: NewImage, url: str) -> Image:
        """Store the picture at a public address; the name is the URL's when none is given."""
        async with self._database.read() as connection:
            # Nobody makes the server ask anything for what they may not do.
            await place(connection, principal, new, keep=False)
        with await self._fetcher.fetch(url) as fetched:
            if not new.filename:
                new = replace(new, filename=fetched.filename or "")
            return await self.add(principal, new, fetched.file)

    async def import_base64(self, principal: Principal, new: NewImage, text: str) -> Image:
        """Store a picture sent as base64 text, with or without a `data:` prefix."""
        async with self._database.read() as connection:
            await place(connection, principal, new, keep=False)  # told before it is decoded
        # On a thread: tens of megabytes take long enough for the event loop to be missed.
        content = await asyncio.to_thread(decode_base64, text, self._limits.max_bytes)
        return await self.add(principal, new, io.BytesIO(content))

    async def find(self, principal: Principal, image_id: str) -> Image | None:
        async with self._database.read() as connection:
            return await _find(connection, principal, image_id)

    async def get(self, principal: Principal, image_id: str, *, deleted: bool = False) -> Image:
        """The caller's image, with `deleted` also one that was softly deleted."""
        async with self._database.read() as connection:
            return await require_image(connection, principal, image_id, deleted=deleted)

    async def by_id(self, image_id: str) -> Image:
        """Any company's image: for signed links and the worker only."""
        statement = select(*columns_of(images, Image)).where(
            images.c.id == image_id, *in_place(images)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            raise NotFound("Image not found")
        return to_record(Image, row)

    async def content(self, image: Image) -> bytes:
        """The stored bytes, as they were taken in.

        Raises BlobNotFound when they are gone or no longer the same, StorageError when the store
        cannot tell.
        """
        _require_file(image)
        content = await self._blobs.read(content_key(image.sha256), limit=self._limits.max_bytes)
        if not await _is_digest(image.sha256, content):
            raise BlobNotFound("the stored picture is damaged: it is not what was taken in")
        return content

    @asynccontextmanager
    async def opened(self, image: Image) -> AsyncIterator[bytes]:
        """The same, read only when it is entered."""
        yield await self.content(image)

    def stream(
        self, image: Image, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The stored bytes from `start` to `end` (exclusive), a chunk at a time."""
        _require_file(image)
        return self._blobs.open(content_key(image.sha256), start=start, end=end)

    async def thumbnail(
        self, image: Image, width: int, height: int, *, keep_format: bool = False
    ) -> tuple[bytes, str]:
        """A copy that fits into `width` x `height` pixels, and its content type."""
        async with self._thumbnails:
            content = await self.content(image)
            return await asyncio.to_thread(
                thumbnail, content, self._limits, width, height, keep_format=keep_format
            )

    async def as_jpeg(self, image: Image) -> bytes:
        """The whole picture as a JPEG, upright, on white where it is transparent."""
        async with self._thumbnails:
            content = await self.content(image)
            size = (max(image.width, image.height),) * 2
            picture, _ = await asyncio.to_thread(
                thumbnail, content, self._limits, *size, quality=95, always_jpeg=True
            )
            return picture

    async def delete(self, principal: Principal, image_id: str) -> str:
        """Delete an image with its analyses and annotations; the blob is swept later."""
        async with self._database.write() as transaction:
            image = await require_image(transaction.connection, principal, image_id, deleted=True)
            principal.require(Permission.ADMIN, image.dataset_id)
            if not await remove_images(transaction, [image]):
                raise NotFound("Image not found")  # another was faster
            await note(transaction.connection, image, DeletionAction.HARD_DELETE, principal.name)
            transaction.emit(
                NewEvent(
                    "image.deleted",
                    principal.company_id,
                    dataset_id=image.dataset_id,
                    image_id=image.id,
                )
            )
            audit.note(
                transaction, principal, "image.hard_delete", ("image", image.id),
                dataset_id=image.dataset_id, filename=image.filename,
            )  # fmt: skip
        return image.id

    async def _put(self, key: str, file: IO[bytes], info: ImageInfo) -> None:
        await asyncio.to_thread(file.seek, 0)
        await self._blobs.put_file(key, file, content_type=info.content_type)


def _require_file(image: Image) -> None:
    """Raises BlobNotFound for an image whose file was deleted: another's may have equal bytes."""
    if image.storage_deleted:
        raise BlobNotFound("the image's file was deleted")


async def require_image(
    connection: AsyncConnection,
    principal: Principal,
    image_id: str,
    *,
    keep: bool = False,
    hold: bool = False,
    deleted: bool = False,
) -> Image:
    """The caller's image; NotFound also for another company's.

    With `keep` nobody deletes it before the transaction ends, with `hold` others who hold it wait
    until then; with `deleted` it may be one that was softly deleted.
    """
    found = await _find(connection, principal, image_id, keep=keep, hold=hold, deleted=deleted)
    if found is None:
        raise NotFound("Image not found")
    return found


def decode_base64(text: str, max_bytes: int) -> bytes:
    """The bytes in base64 text; blanks and a `data:...;base64,` prefix are allowed."""
    text = text.lstrip()
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidInput("A data URL must be base64")
    most = max_bytes // 3 * 4 + 4
    compact = "".join(text.split()) if len(text) <= 2 * most else None
    if compact is None or len(compact) > most:
        raise TooLarge(f"The picture has more than {max_bytes} bytes")
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("This is not base64 text") from None


async def _find(
    connection: AsyncConnection,
    principal: Principal,
    image_id: str,
    *,
    keep: bool = False,
    hold: bool = False,
    deleted: bool = False,
) -> Image | None:
    identity = canonical_id(image_id)
    if identity is None:
        return None
    statement = select(*columns_of(images, Image)).where(
        images.c.id == identity,
        *(_own(principal) if deleted else visible(principal)),
        *in_place(images),
    )
    if keep or hold:
        statement = statement.with_for_update(read=not hold, key_share=True)
    row = (await connection.execute(statement)).first()
    return to_record(Image, row) if row is not None else None


def image_values(
    principal: Principal, new: NewImage, info: ImageInfo, sha256: str, size: int
) -> dict[str, Any]:
    """The row of a new image of `size` bytes."""
    now = datetime.now(UTC)
    return {
        "id": new_id(),
        "company_id": principal.company_id,
        "dataset_id": canonical_id(new.dataset_id),
        "subject_id": canonical_id(new.subject_id),
        "batch_id": canonical_id(new.batch_id),
        "filename": clean_filename(new.filename),
        "content_type": info.content_type,
        "sha256": sha256,
        "size_bytes": size,
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "orientation": info.orientation,
        "orientation_applied": info.orientation_applied,
        "notes": list(info.notes),
        "metadata": new.metadata,
        "created_at": now,
        "uploaded_by": new.uploaded_by,
        "storage_deleted": False,
        "side": new.side,
        "light": new.light,
        "taken_at": new.taken_at or now,
    }


def clean_filename(name: str) -> str:
    """The last part of a client's file name, without what cannot be seen, 1 to 255 long."""
    last = PurePosixPath(PureWindowsPath(name).name).name
    visible_characters = "".join(filter(_is_visible, last)).strip()
    return visible_characters[-255:] if visible_characters not in ("", "..") else "image"


def _is_visible(character: str) -> bool:
    # The joiner is part of emoji; what this Python's Unicode does not know yet may be one.
    return character == "\u200d" or unicodedata.category(character) not in _INVISIBLE


def _digest(file: IO[bytes], max_bytes: int) -> tuple[str, int]:
    file.seek(0)
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"The picture has more than {max_bytes} bytes")
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest(), size


async def _is_digest(sha256: str, content: bytes) -> bool:
    if len(content) <= _DIGEST_ON_LOOP:
        return hashlib.sha256(content).hexdigest() == sha256
    digest = await asyncio.to_thread(hashlib.sha256, content)
    return digest.hexdigest() == sha256
