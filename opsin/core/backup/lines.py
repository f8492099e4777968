"""Compressed files of JSON lines: written with their digest, read in groups, checked against it."""

import asyncio
import gzip
import hashlib
import os
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from opsin.core.backup.manifest import LinesFile
from opsin.core.errors import InvalidInput, StorageError

_LEVEL = 3  # of zlib: most of what a higher one saves, in half the time
_READ_AT_ONCE = 1 << 20


class LinesWriter:
    """Writes one file; `written` is what the manifest says of it."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        # Without a time, so that the same rows are the same file.
        self._zipped = gzip.GzipFile("", "wb", _LEVEL, self._file, mtime=0)
        self._digest = hashlib.sha256()
        self._lines = self._bytes = 0

    def write(self, count: int, lines: bytes) -> None:
        self._digest.update(lines)
        self._zipped.write(lines)
        self._lines += count
        self._bytes += len(lines)

    @property
    def written(self) -> LinesFile:
        return LinesFile(lines=self._lines, bytes=self._bytes, sha256=self._digest.hexdigest())

    def finish(self) -> None:
        """End the file, and see it to the disk."""
        self._zipped.close()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._zipped.close()
        self._file.close()


async def write_lines(path: Path, groups: AsyncIterable[tuple[int, bytes]]) -> LinesFile:
    """Write groups of lines, each with how many they are; StorageError where the disk fails."""
    async with _written(path) as writer:
        async for count, lines in groups:
            await asyncio.to_thread(writer.write, count, lines)
        await asyncio.to_thread(writer.finish)
        return writer.written


@asynccontextmanager
async def _written(path: Path) -> AsyncIterator[LinesWriter]:
    try:
        writer = LinesWriter(path)
        try:
            yield writer
        finally:
            writer.close()
    except OSError as error:
        raise StorageError(
            f"the backup cannot be written: {os.strerror(error.errno or 0)}"
        ) from error


async def read_lines(path: Path, said: LinesFile) -> AsyncGenerator[list[bytes], None]:
    """The lines in groups of about a megabyte.

    Raises InvalidInput, at the end at the latest, where they are not those that were written.
    """
    digest, count = hashlib.sha256(), 0
    try:
        with gzip.open(path, "rb") as file:
            while lines := await asyncio.to_thread(file.readlines, _READ_AT_ONCE):
                count += len(lines)
                digest.update(b"".join(lines))
                yield lines
    except (FileNotFoundError, EOFError, gzip.BadGzipFile, zlib.error):
        raise InvalidInput(f"the backup is damaged: {path.name}") from None
    except OSError as error:
        raise StorageError(f"the backup cannot be read: {os.strerror(error.errno or 0)}") from error
    if count != said.lines or digest.hexdigest() != said.sha256:
        raise InvalidInput(f"the backup is damaged: {path.name}")


async def digest_of(groups: AsyncIterable[tuple[int, bytes]]) -> LinesFile:
    """What `write_lines` would say of these lines."""
    digest, count, size = hashlib.sha256(), 0, 0
    async for number, lines in groups:
        digest.update(lines)
        count, size = count + number, size + len(lines)
    return LinesFile(lines=count, bytes=size, sha256=digest.hexdigest())
