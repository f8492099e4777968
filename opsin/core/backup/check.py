"""Reads a whole backup and tells whether every part of it is as it was written."""

from contextlib import aclosing
from pathlib import Path

from opsin.core.backup.blob_copies import not_readable, read_blob_list
from opsin.core.backup.file_copies import Progress
from opsin.core.backup.lines import read_lines
from opsin.core.backup.manifest import (
    BLOB_LIST,
    BLOBS,
    MODELS,
    SECRET,
    Manifest,
    fingerprint_of,
    open_manifest,
)
from opsin.core.errors import InvalidInput
from opsin.storage.blobs.local import LocalBlobStore


async def check_backup(folder: Path, progress: Progress) -> Manifest:
    """The manifest of a backup of which nothing is missing or changed; else InvalidInput."""
    manifest = open_manifest(folder)
    await check_rows(folder, manifest, progress)
    if manifest.blobs.copied:
        missing = await damaged_blobs(folder, manifest, progress)
        if new := sorted(set(missing) - set(manifest.blobs.missing)):
            raise InvalidInput(
                f"the backup is damaged: {len(new)} files of it are not as they were written, "
                f"the first is {new[0]}"
            )
    check_secret(folder, manifest)
    if manifest.models.copied:
        for file in manifest.models.files:
            path = folder / MODELS / file.path
            if not path.is_file() or path.stat().st_size != file.bytes:
                raise InvalidInput(f"the backup is damaged: the model file {file.path}")
    return manifest


async def check_rows(folder: Path, manifest: Manifest, progress: Progress) -> None:
    """Raises InvalidInput unless the files of rows are as they were written."""
    for table in manifest.tables:
        async with aclosing(read_lines(folder / table.path, table.rows)) as groups:
            count = 0
            async for lines in groups:
                count += len(lines)
                progress(f"checking {table.name}", count, table.rows.lines)


async def damaged_blobs(folder: Path, manifest: Manifest, progress: Progress) -> list[str]:
    """The digests of copied files that are not in the backup, or are other bytes."""
    listed, count = manifest.blobs.listed, 0

    def done(_size: int) -> None:
        nonlocal count
        count += 1
        progress("checking files", count, listed.lines)

    wanted = read_blob_list(folder / BLOB_LIST, listed)
    return await not_readable(wanted, LocalBlobStore(folder / BLOBS), whole=True, done=done)


def check_secret(folder: Path, manifest: Manifest) -> bytes | None:
    """The secret key in the backup; None where there is none.  Raises InvalidInput."""
    if not manifest.secret.included:
        return None
    path = folder / SECRET
    secret = path.read_bytes().strip() if path.is_file() else b""
    if fingerprint_of(secret) != manifest.secret.fingerprint:
        raise InvalidInput(f"the backup is damaged: {SECRET}")
    return secret
