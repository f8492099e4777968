"""Blobs in memory, for tests and for servers that keep nothing."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from datetime import UTC, datetime

from opsin.core.errors import BlobNotFound
from opsin.storage.blobs.base import (
    CHUNK_BYTES,
    BlobStat,
    BlobStore,
    check_content_type,
    check_key,
    check_prefix,
    check_range,
)


@dataclass(frozen=True, slots=True)
class _Blob:
    content: bytes
    modified: datetime
    content_type: str | None


class MemoryBlobStore(BlobStore):
    """Everything in one dictionary; gone with the process."""

    def __init__(self) -> None:
        self._blobs: dict[str, _Blob] = {}

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> int:
        check_key(key)
        check_content_type(content_type)
        content = bytearray()
        async for chunk in chunks:
            content += chunk
        self._blobs[key] = _Blob(bytes(content), datetime.now(UTC), content_type)
        return len(content)

    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        check_key(key)
        check_range(start, end)
        blob = self._blobs.get(key)
        if blob is None:
            raise BlobNotFound("there is no such stored file")
        stop = len(blob.content) if end is None else min(end, len(blob.content))
        for position in range(start, stop, CHUNK_BYTES):
            yield blob.content[position : min(position + CHUNK_BYTES, stop)]

    async def stat(self, key: str) -> BlobStat | None:
        blob = self._blobs.get(check_key(key))
        if blob is None:
            return None
        return BlobStat(key, len(blob.content), blob.modified, blob.content_type)

    async def delete(self, key: str) -> None:
        self._blobs.pop(check_key(key), None)

    async def list(self, prefix: str = "") -> AsyncGenerator[BlobStat, None]:
        check_prefix(prefix)
        # A copy: whoever reads a listing may delete while it runs.
        for key, blob in tuple(self._blobs.items()):
            if key.startswith(prefix):
                yield BlobStat(key, len(blob.content), blob.modified, blob.content_type)
