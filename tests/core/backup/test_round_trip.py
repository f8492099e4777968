"""What is restored is what was saved: every row and file, on each kind of database and across."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import text

from opsin.core.backup import check_backup
from opsin.core.backup.restore import NUMBERS_APART
from opsin.storage.blobs import content_key
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent, last_position
from opsin.storage.ids import new_id
from opsin.storage.schema import newest_revision
from tests.core.backup.conftest import NewDatabase
from tests.core.backup.filled import ROWS, all_rows, fill, pairs
from tests.core.backup.saving import SECRET, bring_back, save, untold


@pytest.mark.parametrize(("kind", "other"), pairs())
async def test_every_row_and_file_comes_back(
    kind: str, other: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    source, target = Database(await new_database(kind)), None
    blobs, new_blobs = LocalBlobStore(tmp_path / "blobs"), LocalBlobStore(tmp_path / "new-blobs")
    try:
        await fill(source, blobs)
        expected = await all_rows(source)
        assert {name: len(rows) for name, rows in expected.items() if len(rows) < ROWS} == {}

        url = source.url.render_as_string(hide_password=False)
        manifest = await save(url, blobs, tmp_path / "backup")
        assert {t.name for t in manifest.tables} == set(expected)
        assert manifest.blobs.missing == ()
        assert await check_backup(tmp_path / "backup", untold) == manifest

        # With the tables that a server has made when it was started once, and with none.
        new_url = await new_database(other, migrated=kind == other)
        restored = await bring_back(tmp_path / "backup", new_url, new_blobs, home=tmp_path / "home")
        assert (restored.missing_blobs, restored.secret) == ((), "restored")
        assert restored.revision == newest_revision()
        assert (tmp_path / "home" / "secret.key").read_bytes().strip() == SECRET

        target = Database(new_url)
        assert await all_rows(target) == expected
        await _files_are_whole(target, new_blobs)
        # A backup of what was restored has the same bytes, whatever the databases are.
        again = await save(new_url, new_blobs, tmp_path / "again")
        assert again.tables == manifest.tables
        assert again.blobs == manifest.blobs
    finally:
        await source.close()
        if target is not None:
            await target.close()


async def _files_are_whole(database: Database, blobs: LocalBlobStore) -> None:
    async with database.read() as connection:
        named = (
            await connection.execute(
                text(
                    "SELECT sha256 FROM images WHERE NOT storage_deleted"
                    " UNION SELECT sha256 FROM artifacts"
                )
            )
        ).scalars()
        digests = set(named)
    assert len(digests) > 3
    for digest in digests:
        assert hashlib.sha256(await blobs.read(content_key(digest))).hexdigest() == digest
    assert {blob.key async for blob in blobs.list()} == set(map(content_key, digests))


@pytest.mark.parametrize(("kind", "other"), pairs())
async def test_no_event_has_a_number_that_was_seen(
    kind: str, other: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Those told after the backup are lost; a follower of theirs gets what is told from now on."""
    blobs = LocalBlobStore(tmp_path / "blobs")
    source = Database(await new_database(kind))
    try:
        await _tell(source, 3)
        url = source.url.render_as_string(hide_password=False)
        await save(url, blobs, tmp_path / "backup")
        await _tell(source, 3)
        seen = await _position(source)
    finally:
        await source.close()
    new_url = await new_database(other)
    await bring_back(tmp_path / "backup", new_url, blobs, home=tmp_path / "home")
    target = Database(new_url)
    try:
        kept = await _position(target)
        await _tell(target, 1)
        assert kept < seen < kept + NUMBERS_APART < await _position(target)
    finally:
        await target.close()


async def _tell(database: Database, count: int) -> None:
    async with database.write() as transaction:
        for _ in range(count):
            transaction.emit(NewEvent("image.created", new_id()))


async def _position(database: Database) -> int:
    async with database.read() as connection:
        return await last_position(connection)
