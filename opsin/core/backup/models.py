"""The folder of models: listed, and copied on demand."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from opsin.core.backup.manifest import SavedModel
from opsin.core.errors import InvalidInput, StorageError


def list_models(folder: Path) -> tuple[SavedModel, ...]:
    """The files below the folder, by path; downloads that are not finished are none."""
    return tuple(
        SavedModel(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size)
        for path in sorted(_files(folder))
    )


def copy_models(source: Path, target: Path, files: tuple[SavedModel, ...]) -> int:
    """Copy the files that are not there with their size already; gives how many.

    Each has its name only once it is whole.  Raises StorageError where a disk fails, InvalidInput
    for a path that leaves the folder.
    """
    copied = 0
    for file in files:
        if Path(file.path).is_absolute() or ".." in Path(file.path).parts:
            raise InvalidInput("the backup is damaged: a model's path leaves its folder")
        path = target / file.path
        if path.is_file() and path.stat().st_size == file.bytes:
            continue
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file.path, part)
            part.replace(path)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StorageError(f"the model file {file.path} cannot be copied: {reason}") from error
        finally:
            part.unlink(missing_ok=True)
        copied += 1
    return copied


def missing_models(folder: Path, files: tuple[SavedModel, ...]) -> list[str]:
    """The paths of those that are not in the folder."""
    return [file.path for file in files if not (folder / file.path).is_file()]


# What downloads that were cut off, and those under way, leave beside the models.
_UNFINISHED = (".part", ".install", ".old", ".lock")


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if path.is_file() and not any(part.endswith(_UNFINISHED) for part in inside):
            yield path
