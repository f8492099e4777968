"""The files that rows name: listed from a snapshot, and copied whole or not at all."""

import asyncio
import hashlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from sqlalchemy import Select, column, false, func, select, table, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.backup.lines import read_lines
from opsin.core.backup.manifest import LinesFile
from opsin.core.errors import BlobNotFound
from opsin.storage.blobs import BlobStat, BlobStore, content_key
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.table_rows import ROWS_AT_ONCE, RowTable

AT_ONCE = 16
"""Files on their way."""

Done = Callable[[int], None]
"""Told of each file, with its bytes."""


@dataclass(frozen=True, slots=True)
class NamedBlob:
    """A file as the rows tell of it."""

    sha256: str
    size: int
    content_type: str

    def is_that(self, found: BlobStat | None) -> bool:
        """Whether what is stored may be it."""
        return found is not None and found.size == self.size


@dataclass(slots=True)
class Copied:
    """What came of copying: files written or linked now, and those that could not be read."""

    files: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)


class DamagedError(BlobNotFound):
    """The file is there, but its bytes are not those of its name."""


async def named_blobs(
    connection: AsyncConnection, tables: Sequence[RowTable]
) -> AsyncIterator[tuple[int, bytes]]:
    """The files that images and artifacts name, by digest, as lines for `write_lines`."""
    options = _naming(tables).execution_options(yield_per=ROWS_AT_ONCE)
    async with connection.stream(options) as result:
        async for rows in result.partitions(ROWS_AT_ONCE):
            lines = b"".join(
                orjson.dumps(tuple(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows
            )
            yield len(rows), lines


async def still_named(
    connection: AsyncConnection, tables: Sequence[RowTable], digests: Collection[str]
) -> list[NamedBlob]:
    """Those of the files that a row names."""
    rows = await connection.execute(_naming(tables, digests))
    return [NamedBlob(*row) for row in rows]


def _naming(
    tables: Sequence[RowTable], digests: Collection[str] | None = None
) -> Select[str, int, str]:
    """Digest, size and type of every file that rows name, or of these, in the digests' order."""
    named = []
    for one in tables:
        if one.name not in ("images", "artifacts"):
            continue
        types = dict(zip(one.columns, one.types, strict=True))
        c = table(one.name, *(column(name, types[name]) for name in types)).c
        chosen = select(c.sha256, c.size_bytes, c.content_type).where(c.sha256.is_not(None))
        if digests is not None:
            chosen = chosen.where(c.sha256.in_(digests))
        if "storage_deleted" in types:
            chosen = chosen.where(c.storage_deleted == false())
        named.append(chosen)
    every = union_all(*named).subquery()
    return (
        select(every.c.sha256, func.max(every.c.size_bytes), func.max(every.c.content_type))
        .group_by(every.c.sha256)
        .order_by(every.c.sha256)
    )


async def read_blob_list(path: Path, said: LinesFile) -> AsyncGenerator[NamedBlob, None]:
    """The files of a list."""
    async with aclosing(read_lines(path, said)) as groups:
        async for lines in groups:
            for line in lines:
                yield NamedBlob(*orjson.loads(line))


async def copy_blobs(
    wanted: AsyncGenerator[NamedBlob, None],
    source: BlobStore,
    target: BlobStore,
    *,
    earlier: LocalBlobStore | None = None,
    verify: bool = False,
    done: Done,
) -> Copied:
    """Copy what is not in `target` yet, each file held to its digest; a few at once.

    Files that `earlier` has as well, by name and size, become links to it; with `verify` only those
    whose bytes are still those of their name.  Raises StorageError where a store fails.
    """
    copied = Copied()

    async def copy(blob: NamedBlob) -> None:
        key = content_key(blob.sha256)
        if not blob.is_that(await target.stat(key)):
            linked = (
                earlier is not None
                and isinstance(target, LocalBlobStore)
                and (not verify or await _is_whole(earlier, blob.sha256))
                and await target.link(key, earlier, blob.size)
            )
            if not linked:
                try:
                    await target.put(
                        key, checked(source, blob.sha256), content_type=blob.content_type
                    )
                except BlobNotFound:
                    copied.missing.append(blob.sha256)
                    done(0)
                    return
            copied.files += 1
            copied.bytes += blob.size
        done(blob.size)

    await _few_at_once(wanted, copy)
    copied.missing.sort()
    return copied


async def checked(store: BlobStore, sha256: str) -> AsyncGenerator[bytes, None]:
    """The file's bytes; DamagedError at the end where they are others than its name says."""
    digest = hashlib.sha256()
    async with aclosing(store.open(content_key(sha256))) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != sha256:
        raise DamagedError("a stored file is damaged")


async def _is_whole(store: BlobStore, sha256: str) -> bool:
    """Whether the file can be read, and is that of its name."""
    try:
        async with aclosing(checked(store, sha256)) as chunks:
            async for _ in chunks:
                pass
    except BlobNotFound:
        return False
    return True


async def not_readable(
    wanted: AsyncGenerator[NamedBlob, None], store: BlobStore, *, whole: bool, done: Done
) -> list[str]:
    """The digests of files that the store does not have; with `whole`, also of damaged ones."""
    missing: list[str] = []

    async def look(blob: NamedBlob) -> None:
        is_fine = blob.is_that(await store.stat(content_key(blob.sha256)))
        if is_fine and whole:
            is_fine = await _is_whole(store, blob.sha256)
        if not is_fine:
            missing.append(blob.sha256)
        done(blob.size)

    await _few_at_once(wanted, look)
    return sorted(missing)


async def _few_at_once(
    wanted: AsyncGenerator[NamedBlob, None], work: Callable[[NamedBlob], Awaitable[None]]
) -> None:
    """Work on each; the first error ends all of it."""
    turn = asyncio.Lock()

    async def go_on() -> None:
        while True:
            async with turn:  # a generator takes one question at a time
                blob = await anext(wanted, None)
            if blob is None:
                return
            await work(blob)

    async with aclosing(wanted):
        tasks = [asyncio.create_task(go_on()) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
