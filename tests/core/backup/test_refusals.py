"""Backups that are damaged, and places that they must not be restored into: nothing is changed."""

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert

from opsin.core.backup import BackupOptions, RestoreOptions, check_backup, open_manifest
from opsin.core.errors import ConfigurationError, Conflict, InvalidInput, StorageError
from opsin.storage.blobs import content_key
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database
from opsin.storage.schema import newest_revision, upgrade
from opsin.storage.tables import companies
from tests.core.backup.conftest import NewDatabase
from tests.core.backup.filled import all_rows, fill
from tests.core.backup.saving import SECRET, bring_back, save, untold
from tests.storage.rows import company_values


@pytest.fixture
async def backup(new_database: NewDatabase, tmp_path: Path) -> Path:
    """A backup of a database with some of everything."""
    url = await new_database("sqlite")
    database, blobs = Database(url), LocalBlobStore(tmp_path / "blobs")
    await fill(database, blobs)
    await database.close()
    await save(url, blobs, tmp_path / "backup")
    return tmp_path / "backup"


def _other_row(folder: Path) -> None:
    path = folder / "tables" / "analyses.ndjson.gz"
    lines = gzip.decompress(path.read_bytes()).replace(b"0.30000000000000004", b"0.3", 1)
    path.write_bytes(gzip.compress(lines.replace(b"plain", b"other", 1)))


def _cut_row_file(folder: Path) -> None:
    path = folder / "tables" / "events.ndjson.gz"
    path.write_bytes(path.read_bytes()[:-20])


def _lost_row_file(folder: Path) -> None:
    (folder / "tables" / "images.ndjson.gz").unlink()


def _other_file(folder: Path) -> None:
    path = max((folder / "blobs").rglob("*.blob"), key=lambda one: one.stat().st_size)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def _lost_file(folder: Path) -> None:
    next((folder / "blobs").rglob("*.blob")).unlink()


def _other_secret(folder: Path) -> None:
    (folder / "secret.key").write_bytes(b"t" * 64)


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _newer_format(folder: Path) -> None:
    _change_manifest(folder, format=2)


def _change_manifest(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "damage",
    [
        _other_row,
        _cut_row_file,
        _lost_row_file,
        _other_file,
        _lost_file,
        _other_secret,
        _no_manifest,
        _newer_format,
    ],
)
async def test_damage_is_found_before_a_row_is_written(
    damage: Callable[[Path], None], backup: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    damage(backup)
    with pytest.raises(InvalidInput):
        await check_backup(backup, untold)
    url = await new_database("sqlite")
    with pytest.raises(InvalidInput):
        await bring_back(backup, url, LocalBlobStore(tmp_path / "new"), home=tmp_path / "home")
    assert not (tmp_path / "home" / "secret.key").exists()
    database = Database(url)
    try:
        rows = await all_rows(database)
    finally:
        await database.close()
    assert {name for name, found in rows.items() if found} <= {"counters", "audit_horizon"}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_row_that_a_database_refuses_undoes_all(
    kind: str, backup: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Here a member of a company that is not in the backup, as no backup of ours would have it."""
    path = backup / "tables" / "companies.ndjson.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)[1:]
    path.write_bytes(gzip.compress(b"".join(lines)))
    manifest = open_manifest(backup)
    tables = [table.model_dump() for table in manifest.tables]
    (companies_table,) = (table for table in tables if table["name"] == "companies")
    companies_table["rows"] = _said(b"".join(lines))
    _change_manifest(backup, tables=tables)
    url = await new_database(kind)
    with pytest.raises(StorageError, match="cannot be stored"):
        await bring_back(backup, url, LocalBlobStore(tmp_path / "new"), home=tmp_path / "home")
    database = Database(url)
    try:
        rows = await all_rows(database)
    finally:
        await database.close()
    assert (rows["companies"], rows["analyses"], rows["events"]) == ([], [], [])


def _said(lines: bytes) -> dict[str, object]:
    return {
        "lines": lines.count(b"\n"),
        "bytes": len(lines),
        "sha256": hashlib.sha256(lines).hexdigest(),
    }


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_only_into_an_empty_database(
    kind: str, backup: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    url = await new_database(kind)
    database = Database(url)
    async with database.write() as transaction:
        await transaction.connection.execute(insert(companies).values(company_values("first")))
    await database.close()
    blobs = LocalBlobStore(tmp_path / "new")
    with pytest.raises(Conflict, match="companies"):
        await bring_back(backup, url, blobs, home=tmp_path / "home")
    assert [blob async for blob in blobs.list()] == []


async def test_another_key_is_refused_unless_that_is_accepted(
    backup: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    url, blobs, home = await new_database("sqlite"), LocalBlobStore(tmp_path / "n"), tmp_path / "h"
    with pytest.raises(Conflict, match="secret key"):
        await bring_back(backup, url, blobs, home=home, secret=b"t" * 64)
    accepted = RestoreOptions(other_secret=True)
    restored = await bring_back(backup, url, blobs, home=home, secret=b"t" * 64, options=accepted)
    assert restored.secret == "other"
    same = await bring_back(backup, await new_database("sqlite"), blobs, home=home, secret=SECRET)
    assert (same.secret, (home / "secret.key").exists()) == ("same", False)


async def test_a_backup_of_a_newer_opsin_is_left_to_that(
    backup: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    _change_manifest(backup, revision="9999", opsin="99.0")
    with pytest.raises(ConfigurationError, match=r"Opsin 99\.0"):
        await bring_back(
            backup, await new_database("sqlite"), LocalBlobStore(tmp_path / "n"), home=tmp_path
        )


@pytest.mark.parametrize(("kind", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
async def test_a_backup_of_an_older_opsin_gets_the_newer_tables(
    kind: str, other: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Saved as the tables were then, restored into such tables, and migrated."""
    url = await new_database(kind, migrated=False)
    await upgrade(url, "0001")
    database, blobs = Database(url), LocalBlobStore(tmp_path / "blobs")
    values = company_values("old")
    async with database.write() as transaction:
        await transaction.connection.execute(insert(companies).values(values))
    await database.close()
    assert (await save(url, blobs, tmp_path / "backup")).revision == "0001"

    migrated = await new_database(other)
    with pytest.raises(Conflict, match="0001"):
        await bring_back(tmp_path / "backup", migrated, blobs, home=tmp_path / "home")
    url = await new_database(other, migrated=False)
    restored = await bring_back(tmp_path / "backup", url, blobs, home=tmp_path / "home")
    assert restored.revision == newest_revision()
    database = Database(url)
    try:
        assert (await all_rows(database))["companies"] == [tuple(values.values())]
    finally:
        await database.close()


async def test_a_backup_takes_no_place_that_is_taken(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url, blobs = await new_database("sqlite"), LocalBlobStore(tmp_path / "blobs")
    await save(url, blobs, tmp_path / "backup")
    with pytest.raises(Conflict, match="there already"):
        await save(url, blobs, tmp_path / "backup")
    (tmp_path / ".other.part").mkdir()
    with pytest.raises(Conflict, match="another backup"):
        await save(url, blobs, tmp_path / "other")


async def test_what_fails_leaves_nothing(new_database: NewDatabase, tmp_path: Path) -> None:
    class Broken(LocalBlobStore):
        def open(self, key: str, *, start: int = 0, end: int | None = None):  # type: ignore[no-untyped-def]  # as its base
            raise StorageError("the store is down")

    url, blobs = await new_database("sqlite"), LocalBlobStore(tmp_path / "blobs")
    database = Database(url)
    await fill(database, blobs)
    await database.close()
    with pytest.raises(StorageError, match="down"):
        await save(url, Broken(tmp_path / "blobs"), tmp_path / "backup")
    assert list(tmp_path.glob("*backup*")) == []  # noqa: ASYNC240 - a test's folder


async def test_files_that_are_gone_are_told_of(new_database: NewDatabase, tmp_path: Path) -> None:
    """A row's file that somebody lost or broke does not keep the others from being saved."""
    url, blobs = await new_database("sqlite"), LocalBlobStore(tmp_path / "blobs")
    database = Database(url)
    await fill(database, blobs)
    await database.close()
    listed = sorted([blob async for blob in blobs.list()], key=lambda blob: blob.size)
    _other_file(tmp_path)
    await blobs.delete(listed[-3].key)
    manifest = await save(url, blobs, tmp_path / "backup", BackupOptions())
    assert len(manifest.blobs.missing) == 2
    assert content_key(manifest.blobs.missing[0]) in {blob.key for blob in listed}
    assert await check_backup(tmp_path / "backup", untold) == manifest
    restored = await bring_back(
        tmp_path / "backup",
        await new_database("sqlite"),
        LocalBlobStore(tmp_path / "new"),
        home=tmp_path / "home",
    )
    assert restored.missing_blobs == manifest.blobs.missing
