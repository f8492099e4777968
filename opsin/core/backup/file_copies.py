"""The files of one backup: copied from the store, all that its rows name, and no others."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from opsin.core.backup.blob_copies import (
    Copied,
    NamedBlob,
    copy_blobs,
    read_blob_list,
    still_named,
)
from opsin.core.backup.manifest import LinesFile
from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database
from opsin.storage.table_rows import RowTable

Progress = Callable[[str, int, int | None], None]
"""Told of what is being done, how much of it is done, and of how much, where that is known."""

_AT_ONCE = 50  # whoever writes to SQLite waits for so many files: as a rule none is there
_PARTS = [f"{number:02x}" for number in range(256)]
"""How digests may begin: the store has a folder for each."""


class FileCopies:
    """Copies files into `target`; those that `earlier` has are linked, with `verify` if whole."""

    def __init__(
        self,
        database: Database,
        source: BlobStore,
        target: LocalBlobStore,
        progress: Progress,
        *,
        earlier: LocalBlobStore | None,
        verify: bool,
    ) -> None:
        self._database = database
        self._source = source
        self._target = target
        self._progress = progress
        self._earlier = earlier
        self._verify = verify

    async def copy(self, path: Path, listed: LinesFile) -> Copied:
        """Copy what is on the list and not there yet."""
        count = 0

        def done(_size: int) -> None:
            nonlocal count
            count += 1
            self._progress("files", count, listed.lines)

        return await self._copy(read_blob_list(path, listed), done)

    async def settle(
        self, missing: Sequence[str], tables: Sequence[RowTable]
    ) -> tuple[str, ...] | None:
        """Digests of files that are lost, of those that rows named and nobody could read.

        None where one of them is named no more: it was removed after the rows were read, which is
        no loss, but the rows must be read again.  A few at a time while nobody removes any.
        """
        lost: list[str] = []
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            async with self._database.write() as transaction:
                await transaction.lock_blobs(exclusive=False)
                named = await still_named(transaction.connection, tables, some)
                if len(named) < len(some):
                    return None
                # Since it was missed, somebody may have brought it again.
                lost += (await self._copy(_each(named), _untold)).missing
        return tuple(sorted(lost))

    async def keep_only(self, path: Path, listed: LinesFile) -> int:
        """Remove copies of what is not on the list, which is sorted; bytes of what is on it."""
        size = 0
        async with aclosing(read_blob_list(path, listed)) as wanted:
            blob = await anext(wanted, None)
            for part in _PARTS:
                named: set[str] = set()
                while blob is not None and blob.sha256.startswith(part):
                    size += blob.size
                    named.add(content_key(blob.sha256))
                    blob = await anext(wanted, None)
                folder = content_key(part.ljust(64, "0")).rpartition("/")[0]
                async for copy in self._target.list(f"{folder}/"):
                    if copy.key not in named:
                        await self._target.delete(copy.key)
        return size

    async def _copy(
        self, wanted: AsyncGenerator[NamedBlob, None], done: Callable[[int], None]
    ) -> Copied:
        return await copy_blobs(
            wanted,
            self._source,
            self._target,
            earlier=self._earlier,
            verify=self._verify,
            done=done,
        )


async def _each(blobs: Sequence[NamedBlob]) -> AsyncGenerator[NamedBlob, None]:
    for blob in blobs:
        yield blob


def _untold(_size: int) -> None:
    """They were counted when they were missed."""
