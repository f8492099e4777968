"""Short ways to make a backup of a database and a store, and to restore it."""

from pathlib import Path

from opsin.core.backup import Backup, BackupOptions, Manifest, Restore, RestoreOptions
from opsin.core.backup.restore import Restored
from opsin.storage.blobs import BlobStore
from opsin.storage.database import Database

SECRET = b"s" * 64


def untold(_what: str, _done: int, _total: int | None) -> None:
    """Progress that nobody looks at."""


async def save(
    url: str, blobs: BlobStore, folder: Path, options: BackupOptions | None = None
) -> Manifest:
    """A backup; there are models where `models` beside the folder has some."""
    database = Database(url)
    backup = Backup(
        database, url, blobs, models=folder.parent / "models", secret=SECRET, owns_secret=True
    )
    try:
        return await backup.run(folder, options or BackupOptions(), untold)
    finally:
        await database.close()


async def bring_back(
    folder: Path,
    url: str,
    blobs: BlobStore,
    *,
    home: Path,
    secret: bytes | None = None,
    options: RestoreOptions | None = None,
) -> Restored:
    """Restore into a database, a store and the data directory `home`."""
    restore = Restore(
        url, blobs, models=home / "models", secret=secret, secret_file=home / "secret.key"
    )
    return await restore.run(folder, options or RestoreOptions(), untold)
