"""Where a model's files are, what they must be, and what is lacking; without reading them."""

import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from opsin.core.models.files import content_problem
from opsin.core.models.manifest import Manifest
from opsin.core.models.requirements import (
    MANIFEST,
    Bundled,
    Download,
    Folder,
    ModelRequirement,
    Repository,
    format_problem,
    is_weights,
)


class ModelState(StrEnum):
    """Whether a model can be used, and if not, how far it is from that."""

    BUNDLED = "bundled"
    PRESENT = "present"
    MISSING = "missing"
    INCOMPLETE = "incomplete"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file, here or not; `sha256` is the digest it must have, or the beginning of it."""

    name: str
    path: Path
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Lack:
    """Why files cannot be used; `words` go on after "the weights of 'name'"."""

    state: ModelState
    words: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of one model are; no files when it cannot be told which they are."""

    files: tuple[PlacedFile, ...] = ()
    folder: Path | None = None
    lack: Lack | None = None
    commit: str | None = None
    """What the revision was when the files were pulled, if the hub told."""

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(file.path for file in self.files)


NOT_HERE = Lack(ModelState.MISSING, ", which are not here")
IN_PART = Lack(ModelState.INCOMPLETE, ", which are here only in part")


def place_of(requirement: ModelRequirement, directory: Path) -> Place:
    """Looks at names and sizes, and at the headers of files that nobody has checked before."""
    match requirement.origin:
        case Bundled() as origin:
            return _in_package(origin)
        case Download() as origin:
            return _single(origin, directory)
        case Repository() as origin:
            return _kept(origin, directory / requirement.name)
        case Folder() as origin:
            return _given(origin)


def package_folders(package: str) -> list[Path]:
    """Where a package's files are, found without importing it."""
    top, *rest = package.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    locations = (spec.submodule_search_locations if spec else None) or []
    return [folder for location in locations if (folder := Path(location, *rest)).is_dir()]


def _in_package(origin: Bundled) -> Place:
    for folder in package_folders(origin.package):
        files = tuple(PlacedFile(file, folder / file) for file in origin.files)
        if all(file.path.is_file() for file in files):
            return Place(files)
    return Place(lack=Lack(ModelState.MISSING, ", part of a package"))


def _single(origin: Download, directory: Path) -> Place:
    file = PlacedFile(origin.file, directory / origin.file, origin.sha256_prefix.lower())
    if file.path.is_file():
        return Place((file,))
    begun = (directory / f"{origin.file}.part").exists()
    return Place(lack=IN_PART if begun else NOT_HERE)


def _kept(origin: Repository, folder: Path) -> Place:
    manifest = Manifest.read(folder)
    if manifest is None:
        begun = folder.exists() or folder.with_name(f"{folder.name}.part").exists()
        return Place(lack=IN_PART if begun else NOT_HERE)
    if not manifest.is_of(origin):
        other = ", of which another revision is here"
        return Place(lack=Lack(ModelState.MISSING, other))
    if not manifest.has_all(origin):
        return Place(lack=IN_PART)
    records = {name: manifest.files[name] for name in origin.files}
    files = tuple(
        PlacedFile(name, folder / name, origin.sha256.get(name, record.sha256), record.size)
        for name, record in records.items()
    )
    return Place(files, folder, _lack(files), manifest.commit)


def _given(origin: Folder) -> Place:
    if not origin.path.is_dir():
        return Place(lack=Lack(ModelState.MISSING, ", whose folder is not there"))
    names = origin.files or _usable(origin.path)
    files = tuple(PlacedFile(name, origin.path / name, origin.sha256.get(name)) for name in names)
    if not any(is_weights(name) for name in names):
        lack = Lack(ModelState.INCOMPLETE, ", whose folder holds no safetensors file")
        return Place(files, origin.path, lack)
    return Place(files, origin.path, _lack(files) or _not_weights(files))


def _not_weights(files: tuple[PlacedFile, ...]) -> Lack | None:
    for file in files:
        state = file.path.stat()
        if problem := _header_problem(file.path, file.name, state.st_mtime_ns, state.st_size):
            return Lack(ModelState.CORRUPT, f", but {problem}")
    return None


def _lack(files: tuple[PlacedFile, ...]) -> Lack | None:
    gone = [file.name for file in files if not file.path.is_file()]
    if gone:
        return Lack(ModelState.INCOMPLETE, f", of which {', '.join(gone)} is not here")
    for file in files:
        size = file.path.stat().st_size
        if file.size is not None and size != file.size:
            problem = f", but {file.name} has {size} bytes, not {file.size}"
            return Lack(ModelState.CORRUPT, problem)
    return None


def _usable(folder: Path) -> tuple[str, ...]:
    found = sorted(path.name for path in folder.iterdir() if path.is_file())
    return tuple(
        name
        for name in found
        if name != MANIFEST and not name.startswith(".") and format_problem(name) is None
    )


@lru_cache(maxsize=256)  # asked for with each list of operations
def _header_problem(path: Path, name: str, *_state: int) -> str | None:
    return content_problem(path, name)
