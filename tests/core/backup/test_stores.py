"""Files of a backup: from S3 and into it, shared with an earlier backup, or only listed; models."""

from pathlib import Path

import pytest

from opsin.core.backup import BackupOptions
from opsin.core.backup.backup import require_backup
from opsin.core.errors import BlobNotFound, InvalidInput
from opsin.storage.blobs import BlobStore, content_key, open_blob_store
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.database import Database
from tests.core.backup.conftest import NewDatabase
from tests.core.backup.filled import fill
from tests.core.backup.saving import bring_back, save
from tests.storage.s3_server import s3_endpoint as s3_endpoint
from tests.storage.s3_server import s3_options


async def _filled(new_database: NewDatabase, blobs: BlobStore) -> str:
    url = await new_database("sqlite")
    database = Database(url)
    await fill(database, blobs)
    await database.close()
    return url


async def _contents(blobs: BlobStore) -> dict[str, bytes]:
    return {blob.key: await blobs.read(blob.key) async for blob in blobs.list()}


async def test_from_s3_into_s3(new_database: NewDatabase, s3_endpoint: str, tmp_path: Path) -> None:
    source = open_blob_store("s3://old/a", s3=s3_options(s3_endpoint))
    target = open_blob_store("s3://new/b", s3=s3_options(s3_endpoint))
    try:
        url = await _filled(new_database, source)
        manifest = await save(url, source, tmp_path / "backup")
        await bring_back(
            tmp_path / "backup", await new_database("sqlite"), target, home=tmp_path / "home"
        )
        copied = await _contents(target)
        assert copied.items() <= (await _contents(source)).items()
        assert len(copied) == manifest.blobs.listed.lines > 3
        some = await target.stat(next(iter(copied)))
        assert some is not None and some.content_type == "image/png"
    finally:
        await source.close()
        await target.close()


async def test_files_of_an_earlier_backup_are_not_copied_again(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    blobs = LocalBlobStore(tmp_path / "blobs")
    url = await _filled(new_database, blobs)
    await save(url, blobs, tmp_path / "first")
    sharing = BackupOptions(since=require_backup(tmp_path / "first"))
    second = await save(url, blobs, tmp_path / "second", sharing)
    assert second.blobs.missing == ()
    for path in (tmp_path / "first" / "blobs").rglob("*.blob"):
        other = tmp_path / "second" / path.relative_to(tmp_path / "first")
        assert path.samefile(other)
    with pytest.raises(InvalidInput, match="no backup"):
        require_backup(tmp_path / "blobs")


async def test_listed_files_must_be_where_the_rows_are_restored(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Of a bucket that has versions or copies of its own."""
    blobs = LocalBlobStore(tmp_path / "blobs")
    url = await _filled(new_database, blobs)
    manifest = await save(url, blobs, tmp_path / "backup", BackupOptions(copy_blobs=False))
    assert not list((tmp_path / "backup").rglob("*.blob"))
    there = await bring_back(
        tmp_path / "backup", await new_database("sqlite"), blobs, home=tmp_path / "home"
    )
    assert there.missing_blobs == ()
    elsewhere = await bring_back(
        tmp_path / "backup",
        await new_database("sqlite"),
        LocalBlobStore(tmp_path / "empty"),
        home=tmp_path / "other-home",
    )
    assert len(elsewhere.missing_blobs) == manifest.blobs.listed.lines


async def test_files_of_deleted_images_are_not_kept(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    blobs = LocalBlobStore(tmp_path / "blobs")
    url = await _filled(new_database, blobs)
    await save(url, blobs, tmp_path / "backup")
    saved = LocalBlobStore(tmp_path / "backup" / "blobs")
    every, kept = await _contents(blobs), await _contents(saved)
    assert kept.items() < every.items()  # of half of the images the file is gone


async def test_models_are_listed_or_copied(new_database: NewDatabase, tmp_path: Path) -> None:
    blobs = LocalBlobStore(tmp_path / "blobs")
    url = await _filled(new_database, blobs)
    folder = tmp_path / "models" / "clip"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"w" * 1000)
    (folder / "begun.safetensors.part").write_bytes(b"w")

    listed = await save(url, blobs, tmp_path / "listed")
    assert [model.path for model in listed.models.files] == ["clip/weights.safetensors"]
    restored = await bring_back(
        tmp_path / "listed", await new_database("sqlite"), blobs, home=tmp_path / "one"
    )
    assert restored.missing_models == ("clip/weights.safetensors",)

    await save(url, blobs, tmp_path / "copied", BackupOptions(models=True))
    restored = await bring_back(
        tmp_path / "copied", await new_database("sqlite"), blobs, home=tmp_path / "two"
    )
    assert restored.missing_models == ()
    copied = tmp_path / "two" / "models" / "clip" / "weights.safetensors"
    assert copied.read_bytes() == b"w" * 1000


async def test_a_file_that_is_gone_cannot_be_linked(tmp_path: Path) -> None:
    one, other = LocalBlobStore(tmp_path / "one"), LocalBlobStore(tmp_path / "other")
    assert not await other.link(content_key("0" * 64), one, 0)
    with pytest.raises(BlobNotFound):
        await other.read(content_key("0" * 64))
