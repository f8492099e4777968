"""Blobs as files below one folder, written whole or not at all."""

import asyncio
import errno
import hashlib
import os
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import IO, ParamSpec, TypeVar

from opsin.core.errors import BlobNotFound, StorageError
from opsin.storage.blobs.base import (
    CHUNK_BYTES,
    BlobStat,
    BlobStore,
    StoredContent,
    check_content_type,
    check_key,
    check_prefix,
    check_range,
    content_key,
)

_SUFFIX = ".blob"
_LIKE_A_FILE = re.compile(r"\.blob%*\Z")

P = ParamSpec("P")
T = TypeVar("T")


class LocalBlobStore(BlobStore):
    """A folder with `objects` (the blobs) and `incoming` (files being written).

    The key `a/b` is the file `objects/a/b.blob`: the suffix lets `a` be a blob beside `a/b`, as it
    can be in S3.  A process that dies while writing leaves its file in `incoming`, until
    `discard_unfinished`.  Files are readable by the server's own user only.
    """

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self._incoming = root / "incoming"

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> int:
        path = self._path(key)
        check_content_type(content_type)
        return await self._write(chunks, lambda: path)

    async def put_content(
        self, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> StoredContent:
        check_content_type(content_type)
        digest = hashlib.sha256()

        async def digested() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                digest.update(chunk)
                yield chunk

        # Written once, and named when the last byte has come.
        size = await self._write(digested(), lambda: self._path(content_key(digest.hexdigest())))
        return StoredContent(digest.hexdigest(), size)

    async def _write(self, chunks: AsyncIterable[bytes], where: Callable[[], Path]) -> int:
        """Write a file whose place is asked for when all of it is there; its size."""
        incoming = _IncomingFile(self._incoming / uuid.uuid4().hex)
        size = 0
        waiting = bytearray()
        try:
            async for chunk in chunks:
                waiting += chunk
                # Small chunks are gathered: each write costs a change of thread.
                if len(waiting) >= CHUNK_BYTES:
                    size += await _in_thread(incoming.write, waiting)
                    waiting = bytearray()
            size += await _in_thread(incoming.write, waiting)
            await _in_thread(incoming.publish, where())
        except BaseException:
            # Shielded, because being cancelled is one of the ways to come here.
            await asyncio.shield(_in_thread(incoming.discard))
            raise
        return size

    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        path = self._path(key)
        check_range(start, end)
        file = await _open_in_thread(path, start)
        if file is None:
            raise BlobNotFound("there is no such stored file")
        with file:
            left = None if end is None else end - start
            while left is None or left > 0:
                wanted = CHUNK_BYTES if left is None else min(left, CHUNK_BYTES)
                chunk = await _in_thread(file.read, wanted)
                if not chunk:
                    break
                if left is not None:
                    left -= len(chunk)
                yield chunk

    async def stat(self, key: str) -> BlobStat | None:
        path = self._path(key)
        try:
            found = await asyncio.to_thread(path.stat)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed(error) from error
        return _blob_stat(key, found)

    async def delete(self, key: str) -> None:
        await _in_thread(self._path(key).unlink, missing_ok=True)

    async def list(self, prefix: str = "") -> AsyncGenerator[BlobStat, None]:
        *above, _ = check_prefix(prefix).split("/")
        folder = self._objects.joinpath(*map(_folder_name, above))
        folders = [(folder, "".join(f"{part}/" for part in above))]
        while folders:
            found, below = await _in_thread(_scan, *folders.pop(), prefix)
            folders += below
            for stat in found:
                yield stat

    async def link(self, key: str, other: "LocalBlobStore", size: int) -> bool:
        """Have the blob of another store, of so many bytes, here too, without another copy.

        False where it is not there, or where the two folders are on different disks.
        """
        return await _in_thread(_link, other._path(key), self._path(key), size)

    async def discard_unfinished(self, before: datetime) -> int:
        return await _in_thread(_discard_old, self._incoming, before.timestamp())

    def _path(self, key: str) -> Path:
        *above, name = check_key(key).split("/")
        return self._objects.joinpath(*map(_folder_name, above), name + _SUFFIX)


class _IncomingFile:
    """A blob being written; used on one thread after the other, in any order.

    A cancelled caller cannot stop the thread that works for it, so writing and discarding may
    meet: the lock lets the first finish, and nothing happens after `publish` or `discard`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._finished = False
        self._lock = Lock()

    def write(self, content: bytes | bytearray) -> int:
        """Append; the first write creates the file."""
        with self._lock:
            if self._finished:
                return 0
            if self._file is None:
                _make_folder(self._path.parent)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
            return self._file.write(content)

    def publish(self, path: Path) -> None:
        """Make the written file the blob at `path`, surviving a loss of power."""
        with self._lock:
            if self._finished or self._file is None:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            _make_folder(path.parent)
            self._path.replace(path)
            self._finished = True
            _sync_folder(path.parent)

    def discard(self) -> None:
        """Remove the file unless it has become a blob."""
        with self._lock:
            if not self._finished and self._file is not None:
                self._file.close()
                self._path.unlink(missing_ok=True)
            self._finished = True


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking file work off the event loop; a failing disk is a `StorageError`."""
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except OSError as error:
        raise _failed(error) from error


def _failed(error: OSError) -> StorageError:
    # The reason in words, without the path that str(error) would show.
    return StorageError(f"the file store failed: {os.strerror(error.errno or 0)}")


async def _open_in_thread(path: Path, start: int) -> IO[bytes] | None:
    opening = asyncio.ensure_future(_in_thread(_open_at, path, start))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The thread opens it all the same, and nobody else is left to close it.
        opening.add_done_callback(_close_opened)
        raise


def _close_opened(opening: "asyncio.Future[IO[bytes] | None]") -> None:
    if not opening.cancelled() and opening.exception() is None and (file := opening.result()):
        file.close()


def _open_at(path: Path, start: int) -> IO[bytes] | None:
    # Buffered on purpose: its lock keeps a close from meeting a read on another thread.
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    file.seek(start)
    return file


def _link(source: Path, path: Path, size: int) -> bool:
    try:
        if source.stat().st_size != size:
            return False
        _make_folder(path.parent)
        os.link(source, path)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EEXIST):
            return False
        raise
    _sync_folder(path.parent)
    return True


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, not only the files' content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folder_name(segment: str) -> str:
    """A folder's name for one part of a key, never one that a blob's file could have."""
    return segment + "%" if _LIKE_A_FILE.search(segment) else segment


def _scan(
    folder: Path, key_start: str, prefix: str
) -> tuple[list[BlobStat], list[tuple[Path, str]]]:
    """The blobs of one folder, and the folders below it that may hold more."""
    found: list[BlobStat] = []
    below: list[tuple[Path, str]] = []
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return found, below
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            part = entry.name[:-1] if _LIKE_A_FILE.search(entry.name) else entry.name
            start = f"{key_start}{part}/"
            if start.startswith(prefix) or prefix.startswith(start):
                below.append((Path(entry.path), start))
        elif entry.name.endswith(_SUFFIX):
            key = key_start + entry.name.removesuffix(_SUFFIX)
            if key.startswith(prefix):
                try:
                    found.append(_blob_stat(key, entry.stat()))
                except FileNotFoundError:
                    continue  # deleted while we looked
    return found, below


def _discard_old(folder: Path, before: float) -> int:
    """Remove the files of a folder last written before then; gives how many."""
    discarded = 0
    for path in folder.glob("*"):
        try:
            if path.stat().st_mtime < before:
                path.unlink()
                discarded += 1
        except FileNotFoundError:
            continue  # its writer was not dead after all, or somebody else was quicker
    return discarded


def _blob_stat(key: str, found: os.stat_result) -> BlobStat:
    return BlobStat(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))
