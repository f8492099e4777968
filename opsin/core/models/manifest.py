"""What a kept model folder says of itself: its revision, and the size and sha256 of every file."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Self

from opsin.core.models.requirements import MANIFEST, Repository


class Checked(StrEnum):
    """What a file was held against when it came."""

    PIN = "pin"
    """The sha256 that the requirement states."""
    HUB = "hub"
    """The sha256 that the hub states."""
    MANIFEST = "manifest"
    """The sha256 in the manifest that was carried here with the file."""
    SIZE = "size"
    """The size that the hub states; it knows no sha256 of small files."""
    NOTHING = "nothing"
    """Nobody has said what it must be: it was carried here, or its hub states no size."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file as it was when it was checked; `size` in bytes."""

    size: int
    sha256: str
    checked: Checked


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of one revision; in an unfinished folder, those that are here already.

    `commit` is what the revision was when the folder was made, where the hub has told.
    """

    repository: str
    revision: str
    commit: str | None = None
    files: Mapping[str, FileRecord] = field(default_factory=dict)

    @classmethod
    def of(cls, origin: Repository) -> Self:
        return cls(origin.repository, origin.revision)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The folder's manifest; None when there is none that can be read."""
        path = folder / MANIFEST
        try:
            state = path.stat()
            return cls._parsed(path, state.st_mtime_ns, state.st_size, state.st_ino)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    @classmethod
    @lru_cache(maxsize=64)  # asked for with each list of operations
    def _parsed(cls, path: Path, *_state: int) -> Self:
        told = json.loads(path.read_text("utf-8"))
        commit = told["commit"]
        files = {
            str(name): FileRecord(int(one["size"]), str(one["sha256"]), Checked(one["checked"]))
            for name, one in told["files"].items()
        }
        return cls(
            str(told["repository"]),
            str(told["revision"]),
            None if commit is None else str(commit),
            files,
        )

    def write(self, folder: Path) -> None:
        """Replace the folder's manifest in one step."""
        path = folder / MANIFEST
        temporary = path.with_name(f".{MANIFEST}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(asdict(self), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)

    def is_of(self, origin: Repository) -> bool:
        """Whether these are files of that revision."""
        return self.repository == origin.repository and origin.revision in (
            self.revision,
            self.commit,
        )

    def has_all(self, origin: Repository) -> bool:
        return self.files.keys() >= set(origin.files)
