"""What a blob store is: the interface, its values, and which keys are legal."""

import asyncio
import hashlib
import re
import tempfile
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO

from opsin.core.errors import InvalidInput, TooLarge

CHUNK_BYTES = 256 * 1024
"""How much is read from a file, and about how much is handed on, at once."""

MAX_KEY_BYTES = 900
"""S3 allows 1024; the difference is left to the store's own prefix."""

MAX_SEGMENT_BYTES = 240
"""File systems allow 255 bytes between two slashes; the local store adds a suffix."""

MAX_PRESIGN = timedelta(days=7)
"""The longest that a SigV4 URL may live."""

_IN_MEMORY = 1 << 20  # bytes of a file that are held before it goes to the disk
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_TYPE = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class BlobStat:
    """What is known of a blob.

    `size` in bytes, `modified` in UTC.  `content_type` is None where the store does not keep it
    (local files) or was not asked for it (listings of S3): the row that names the blob owns it.
    """

    key: str
    size: int
    modified: datetime
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Bytes under their content key: their digest in lower-case hexadecimal, and how many."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """Where and how a client sends one blob; `headers` must be sent exactly as they are."""

    url: str
    method: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class S3Options:
    """How to reach an S3-compatible service.

    `endpoint_url` None is Amazon's own.  Without `access_key_id` the usual AWS chain is asked
    (environment, profile, instance role).  `public_endpoint_url` is the address that clients see,
    for presigned URLs, where it differs from the server's (a service inside a private network).
    `path_style` None means: path style for a given endpoint, virtual hosts for Amazon.
    """

    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    path_style: bool | None = None
    create_bucket: bool = False


def content_key(sha256_hex: str) -> str:
    """The key of content-addressed bytes, `sha256/ab/cdef...`, for a lower-case hex digest."""
    if not _SHA256.fullmatch(sha256_hex):
        raise InvalidInput("a content key needs a sha256 digest in lower-case hexadecimal")
    return f"sha256/{sha256_hex[:2]}/{sha256_hex[2:]}"


def check_key(key: str) -> str:
    """The key itself, or `InvalidInput` where it could mean two things or leave its folder."""
    try:
        encoded = key.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput("a storage key must be valid Unicode") from None
    if not encoded or len(encoded) > MAX_KEY_BYTES:
        raise InvalidInput(f"a storage key must have 1 to {MAX_KEY_BYTES} bytes")
    if "\\" in key or any(unicodedata.category(character) == "Cc" for character in key):
        raise InvalidInput("a storage key must not contain backslashes or control characters")
    for segment in key.split("/"):
        # Also covers absolute keys: their first segment is empty.
        if segment in ("", ".", ".."):
            raise InvalidInput("a storage key must not have empty, '.' or '..' parts")
        if len(segment.encode("utf-8")) > MAX_SEGMENT_BYTES:
            raise InvalidInput(
                f"a part of a storage key must not be longer than {MAX_SEGMENT_BYTES} bytes"
            )
    return key


def check_prefix(prefix: str) -> str:
    """A prefix to list: empty, or a legal key, or a legal key and a slash."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def check_content_type(content_type: str | None) -> str | None:
    """A content type that can be sent as a header: printable ASCII."""
    if content_type is not None and not _CONTENT_TYPE.fullmatch(content_type):
        raise InvalidInput("a content type must be printable ASCII of at most 255 characters")
    return content_type


def check_range(start: int, end: int | None) -> None:
    """Refuse ranges that are not `0 <= start`, `0 <= end`; an empty range is fine."""
    if start < 0 or (end is not None and end < 0):
        raise InvalidInput("a byte range must not be negative")


def check_expiry(expires_in: timedelta) -> int:
    """Whole seconds that a presigned URL lives."""
    if not timedelta(seconds=1) <= expires_in <= MAX_PRESIGN:
        raise InvalidInput("a presigned URL must live between one second and seven days")
    return int(expires_in.total_seconds())


class BlobStore(ABC):
    """Bytes under a key.

    Every method raises `InvalidInput` for an illegal key and `StorageError` where the store fails.
    A store belongs to the event loop that first uses it.
    """

    takes_uploads = False
    """Whether clients can send blobs to the store itself, by `presign_put`."""

    @abstractmethod
    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> int:
        """Write a blob and give its size in bytes.

        Readers see the old blob or the whole new one.  An exception from `chunks`, and being
        cancelled, leaves what was there before.
        """

    async def put_file(self, key: str, file: IO[bytes], *, content_type: str | None = None) -> int:
        """Write a whole seekable file, from its start, a chunk at a time; bytes written."""
        return await self.put(key, _file_chunks(file), content_type=content_type)

    async def put_content(
        self, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> StoredContent:
        """Write bytes under their content key, which is known when the last one has come.

        An exception from `chunks`, and being cancelled, leaves nothing.
        """
        digest, size = hashlib.sha256(), 0
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                if size > _IN_MEMORY:
                    await asyncio.to_thread(file.write, chunk)
                else:
                    file.write(chunk)
            sha256 = digest.hexdigest()
            await self.put_file(content_key(sha256), file, content_type=content_type)
        return StoredContent(sha256, size)

    @abstractmethod
    def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Bytes `start` to `end` (exclusive) in chunks; a range past the end is cut.

        The first step raises `BlobNotFound`; `stat` first where that is too late.  Whoever does
        not read to the end closes it (`contextlib.aclosing`).
        """

    async def read(self, key: str, *, limit: int | None = None) -> bytes:
        """The whole blob; `BlobNotFound`, or `TooLarge` when it has more than `limit` bytes."""
        content = bytearray()
        async with aclosing(self.open(key)) as chunks:
            async for chunk in chunks:
                content += chunk
                if limit is not None and len(content) > limit:
                    raise TooLarge(f"the stored file has more than {limit} bytes")
        return bytes(content)

    @abstractmethod
    async def stat(self, key: str) -> BlobStat | None:
        """What is known of a blob; None when there is none."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove a blob; a missing one is fine."""

    @abstractmethod
    def list(self, prefix: str = "") -> AsyncGenerator[BlobStat, None]:
        """Every blob whose key starts with `prefix` (as text, not as a folder), in no order."""

    async def discard_unfinished(self, before: datetime) -> int:
        """Remove what writers that died left behind and last touched before then; how many.

        S3 keeps the parts of such uploads until a lifecycle rule of the bucket removes them: in a
        shared bucket only its owner knows whose they are.
        """
        return 0

    async def presign_put(
        self, key: str, *, content_type: str, expires_in: timedelta, size: int | None = None
    ) -> PresignedUpload | None:
        """A URL that takes one upload; None where the store has no URLs of its own.

        With `size` it takes exactly so many bytes.
        """
        check_key(key)
        check_content_type(content_type)
        check_expiry(expires_in)
        return None

    async def presign_get(
        self,
        key: str,
        *,
        expires_in: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> str | None:
        """A URL that gives the blob, as a download where `filename` is given; None as above."""
        check_key(key)
        check_content_type(content_type)
        check_expiry(expires_in)
        return None

    async def close(self) -> None:  # noqa: B027 - most stores hold nothing open
        """Let go of connections; closing twice is fine."""


async def _file_chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, 0)
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk
