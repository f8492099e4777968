"""Restores a backup into an empty database of either kind, and proves that all of it is there."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.backup.backup import write_private
from opsin.core.backup.blob_copies import copy_blobs, not_readable, read_blob_list
from opsin.core.backup.check import check_rows, check_secret
from opsin.core.backup.file_copies import Progress
from opsin.core.backup.lines import digest_of, read_lines
from opsin.core.backup.manifest import (
    BLOB_LIST,
    BLOBS,
    MODELS,
    Manifest,
    SavedTable,
    fingerprint_of,
    open_manifest,
)
from opsin.core.backup.models import copy_models, missing_models
from opsin.core.errors import ConfigurationError, Conflict, InvalidInput, StorageError
from opsin.storage.blobs import BlobStore
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database
from opsin.storage.row_writer import RowWriter, clear
from opsin.storage.schema import current_revision, is_known, upgrade
from opsin.storage.table_rows import (
    RowTable,
    continue_numbers,
    is_empty,
    row_lines,
    tables_in_order,
)

NUMBERS_APART = 10**9
"""How far behind the backup's last event the next one is.

What was told after the backup is lost with it, but its numbers were seen: by followers, who would
not be told of a new event below their cursor, and by receivers of webhooks, who would take its
delivery for one that they have.
"""


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """`other_secret` accepts that the installation's key is not the one of the backup."""

    other_secret: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """What is there now; `missing_blobs` and `missing_models` are named, but not there."""

    manifest: Manifest
    revision: str
    missing_blobs: tuple[str, ...]
    missing_models: tuple[str, ...]
    secret: str
    """"restored", "same", "other" or "none": whether there is the key of the backup."""


class Restore:
    """Fills one database and one blob store; `secret` is the key here, None where there is none.

    `secret_file` is where a key of the backup goes; None where the settings give one.
    """

    def __init__(
        self,
        database_url: str,
        blobs: BlobStore,
        *,
        models: Path,
        secret: bytes | None,
        secret_file: Path | None,
    ) -> None:
        self._url = database_url
        self._blobs = blobs
        self._models = models
        self._secret = secret
        self._secret_file = secret_file

    async def run(self, folder: Path, options: RestoreOptions, progress: Progress) -> Restored:
        """Restore the backup in `folder`: files first, then all rows in one transaction.

        Before the rows are committed they are read again and held to the backup's digests.  Raises
        InvalidInput for a damaged backup, Conflict for a database that is not empty or a key that
        is another, StorageError where the database or a store fails; the database is as it was.
        """
        manifest = open_manifest(folder)
        if not is_known(manifest.revision):
            raise ConfigurationError(
                f"the backup is of Opsin {manifest.opsin}, whose tables (revision "
                f"{manifest.revision}) this version does not know: restore it with that one"
            )
        await check_rows(folder, manifest, progress)
        given = self._check_secret(folder, manifest, options)
        await self._require_empty(manifest)
        missing = await self._restore_blobs(folder, manifest, progress)
        await upgrade(self._url, manifest.revision)
        await self._restore_rows(folder, manifest, progress)
        _, revision = await upgrade(self._url)
        return Restored(
            manifest,
            revision,
            tuple(missing),
            await asyncio.to_thread(self._restore_models, folder, manifest),
            await asyncio.to_thread(self._restore_secret, given, manifest),
        )

    async def _require_empty(self, manifest: Manifest) -> None:
        revision = await current_revision(self._url)
        if revision is None:
            return
        database = Database(self._url)
        try:
            async with database.read() as connection:
                there = {one.name for one in await tables_in_order(connection)}
                full = [n for n in _TELLING if n in there and not await is_empty(connection, n)]
        finally:
            await database.close()
        if full:
            raise Conflict(
                f"the database is not empty (it has {' and '.join(full)}): a backup is restored "
                "into an empty one"
            )
        if revision != manifest.revision:
            raise Conflict(
                f"the database has tables of revision {revision}, the backup is of "
                f"{manifest.revision}: restore it into a database without tables, which get the "
                "newest revision in the end"
            )

    async def _restore_blobs(
        self, folder: Path, manifest: Manifest, progress: Progress
    ) -> list[str]:
        """Put the files that are not there; the digests of those that cannot be had."""
        saved, count = manifest.blobs, 0

        def done(_size: int) -> None:
            nonlocal count
            count += 1
            progress("files", count, saved.listed.lines)

        wanted = read_blob_list(folder / BLOB_LIST, saved.listed)
        if not saved.copied:
            return await not_readable(wanted, self._blobs, whole=False, done=done)
        source = LocalBlobStore(folder / BLOBS)
        missing = (await copy_blobs(wanted, source, self._blobs, done=done)).missing
        if new := sorted(set(missing) - set(saved.missing)):
            raise InvalidInput(
                f"the backup is damaged: {len(new)} files of it are missing or other bytes, "
                f"the first is {new[0]}"
            )
        return missing

    async def _restore_rows(self, folder: Path, manifest: Manifest, progress: Progress) -> None:
        database = Database(self._url)
        try:
            async with database.write() as transaction:
                connection = transaction.connection
                await _lock(connection)
                tables = {one.name: one for one in await tables_in_order(connection)}
                for name in reversed(tables):
                    if name in _TELLING and not await is_empty(connection, name):
                        raise Conflict("the database is not empty any more: somebody uses it")
                    if not await is_empty(connection, name):
                        await clear(connection, name)
                for saved in manifest.tables:
                    await _fill(connection, _find(tables, saved), folder, saved, progress)
                for saved in manifest.tables:
                    await _prove(connection, tables[saved.name], saved, progress)
                for name, last in manifest.numbers.items():
                    await continue_numbers(connection, name, last + NUMBERS_APART)
                # The planner knows nothing of tables that were filled at once.
                await connection.execute(text("ANALYZE"))
        except DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            raise StorageError(f"the rows cannot be stored: {reason}") from error
        finally:
            await database.close()

    def _check_secret(
        self, folder: Path, manifest: Manifest, options: RestoreOptions
    ) -> bytes | None:
        given = check_secret(folder, manifest)
        if self._secret is None or options.other_secret:
            return given
        if fingerprint_of(self._secret) != manifest.secret.fingerprint:
            raise Conflict(
                "the secret key here is not the one of the backup: secrets of webhooks and links "
                "that were made with that would be lost.  Give its key as OPSIN_SECRET_KEY or, "
                "where the backup has it, move the data directory's secret.key away; "
                "--other-secret goes on all the same"
            )
        return given

    def _restore_secret(self, given: bytes | None, manifest: Manifest) -> str:
        if self._secret is not None:
            same = fingerprint_of(self._secret) == manifest.secret.fingerprint
            return "same" if same else "other"
        if given is None or self._secret_file is None:
            return "none"
        self._secret_file.parent.mkdir(parents=True, exist_ok=True)
        write_private(self._secret_file, given + b"\n")
        return "restored"

    def _restore_models(self, folder: Path, manifest: Manifest) -> tuple[str, ...]:
        if manifest.models.copied:
            copy_models(folder / MODELS, self._models, manifest.models.files)
        return tuple(missing_models(self._models, manifest.models.files))


# Where these have no row, nobody has done anything with the installation.
_TELLING = ("companies", "events", "audit_entries")


async def _lock(connection: AsyncConnection) -> None:
    """On PostgreSQL nobody else's company comes in between; on SQLite there is one writer."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE companies IN SHARE ROW EXCLUSIVE MODE"))


def _find(tables: dict[str, RowTable], saved: SavedTable) -> RowTable:
    found = tables.get(saved.name)
    if found is None or not set(saved.columns) <= set(found.columns):
        raise InvalidInput(f"the backup is damaged: no such table has its columns: {saved.name}")
    return found


async def _fill(
    connection: AsyncConnection,
    into: RowTable,
    folder: Path,
    saved: SavedTable,
    progress: Progress,
) -> None:
    writer = RowWriter(connection, into, saved.columns)
    async with aclosing(read_lines(folder / saved.path, saved.rows)) as groups:
        count = 0
        async for lines in groups:
            await writer.write(lines)
            count += len(lines)
            progress(saved.name, count, saved.rows.lines)


async def _prove(
    connection: AsyncConnection, table: RowTable, saved: SavedTable, progress: Progress
) -> None:
    """Raises StorageError unless the table has exactly the rows of the backup."""
    progress(f"proving {saved.name}", 0, saved.rows.lines)
    found = await digest_of(row_lines(connection, table, saved.columns))
    if found != saved.rows:
        raise StorageError(
            f"the rows of {saved.name} were not stored as they are in the backup; nothing was kept"
        )
