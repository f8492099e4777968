"""The weights that plugins ask for: their origins, what may be among them, and where they are.

`opsin.core.contract` hands these on to plugin authors.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from opsin.core.errors import ConfigurationError

MANIFEST = "opsin-model.json"
"""The file that a kept folder is described by, beside its files."""
FINGERPRINTS = "fingerprints.json"
"""The file in the models folder that remembers digests."""

_PLAIN_NAME = re.compile(r"[\w+-][\w.+-]*")
_RESERVED_ENDINGS = (".part", ".install", ".old", ".lock")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_SHA256_PREFIX = re.compile(r"[0-9a-f]{8,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATA_FORMATS = frozenset(
    {".json", ".jsonl", ".txt", ".model", ".tiktoken", ".jinja", ".yaml", ".yml", ".csv", ".md"}
)
"""What may stand beside safetensors: read as data, whatever is in it."""


@dataclass(frozen=True, slots=True)
class Bundled:
    """Weights that come inside an installed package."""

    package: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Download:
    """One weights file with a public address and the (start of the) sha256 it must have."""

    url: str
    file: str
    sha256_prefix: str


@dataclass(frozen=True, slots=True)
class Repository:
    """Files of one revision of a model repository, in the layout of the Hugging Face hub.

    `repository` is `owner/name`; `revision` a commit (which never changes), a tag or a branch.
    Weights must be safetensors.  `sha256` pins files to their digests, by file.
    """

    repository: str
    revision: str
    files: tuple[str, ...]
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on this machine in the layout of a repository; read where it is, never written.

    Without `files`, all that are safetensors or data.
    """

    path: Path
    files: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)


Origin: TypeAlias = Bundled | Download | Repository | Folder


@dataclass(frozen=True, slots=True)
class ModelRequirement:
    """Weights that an operation needs before it can be loaded."""

    role: str
    name: str
    origin: Origin
    licence: str
    size_bytes: int | None = None
    remedy: str | None = None
    """What to do where they are missing, when pulling them is not all: to convert them first."""
    accelerates: bool = True
    """False for one that is always plain float32, also where its operation accelerates."""


@dataclass(frozen=True, slots=True)
class LocatedModel:
    """Weights on this machine, as the requirement that was resolved names them.

    `paths` are the files in the requirement's order.  `folder` holds them under their own names
    (`config.json`, `model.safetensors`) when they come from a repository or a folder.
    """

    requirement: ModelRequirement
    paths: tuple[Path, ...]
    fingerprint: str
    folder: Path | None = None

    @property
    def weights(self) -> tuple[Path, ...]:
        """The safetensors among the files, and their index where there is one."""
        endings = (".safetensors", ".safetensors.index.json")
        return tuple(path for path in self.paths if path.name.endswith(endings))

    def file(self, name: str) -> Path:
        """The file of that name; ConfigurationError when it is not among those asked for."""
        for path in self.paths:
            if path.name == name:
                return path
        raise ConfigurationError(f"{self.requirement.name!r} has no {name} among its files")


def requirement_problem(requirement: ModelRequirement) -> str | None:
    """What is wrong with a requirement that a plugin or the operator wrote; None when nothing is.

    Types are checked too: nothing else has looked at what a plugin hands over.
    """
    problem = origin_problem(requirement.origin)
    # Its name is that of a folder: a path in it could write anywhere.
    if problem is None and not is_plain_name(requirement.name):
        return "`name` must be a plain name: letters, digits and _ . + -"
    return problem


def origin_problem(origin: Any) -> str | None:
    """What is wrong with an origin; None when nothing is."""
    path: Any = getattr(origin, "path", None)
    files: Any = getattr(origin, "files", None)
    match origin:
        case Bundled():
            if not origin.package or not isinstance(files, tuple) or not files:
                return "Bundled needs a package and a tuple of files"
        case Download():
            # The file lands in the models folder: a path in its name could write anywhere.
            if not is_plain_name(origin.file):
                return "`file` must be a plain file name"
            if not _SHA256_PREFIX.fullmatch(origin.sha256_prefix):
                return "`sha256_prefix` must be 8 to 64 hex digits"
        case Repository():
            if not _REPOSITORY.fullmatch(origin.repository):
                return "`repository` must be owner/name"
            if not _is_text(origin.revision):
                return "`revision` must be a commit, tag or branch"
            if not files:
                return "`files` must name the files to fetch"
            return _files_problem(files) or _pins_problem(files, origin.sha256)
        case Folder():
            if not isinstance(path, Path) or not path.is_absolute():
                return "`path` must be an absolute Path"
            return _files_problem(files) or _pins_problem(files, origin.sha256)
        case _:
            return "`origin` must be Bundled, Download, Repository or Folder"
    return None


def is_plain_name(name: Any) -> bool:
    """Whether it can name something in the models folder: no path, and none of our own names."""
    return (
        isinstance(name, str)
        and _PLAIN_NAME.fullmatch(name) is not None
        and name != FINGERPRINTS
        and not name.endswith(_RESERVED_ENDINGS)
    )


def is_weights(file: str) -> bool:
    return file.endswith(".safetensors")


def format_problem(file: str) -> str | None:
    """Why a file of that name is not taken from a repository or folder."""
    path = PurePosixPath(file)
    if is_weights(file) or path.suffix in _DATA_FORMATS:
        return None
    if path.name.partition(".")[0] in {"LICENSE", "NOTICE"}:
        return None
    return (
        f"{file!r} cannot be used: weights must be .safetensors (other formats can run code when "
        f"they are read), what stands beside them one of {' '.join(sorted(_DATA_FORMATS))}"
    )


def _files_problem(files: Any) -> str | None:
    if not isinstance(files, tuple) or not all(_is_text(file) for file in files):
        return "`files` must be a tuple of file names"
    if len({file.casefold() for file in files}) != len(files):
        return "`files` names a file twice"
    for file in files:
        parts = file.split("/")
        if not all(_PLAIN_NAME.fullmatch(part) for part in parts) or parts[0] == MANIFEST:
            return f"{file!r} in `files` is not a plain relative path"
        if problem := format_problem(file):
            return problem
    return None


def _pins_problem(files: Sequence[str], pins: Any) -> str | None:
    if not isinstance(pins, Mapping):
        return "`sha256` must give digests by file"
    for file, digest in pins.items():
        if files and file not in files:
            return f"`sha256` names {file!r}, which is not one of the files"
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            return f"the sha256 of {file!r} must be 64 hex digits in lower case"
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
