"""A blob store that is counted, and has spans where they are asked for."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO

from opsin.core import tracing
from opsin.core.errors import BlobNotFound
from opsin.core.histogram import Histogram
from opsin.storage.blobs import BlobStat, BlobStore, PresignedUpload, StoredContent

REQUESTS = ("read", "write", "stat", "delete", "list")


@dataclass(slots=True)
class BlobCounts:
    """What was asked of the store since the start."""

    seconds: dict[str, Histogram] = field(
        default_factory=lambda: {request: Histogram() for request in REQUESTS}
    )
    """By what was asked."""
    failures: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(REQUESTS, 0)))
    """The same; a blob that is not there is no failure."""
    read_bytes: int = 0
    written_bytes: int = 0


class WatchedBlobs(BlobStore):
    """Does what `store` does."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self.takes_uploads = store.takes_uploads
        self.counts = BlobCounts()

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> int:
        with self._watched("write"):
            size = await self.store.put(key, chunks, content_type=content_type)
        self.counts.written_bytes += size
        return size

    async def put_file(self, key: str, file: IO[bytes], *, content_type: str | None = None) -> int:
        with self._watched("write"):
            size = await self.store.put_file(key, file, content_type=content_type)
        self.counts.written_bytes += size
        return size

    async def put_content(
        self, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> StoredContent:
        with self._watched("write"):
            stored = await self.store.put_content(chunks, content_type=content_type)
        self.counts.written_bytes += stored.size
        return stored

    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        # To the first chunk: the rest comes as fast as somebody takes it.
        async with aclosing(self.store.open(key, start=start, end=end)) as chunks:
            with self._watched("read"):
                chunk = await anext(chunks, None)
            while chunk is not None:
                self.counts.read_bytes += len(chunk)
                yield chunk
                chunk = await anext(chunks, None)

    async def read(self, key: str, *, limit: int | None = None) -> bytes:
        with self._watched("read"):
            content = await self.store.read(key, limit=limit)
        self.counts.read_bytes += len(content)
        return content

    async def stat(self, key: str) -> BlobStat | None:
        with self._watched("stat"):
            return await self.store.stat(key)

    async def delete(self, key: str) -> None:
        with self._watched("delete"):
            await self.store.delete(key)

    async def list(self, prefix: str = "") -> AsyncGenerator[BlobStat, None]:
        async with aclosing(self.store.list(prefix)) as found:
            with self._watched("list"):
                stat = await anext(found, None)
            while stat is not None:
                yield stat
                stat = await anext(found, None)

    async def discard_unfinished(self, before: datetime) -> int:
        return await self.store.discard_unfinished(before)

    async def presign_put(
        self, key: str, *, content_type: str, expires_in: timedelta, size: int | None = None
    ) -> PresignedUpload | None:
        return await self.store.presign_put(
            key, content_type=content_type, expires_in=expires_in, size=size
        )

    async def presign_get(
        self,
        key: str,
        *,
        expires_in: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> str | None:
        return await self.store.presign_get(
            key, expires_in=expires_in, filename=filename, content_type=content_type
        )

    async def close(self) -> None:
        await self.store.close()

    @contextmanager
    def _watched(self, what: str) -> Iterator[None]:
        counts, begun = self.counts, time.perf_counter()
        try:
            with tracing.part(f"blob {what}", kind="client"):
                yield
        except BlobNotFound:
            raise
        except Exception:
            counts.failures[what] += 1
            raise
        finally:
            counts.seconds[what].add(time.perf_counter() - begun)
