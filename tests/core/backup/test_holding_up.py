"""Who writes does not wait for a backup, and what is removed meanwhile makes none inconsistent."""

import hashlib
import sqlite3
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from opsin.core.backup import Backup, BackupOptions, check_backup
from opsin.core.backup.backup import require_backup
from opsin.storage.blobs import content_key
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import images
from tests.core.backup.conftest import NewDatabase
from tests.core.backup.filled import fill
from tests.core.backup.saving import SECRET, bring_back, save, untold


class Seen(LocalBlobStore):
    """A store that tells of each file before it is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before: Callable[[str], None] = lambda _key: None

    def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        self.before(key)
        return super().open(key, start=start, end=end)


class House:
    """An SQLite database with images, and somebody else who changes them while it is saved."""

    def __init__(self, url: str, blobs: Seen) -> None:
        path = make_url(url).database
        assert path is not None
        self.url, self.blobs = url, blobs
        # Without patience: whoever would wait fails.
        self._other = sqlite3.connect(path, timeout=0, isolation_level=None)

    def write(self, statement: str, *values: object) -> bool:
        """One transaction of somebody else; False where they would have to wait."""
        try:
            self._other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        self._other.execute(statement, values)
        self._other.execute("COMMIT")
        return True

    def take_in(self, content: bytes) -> tuple[str, str]:
        """Another image like one that is there: its id and key."""
        identity, sha256 = new_id(), hashlib.sha256(content).hexdigest()
        key = content_key(sha256)
        path = self.blobs._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        row = self._other.execute("SELECT * FROM images WHERE storage_deleted = 0 LIMIT 1")
        columns = [one[0] for one in row.description]
        values = dict(zip(columns, row.fetchone(), strict=True))
        values |= {"id": identity, "sha256": sha256, "size_bytes": len(content)}
        values |= {"batch_id": None}
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO images ({names}) VALUES ({marks})"
        assert self.write(statement, *values.values())
        return identity, key

    def remove(self, identity: str, key: str) -> bool:
        """Delete the image and sweep its file; False where one would have to wait."""
        if not self.write("DELETE FROM images WHERE id = ?", identity):
            return False
        self.blobs._path(key).unlink()
        return True

    def close(self) -> None:
        self._other.close()


@pytest.fixture
async def house(new_database: NewDatabase, tmp_path: Path) -> AsyncGenerator[House, None]:
    url, blobs = await new_database("sqlite"), Seen(tmp_path / "blobs")
    database = Database(url)
    await fill(database, blobs)
    await database.close()
    one = House(url, blobs)
    yield one
    one.close()


async def restored_digests(house: House, folder: Path, url: str) -> set[str]:
    """Digests of the images of the backup, each of whose files was there."""
    await check_backup(folder, untold)
    home = folder.with_name(f"{folder.name}-home")
    restored = await bring_back(folder, url, LocalBlobStore(home / "blobs"), home=home)
    assert restored.missing_blobs == ()
    database = Database(url)
    try:
        async with database.read() as connection:
            chosen = select(images.c.sha256).where(images.c.storage_deleted.is_(False))
            return set((await connection.execute(chosen)).scalars())
    finally:
        await database.close()


async def test_nobody_waits_for_it(house: House, tmp_path: Path) -> None:
    """Whatever it tells that it is doing, somebody else may write at that moment."""
    waited: list[str] = []
    told: set[str] = set()

    def progress(what: str, _done: int, _total: int | None) -> None:
        told.add(what)
        if not house.write("UPDATE companies SET name = name"):
            waited.append(what)

    database = Database(house.url)
    backup = Backup(
        database, house.url, house.blobs, models=tmp_path, secret=SECRET, owns_secret=True
    )
    try:
        await backup.run(tmp_path / "backup", BackupOptions(), progress)
    finally:
        await database.close()
    assert {"files", "images", "events"} <= told and waited == []


async def test_what_was_removed_after_the_snapshot_makes_another(
    house: House, new_database: NewDatabase, tmp_path: Path
) -> None:
    """An image comes while files are copied ahead, and goes when it is about to be copied."""
    new: list[tuple[str, str]] = []
    removed: list[str] = []

    def before(key: str) -> None:
        if not new:
            new.append(house.take_in(b"comes and goes"))
        elif key == new[0][1]:
            assert house.remove(*new[0])
            removed.append(key)

    house.blobs.before = before
    manifest = await save(house.url, house.blobs, tmp_path / "backup")
    assert removed and manifest.blobs.missing == ()
    digests = await restored_digests(
        house, tmp_path / "backup", await new_database("sqlite", migrated=False)
    )
    assert removed[0] not in {content_key(one) for one in digests}


async def test_where_it_happens_again_and_again_removing_waits(
    house: House, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Each of them would be gone before it is copied; in the end somebody has to wait."""
    new: list[tuple[str, str]] = []
    waited: list[str] = []

    def before(key: str) -> None:
        if new and key == new[-1][1]:
            if not house.remove(*new[-1]):
                waited.append(key)
                return
            new.append(house.take_in(b"another %d" % len(new)))
        elif not new:
            new.append(house.take_in(b"the first"))

    house.blobs.before = before
    manifest = await save(house.url, house.blobs, tmp_path / "backup")
    assert manifest.blobs.missing == ()
    assert waited == [new[-1][1]], "the last one was kept until it was copied"
    digests = await restored_digests(
        house, tmp_path / "backup", await new_database("sqlite", migrated=False)
    )
    keys = {content_key(one) for one in digests}
    assert {key for _, key in new} & keys == {new[-1][1]}


async def test_copies_of_what_was_removed_are_not_kept(house: House, tmp_path: Path) -> None:
    """An image that was copied ahead is gone when the snapshot is taken."""
    first = house.take_in(b"copied for nothing")
    count = 0

    def before(_key: str) -> None:
        nonlocal count
        count += 1
        # Only what was read already goes: its bytes are open.
        if count == 4:
            house.write("DELETE FROM images WHERE id = ?", first[0])

    house.blobs.before = before
    manifest = await save(house.url, house.blobs, tmp_path / "backup")
    saved = LocalBlobStore(tmp_path / "backup" / "blobs")
    kept = {blob.key async for blob in saved.list()}
    assert first[1] not in kept and len(kept) == manifest.blobs.listed.lines
    assert await house.blobs.stat(first[1]) is not None


async def test_a_file_that_is_lost_is_told_once_and_stops_nothing(
    house: House, tmp_path: Path
) -> None:
    _, key = house.take_in(b"soon lost")
    house.blobs._path(key).unlink()
    manifest = await save(house.url, house.blobs, tmp_path / "backup")
    assert [content_key(one) for one in manifest.blobs.missing] == [key]


async def test_verify_links_only_what_is_whole(house: House, tmp_path: Path) -> None:
    _, key = house.take_in(b"as it was")
    _, lost_key = house.take_in(b"lost there")
    await save(house.url, house.blobs, tmp_path / "first")
    earlier = LocalBlobStore(tmp_path / "first" / "blobs")
    earlier._path(key).write_bytes(b"as it was"[::-1])  # of the same size
    earlier._path(lost_key).unlink()
    since = require_backup(tmp_path / "first")
    await save(house.url, house.blobs, tmp_path / "linked", BackupOptions(since=since))
    options = BackupOptions(since=since, verify=True)
    await save(house.url, house.blobs, tmp_path / "verified", options)
    linked, verified = (
        LocalBlobStore(tmp_path / name / "blobs") for name in ("linked", "verified")
    )
    assert await linked.read(key) != b"as it was"
    assert await verified.read(key) == b"as it was"
    assert await verified.read(lost_key) == b"lost there"
    shared = [one async for one in verified.list() if verified._path(one.key).stat().st_nlink > 1]
    assert len(shared) == len([one async for one in verified.list()]) - 2
    await check_backup(tmp_path / "verified", untold)
