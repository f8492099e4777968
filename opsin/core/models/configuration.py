"""Which models serve which operations, and how: the plugins' defaults, and the operator's file.

[embed_clip_vit_b_32.encoder]       # an operation or region finder, and a role of its models
repository = "openai/clip-vit-base-patch32"
revision = "c237dc49a33fc61debc9276459120b7eac67e7ef"

[acceleration]                      # of all; [embed_clip_vit_b_32.acceleration] of one
precision = "bfloat16"
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Self, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from opsin.core.contract import Acceleration, Loadable
from opsin.core.errors import ConfigurationError, reason_of
from opsin.core.models.acceleration import (
    ACCELERATION,
    AccelerationEntry,
    Accelerations,
    AccelerationTable,
)
from opsin.core.models.requirements import (
    Download,
    Folder,
    ModelRequirement,
    Origin,
    Repository,
    requirement_problem,
)

Text = Annotated[str, Field(min_length=1)]
UNSTATED_LICENCE = "not stated"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    licence: Text | None = None


class _RepositoryTable(_Table):
    repository: Text
    revision: Text
    files: list[str] | None = Field(default=None, min_length=1)
    sha256: dict[str, str] = Field(default_factory=dict)


class _FolderTable(_Table):
    folder: Text
    files: list[str] = Field(default_factory=list)
    sha256: dict[str, str] = Field(default_factory=dict)


class _UrlTable(_Table):
    url: Text
    file: Text | None = None
    sha256: Text


_AnyTable: TypeAlias = _RepositoryTable | _FolderTable | _UrlTable
_KINDS: Mapping[str, TypeAdapter[Any]] = MappingProxyType(
    {
        "repository": TypeAdapter(_RepositoryTable),
        "folder": TypeAdapter(_FolderTable),
        "url": TypeAdapter(_UrlTable),
    }
)
_ACCELERATION: TypeAdapter[Any] = TypeAdapter(AccelerationTable)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One table; `where` is what messages call it."""

    where: str
    table: _AnyTable
    beside: Path
    """The folder of the file, from which relative paths go."""

    def applied_to(self, default: ModelRequirement) -> ModelRequirement:
        """The requirement that takes the place of a plugin's own."""
        origin = self._origin(default.origin)
        if origin == default.origin:
            return replace(default, licence=self.table.licence or default.licence)
        made = ModelRequirement(
            default.role,
            _name(origin),
            origin,
            self.table.licence or _licence(origin, default),
            accelerates=default.accelerates,
        )
        if problem := requirement_problem(made):
            raise ConfigurationError(f"{self.where}: {problem}")
        return made

    def _origin(self, default: Origin) -> Origin:
        table = self.table
        if isinstance(table, _UrlTable):
            return Download(table.url, table.file or _last_part(table.url), table.sha256.lower())
        own = default.files if isinstance(default, Repository | Folder) else ()
        files = tuple(table.files or own)
        pins = {name: digest.lower() for name, digest in table.sha256.items()}
        if isinstance(table, _FolderTable):
            path = (self.beside / Path(table.folder).expanduser()).absolute()
            return Folder(path, files, pins)
        if not files:
            raise ConfigurationError(f"{self.where}: key 'files' is needed")
        if isinstance(default, Repository) and (default.repository, default.revision) == (
            table.repository,
            table.revision,
        ):
            pins = {n: d for n, d in default.sha256.items() if n in files} | pins
        return Repository(table.repository, table.revision, files, pins)


class ModelConfiguration:
    """What the operator's file says; without one, every plugin has its own way."""

    def __init__(
        self,
        entries: Mapping[tuple[str, str], _Entry] = MappingProxyType({}),
        accelerations: Accelerations | None = None,
    ) -> None:
        self._entries = entries
        self._accelerations = accelerations or Accelerations()

    @classmethod
    def read(cls, file: Path) -> Self:
        """`ConfigurationError` names the table that cannot be used, and its line."""
        try:
            text = file.read_text("utf-8")
            told = tomllib.loads(text)
        except OSError as error:
            raise ConfigurationError(f"OPSIN_MODELS: {file.name}: {reason_of(error)}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"OPSIN_MODELS: {file.name}: {error}") from None
        entries, accelerations = {}, {}
        default = None
        for name, roles in told.items():
            if name == ACCELERATION:
                default = _validated(_where(file.name, text, name), _ACCELERATION, roles)
                continue
            if not isinstance(roles, dict):
                raise ConfigurationError(
                    f"OPSIN_MODELS: {file.name}: {name!r} must be a table [{name}.ROLE]"
                )
            for role, values in roles.items():
                where = _where(file.name, text, name, role)
                if role == ACCELERATION:
                    table = _validated(where, _ACCELERATION, values)
                    accelerations[name] = AccelerationEntry(where, table)
                else:
                    entries[name, role] = _Entry(where, _table(where, values), file.parent)
        return cls(entries, Accelerations(default, accelerations))

    def models_of(self, loadable: Loadable) -> tuple[ModelRequirement, ...]:
        """What the loadable declares, or what the file puts in its place."""
        if not self._entries:
            return loadable.models
        return tuple(
            entry.applied_to(model)
            if (entry := self._entries.get((loadable.name, model.role)))
            else model
            for model in loadable.models
        )

    def acceleration_of(self, loadable: Loadable) -> Acceleration:
        """How the models of an operation, region finder or text embedder are to compute."""
        return self._accelerations.of(loadable)

    def unused(self, loadables: Iterable[Loadable]) -> Sequence[str]:
        """What is wrong with tables that name no operation or finder, or no role of it."""
        loadables = tuple(loadables)
        roles: dict[str, set[str]] = {}
        for loadable in loadables:
            roles.setdefault(loadable.name, set()).update(m.role for m in loadable.models)
        problems = [*self._accelerations.unused(loadables)]
        for (name, role), entry in self._entries.items():
            if name not in roles:
                problems.append(f"{entry.where}: there is no operation or region finder {name!r}")
            elif role not in roles[name]:
                has = ", ".join(sorted(roles[name])) or "none"
                problems.append(f"{entry.where}: {name!r} has no role {role!r}; it has {has}")
        return problems


def _table(where: str, values: Any) -> _AnyTable:
    kinds = [kind for kind in _KINDS if isinstance(values, dict) and kind in values]
    if len(kinds) != 1:
        raise ConfigurationError(f"{where}: exactly one of the keys {', '.join(_KINDS)} is needed")
    table: _AnyTable = _validated(where, _KINDS[kinds[0]], values)
    return table


def _validated(where: str, kind: TypeAdapter[Any], values: Any) -> Any:
    try:
        return kind.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = _PLAIN.get(first["type"], first["msg"])
        if not first["loc"]:
            raise ConfigurationError(f"{where}: must be a table") from None
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{where}: key {key!r}: {reason}") from None


_PLAIN = {"extra_forbidden": "is not known here", "missing": "is needed"}


def _where(file: str, text: str, *names: str) -> str:
    """`OPSIN_MODELS: models.toml line 3, [name.role]`; no line for a table in another notation."""
    quoted = [rf"""\s*["']?{re.escape(name)}["']?\s*""" for name in names]
    header = re.compile(rf"^\s*\[{r'[.]'.join(quoted)}\]", re.M)
    found = header.search(text)
    line = f" line {text.count(chr(10), 0, found.end()) + 1}" if found else ""
    return f"OPSIN_MODELS: {file}{line}, [{'.'.join(names)}]"


def _name(origin: Origin) -> str:
    """Unique and stable: what would bring other files has another name, and another folder."""
    match origin:
        case Repository():
            readable = origin.repository.replace("/", "--")
            told = [origin.repository, origin.revision, *sorted(origin.files)]
        case Folder():
            readable = re.sub(r"[^\w+-]", "-", origin.path.name) or "folder"
            told = [str(origin.path), *sorted(origin.files)]
        case Download():
            return origin.file
        case _:
            raise AssertionError("the operator cannot put weights into a package")
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
    return f"{readable}-{digest[:8]}"


def _licence(origin: Origin, default: ModelRequirement) -> str:
    same = _same_repository(origin, default.origin)
    return default.licence if same else UNSTATED_LICENCE


def _same_repository(one: Origin, other: Origin) -> bool:
    return (
        isinstance(one, Repository)
        and isinstance(other, Repository)
        and one.repository == other.repository
    )


def _last_part(url: str) -> str:
    return unquote(PurePosixPath(urlsplit(url).path).name)
