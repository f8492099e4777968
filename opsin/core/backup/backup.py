"""Makes a backup of a running installation: one moment of its database, and all that it names."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin import __version__
from opsin.core.backup.blob_copies import named_blobs
from opsin.core.backup.file_copies import FileCopies, Progress
from opsin.core.backup.lines import write_lines
from opsin.core.backup.manifest import (
    BLOB_LIST,
    BLOBS,
    FORMAT,
    MANIFEST,
    MODELS,
    SECRET,
    TABLES,
    LinesFile,
    Manifest,
    SavedBlobs,
    SavedModels,
    SavedSecret,
    SavedTable,
    fingerprint_of,
    path_of,
)
from opsin.core.backup.models import copy_models, list_models
from opsin.core.errors import ConfigurationError, Conflict, InvalidInput, StorageError
from opsin.storage.blobs import BlobStore
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database
from opsin.storage.table_rows import (
    RowTable,
    frozen,
    last_numbers,
    row_lines,
    tables_in_order,
)

_FEW = 64  # files for the end: the fewer, the smaller the chance that one of them is removed
_MOST_PASSES = 8
_MOST_TRIES = 3  # to read the rows without anybody waiting; then nobody removes files meanwhile


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """`copy_blobs` False only lists the files; `since` is an earlier backup to share files with.

    Files are shared by name and size; with `verify` each is read first, and held to its digest.
    """

    copy_blobs: bool = True
    since: Path | None = None
    verify: bool = False
    models: bool = False
    secret: bool = True


@dataclass(frozen=True, slots=True)
class _Moment:
    """One snapshot of the database, as the manifest tells of it."""

    revision: str
    numbers: dict[str, int]
    tables: tuple[SavedTable, ...]
    listed: LinesFile
    missing: tuple[str, ...]


class Backup:
    """Reads one database and one blob store; nobody who uses them is stopped.

    `secret` is the installation's key, `owns_secret` whether it is kept in the data directory and
    nowhere else.
    """

    def __init__(
        self,
        database: Database,
        database_url: str,
        blobs: BlobStore,
        *,
        models: Path,
        secret: bytes,
        owns_secret: bool,
    ) -> None:
        self._database = database
        self._url = database_url
        self._blobs = blobs
        self._models = models
        self._secret = secret
        self._owns_secret = owns_secret

    async def run(self, folder: Path, options: BackupOptions, progress: Progress) -> Manifest:
        """Write the backup into a folder that is new or empty.

        It gets its name when it is whole; what fails leaves nothing.  Files that rows name but
        nobody can read are told in the manifest.  Raises Conflict for a folder with something in
        it, StorageError where the database, the store or the disk fails.
        """
        work = folder.with_name(f".{folder.name}.part")
        _make_room(folder, work)
        try:
            manifest = await self._write(work, options, progress)
            await asyncio.to_thread(_publish, work, folder, manifest)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StorageError(f"the backup cannot be written: {reason}") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
        return manifest

    async def _write(self, work: Path, options: BackupOptions, progress: Progress) -> Manifest:
        target = LocalBlobStore(work / BLOBS)
        (work / TABLES).mkdir(mode=0o700)
        earlier = None if options.since is None else LocalBlobStore(options.since / BLOBS)
        files = FileCopies(
            self._database, self._blobs, target, progress, earlier=earlier, verify=options.verify
        )
        if options.copy_blobs:
            await self._copy_ahead(work, files)
        moment, tries = None, 0
        while moment is None:
            moment = await self._moment(work, files, options, progress, held=tries == _MOST_TRIES)
            tries += 1
        return Manifest(
            format=FORMAT,
            opsin=__version__,
            created_at=datetime.now(UTC),
            revision=moment.revision,
            database=self._kind,
            tables=moment.tables,
            numbers=moment.numbers,
            blobs=SavedBlobs(
                copied=options.copy_blobs,
                bytes=await files.keep_only(work / BLOB_LIST, moment.listed),
                listed=moment.listed,
                missing=moment.missing,
            ),
            secret=await asyncio.to_thread(self._save_secret, work, options),
            models=await asyncio.to_thread(self._save_models, work, options),
        )

    async def _moment(
        self,
        work: Path,
        files: FileCopies,
        options: BackupOptions,
        progress: Progress,
        *,
        held: bool,
    ) -> _Moment | None:
        """Save the rows of one snapshot, and all files that they name.

        None where one of them was removed before it was copied; nobody removes any while `held`.
        """
        async with AsyncExitStack() as stack:
            async with AsyncExitStack() as hold:
                if held:
                    transaction = await hold.enter_async_context(self._database.write())
                    await transaction.lock_blobs(exclusive=False, for_long=True)
                connection = await stack.enter_async_context(frozen(self._url))
                tables = await tables_in_order(connection)
                (work / BLOB_LIST).unlink(missing_ok=True)  # of the moment before
                listed = await write_lines(work / BLOB_LIST, named_blobs(connection, tables))
                missing: Sequence[str] = ()
                if options.copy_blobs:
                    missing = (await files.copy(work / BLOB_LIST, listed)).missing
            if missing and not held:
                lost = await files.settle(missing, tables)
                if lost is None:
                    return None
                missing = lost
            revision = await _revision(connection)
            numbers = await last_numbers(connection)
            saved = [await _save(connection, one, work, progress) for one in tables]
        return _Moment(revision, numbers, tuple(saved), listed, tuple(missing))

    async def _copy_ahead(self, work: Path, files: FileCopies) -> None:
        """Copy what is named now, again and again, until only a few are left for the end."""
        path = work / f"ahead-{BLOB_LIST}"
        for _ in range(_MOST_PASSES):
            async with frozen(self._url) as connection:
                tables = await tables_in_order(connection)
                listed = await write_lines(path, named_blobs(connection, tables))
            copied = await files.copy(path, listed)
            await asyncio.to_thread(path.unlink)
            if copied.files <= _FEW:
                return

    @property
    def _kind(self) -> Literal["sqlite", "postgresql"]:
        return "sqlite" if self._database.is_sqlite else "postgresql"

    def _save_secret(self, work: Path, options: BackupOptions) -> SavedSecret:
        included = options.secret and self._owns_secret
        if included:
            write_private(work / SECRET, self._secret + b"\n")
        return SavedSecret(fingerprint=fingerprint_of(self._secret), included=included)

    def _save_models(self, work: Path, options: BackupOptions) -> SavedModels:
        files = list_models(self._models)
        if options.models:
            copy_models(self._models, work / MODELS, files)
        return SavedModels(copied=options.models, files=files)


def write_private(path: Path, content: bytes) -> None:
    """A new file that only its owner reads, on the disk when this returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


async def _save(
    connection: AsyncConnection, table: RowTable, work: Path, progress: Progress
) -> SavedTable:
    rows = _counted(row_lines(connection, table), table.name, progress)
    written = await write_lines(work / path_of(table.name), rows)
    return SavedTable(name=table.name, columns=table.columns, rows=written)


async def _counted(
    groups: AsyncIterator[tuple[int, bytes]], name: str, progress: Progress
) -> AsyncGenerator[tuple[int, bytes], None]:
    count = 0
    async for group in groups:
        yield group
        count += group[0]
        progress(name, count, None)


async def _revision(connection: AsyncConnection) -> str:
    found = await connection.execute(text("SELECT version_num FROM alembic_version"))
    return str(found.scalar_one())


def _make_room(folder: Path, work: Path) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Conflict(f"{folder} is there already: a backup goes into a folder of its own")
        folder.parent.mkdir(parents=True, exist_ok=True)
        work.mkdir(mode=0o700)
    except FileExistsError:
        raise Conflict(
            f"{work} is there: another backup is being made, or one was killed; remove it then"
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigurationError(f"{folder} cannot be written: {reason}") from None


def _publish(work: Path, folder: Path, manifest: Manifest) -> None:
    write_private(work / MANIFEST, manifest.model_dump_json(indent=1).encode() + b"\n")
    for path in (work / TABLES, work):
        _sync(path)
    work.replace(folder)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_backup(folder: Path) -> Path:
    """The folder of an earlier backup; InvalidInput where it is none."""
    if not (folder / MANIFEST).is_file():
        raise InvalidInput(f"{folder} is no backup: it has no {MANIFEST}")
    return folder
