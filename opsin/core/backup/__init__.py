"""Backups: every row, event and file of an installation in one folder, and back from it."""

from opsin.core.backup.backup import Backup, BackupOptions
from opsin.core.backup.check import check_backup
from opsin.core.backup.manifest import Manifest, open_manifest
from opsin.core.backup.restore import Restore, RestoreOptions

__all__ = [
    "Backup",
    "BackupOptions",
    "Manifest",
    "Restore",
    "RestoreOptions",
    "check_backup",
    "open_manifest",
]
