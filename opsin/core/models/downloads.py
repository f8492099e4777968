"""Models of one file with an address of its own: pulled, or carried here; held to their sha256."""

import contextlib
import shutil
from pathlib import Path

from opsin.core.errors import FetchFailed, InvalidInput
from opsin.core.models.files import Progress, digest_problem, exclusive, sha256_of
from opsin.core.models.http_source import fetch
from opsin.core.models.requirements import Download, ModelRequirement


class DownloadKeeper:
    """Writes the single files in `directory`; one process at a time for each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def pull(self, requirement: ModelRequirement, origin: Download, progress: Progress) -> None:
        """Download the file.  `FetchFailed` keeps what has arrived, unless it is the wrong file."""
        part = self._file(origin, ".part")
        self._directory.mkdir(parents=True, exist_ok=True)
        with exclusive(self._file(origin, ".lock")):
            wrong = fetch(
                origin.url,
                part,
                requirement.name,
                progress,
                lambda: _mismatch(origin, part),
            )
            if wrong is not None:
                raise FetchFailed(_refusal(requirement, wrong))
            part.replace(self._file(origin))

    def install(self, requirement: ModelRequirement, origin: Download, source: Path) -> None:
        """Copy a carried file, once its hash is right; of a folder the file of that name."""
        if source.is_dir():
            source /= origin.file
        if not source.is_file():
            raise InvalidInput("there is no such file")
        copy = self._file(origin, ".install")
        self._directory.mkdir(parents=True, exist_ok=True)
        with exclusive(self._file(origin, ".lock")):
            try:
                # The copy is what gets checked: the original may be on a medium that fails.
                shutil.copyfile(source, copy)
                wrong = _mismatch(origin, copy)
                if wrong is not None:
                    raise InvalidInput(_refusal(requirement, wrong))
                copy.replace(self._file(origin))
            finally:
                with contextlib.suppress(OSError):  # it has its name by now, or was never made
                    copy.unlink()

    def remove(self, origin: Download) -> None:
        """Delete the file, and what an unfinished pull has left of it."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with exclusive(self._file(origin, ".lock")):
            for suffix in ("", ".part", ".install"):
                self._file(origin, suffix).unlink(missing_ok=True)

    def _file(self, origin: Download, suffix: str = "") -> Path:
        return self._directory / f"{origin.file}{suffix}"


def _mismatch(origin: Download, path: Path) -> str | None:
    return digest_problem(origin.file, sha256_of([path]), origin.sha256_prefix.lower())


def _refusal(requirement: ModelRequirement, wrong: str) -> str:
    return f"these are not the weights of {requirement.name!r}: {wrong}; nothing was kept"
