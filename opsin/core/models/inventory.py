"""Every model that the operations, finders and embedders of a server need, and what is left."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from opsin.core.contract import Loadable
from opsin.core.errors import ConfigurationError, NotFound, OperationUnavailable
from opsin.core.models.manifest import Manifest
from opsin.core.models.places import ModelState
from opsin.core.models.requirements import (
    Bundled,
    Download,
    Folder,
    ModelRequirement,
    Origin,
    Repository,
)
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Who needs a model, and as what."""

    loadable: str
    role: str


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What the operator is shown of a model; `origin` may be an address or a path."""

    name: str
    uses: tuple[ModelUse, ...]
    kind: str
    """bundled, download, repository or folder"""
    origin: str
    revision: str | None
    commit: str | None
    """What the revision was when the model was pulled, if the hub told."""
    licence: str
    size_bytes: int | None
    """Of the files that are here, or what the plugin says that they will be."""
    state: ModelState
    reason: str | None
    """What is wrong and what to do; None when the model can be used."""
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Leftover:
    """A folder of a model that no operation needs any more."""

    name: str
    size_bytes: int


@dataclass(slots=True)
class _Wanted:
    requirement: ModelRequirement
    uses: list[ModelUse] = field(default_factory=list)


class ModelInventory:
    """The models of one server by name.

    `ConfigurationError` when two different models have one name, or would overwrite each other.
    """

    def __init__(self, store: ModelStore, host: PluginHost) -> None:
        self._store = store
        self._wanted: dict[str, _Wanted] = {}
        owners: dict[str, tuple[object, str]] = {}
        self._loadables = tuple(loadables_of(host))
        for loadable in self._loadables:
            for requirement in store.models_of(loadable):
                use = ModelUse(loadable.name, requirement.role)
                content = _content(requirement.origin)
                for entry in _entries(requirement):
                    known, owner = owners.setdefault(entry.casefold(), (content, _words(use)))
                    if known != content:
                        raise ConfigurationError(
                            f"two different models are called {entry!r}: "
                            f"that of {owner} and that of {_words(use)}"
                        )
                wanted = self._wanted.setdefault(requirement.name, _Wanted(requirement))
                if use not in wanted.uses:  # a text embedder may have its operation's name
                    wanted.uses.append(use)

    def check(self, *, strict: bool) -> None:
        """Tables of the configuration that serve nothing: `ConfigurationError`, or a warning."""
        for problem in self._store.configuration.unused(self._loadables):
            if strict:
                raise ConfigurationError(problem)
            logger.warning("%s", problem)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._wanted)

    def requirement(self, name: str) -> ModelRequirement:
        """The model of that name; `NotFound` tells the names that there are."""
        if name not in self._wanted:
            names = ", ".join(self._wanted) or "none"
            raise NotFound(f"no operation needs a model {name!r}; models: {names}")
        return self._wanted[name].requirement

    def models(self, *, read: bool = True) -> list[ModelDescription]:
        """All of them; with `read`, files that were never read before are, for their fingerprint.

        Without, it takes no longer than looking at a few files: a server may ask at any time.
        """
        return [self._described(wanted, read=read) for wanted in self._wanted.values()]

    def leftovers(self) -> list[Leftover]:
        """Folders that came by `pull` or `import` and that nothing needs any more."""
        return [
            Leftover(name, sum(_size(folder) for folder in folders))
            for name, folders in sorted(self._unneeded().items())
        ]

    def remove(self, name: str) -> None:
        """Delete a model's files, or a leftover; `NotFound` when it is neither."""
        if name in self._unneeded():
            self._store.remove_folder(name)
        else:
            self._store.remove(self.requirement(name))

    def _described(self, wanted: _Wanted, *, read: bool) -> ModelDescription:
        requirement = wanted.requirement
        origin = requirement.origin
        reason = self._store.reason(requirement)
        try:
            if read:
                self._store.locate(requirement)
        except OperationUnavailable as error:
            reason = error.message
        place = self._store.place(requirement)
        lack = self._store.lack(place, read=read)
        usable = ModelState.BUNDLED if isinstance(origin, Bundled) else ModelState.PRESENT
        sizes = [path.stat().st_size for path in place.paths if path.is_file()]
        return ModelDescription(
            name=requirement.name,
            uses=tuple(wanted.uses),
            kind=type(origin).__name__.lower(),
            origin=origin_text(origin),
            revision=origin.revision if isinstance(origin, Repository) else None,
            commit=place.commit,
            licence=requirement.licence,
            size_bytes=requirement.size_bytes if lack or not sizes else sum(sizes),
            state=lack.state if lack else usable,
            reason=reason,
            fingerprint=self._store.known_fingerprint(requirement),
        )

    def _unneeded(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        directory = self._store.directory
        for folder in sorted(directory.iterdir()) if directory.is_dir() else ():
            name = folder.name
            for suffix in (".part", ".old", ".install"):
                name = name.removesuffix(suffix)
            ours = Manifest.read(folder) is not None or name != folder.name
            if folder.is_dir() and ours and name not in self._wanted:
                found.setdefault(name, []).append(folder)
        return found


def loadables_of(host: PluginHost) -> Iterator[Loadable]:
    """Everything of a server that may need a model."""
    yield from (registered.operation for registered in host.operations.values())
    yield from (registered.finder for registered in host.finders.values())
    yield from (registered.embedder for registered in host.text_embedders.values())


def origin_text(origin: Origin) -> str:
    """Where the files come from, for the operator."""
    match origin:
        case Bundled():
            return f"package {origin.package}"
        case Download():
            return origin.url
        case Repository():
            return f"{origin.repository}@{origin.revision}"
        case Folder():
            return str(origin.path)


def _content(origin: Origin) -> object:
    """What two requirements of one name must agree in: which files they are."""
    match origin:
        case Download():
            return origin.sha256_prefix.lower()
        case Repository():
            return origin.repository, origin.revision, frozenset(origin.files)
        case Folder():
            return origin.path, frozenset(origin.files)
        case Bundled():
            return origin


def _entries(requirement: ModelRequirement) -> set[str]:
    """The names that a model takes up: its own, and that of its file in the models folder."""
    if isinstance(requirement.origin, Download):
        return {requirement.name, requirement.origin.file}
    return {requirement.name}


def _words(use: ModelUse) -> str:
    return f"{use.loadable} as {use.role!r}"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
