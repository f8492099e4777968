"""The models of one server: which serve what, whether they are here, and how to get them."""

import importlib.util
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from opsin.core.contract import Acceleration, Loadable, LoadContext
from opsin.core.errors import (
    ConfigurationError,
    InvalidInput,
    OperationUnavailable,
    StorageError,
    reason_of,
)
from opsin.core.models.configuration import ModelConfiguration
from opsin.core.models.downloads import DownloadKeeper
from opsin.core.models.files import (
    FileCheck,
    Fingerprints,
    Progress,
    check_file,
    digest_problem,
    folder_digest,
    silent,
)
from opsin.core.models.folders import FolderKeeper
from opsin.core.models.hub import Hub
from opsin.core.models.places import Lack, ModelState, Place, package_folders, place_of
from opsin.core.models.requirements import (
    FINGERPRINTS,
    Bundled,
    Download,
    Folder,
    LocatedModel,
    ModelRequirement,
    Repository,
)

UNREADABLE = Lack(ModelState.MISSING, ", which cannot be read")


class ModelStore:
    """Finds weights in `directory`, in packages and in folders; writes only in `directory`.

    A requirement is what a plugin declares; `models_of` says what it is here, by configuration.
    All the other methods take requirements as they are here.  What `runs_elsewhere` needs its
    weights here, by which its results are known, but no package.
    """

    def __init__(
        self,
        directory: Path,
        *,
        offline: bool = False,
        configuration: ModelConfiguration | None = None,
        hub: Hub | None = None,
        runs_elsewhere: Callable[[Loadable], bool] = lambda loadable: False,
    ) -> None:
        self.directory = directory
        self.offline = offline
        self.configuration = configuration or ModelConfiguration()
        self._fingerprints = Fingerprints(directory / FINGERPRINTS)
        self._downloads = DownloadKeeper(directory)
        self._folders = FolderKeeper(directory, hub or Hub(), self._fingerprints)
        self._importable: set[str] = set()
        self._runs_elsewhere = runs_elsewhere

    def models_of(self, loadable: Loadable) -> tuple[ModelRequirement, ...]:
        """The weights that an operation or a region finder needs on this server."""
        return self.configuration.models_of(loadable)

    def acceleration_of(self, loadable: Loadable) -> Acceleration:
        """How it computes on this server: what its numbers depend on beside its models."""
        return self.configuration.acceleration_of(loadable)

    def locate(self, requirement: ModelRequirement) -> LocatedModel:
        """The weights and their fingerprint; `OperationUnavailable` says how to get them.

        The first call after a change of the files reads them whole.
        """
        place = self.place(requirement)
        lack = self.lack(place, read=True)
        try:
            fingerprint = "" if lack else self._fingerprint(place)
        except OSError:
            lack = UNREADABLE
        if lack is not None:
            raise OperationUnavailable(self._reason(requirement, lack))
        return LocatedModel(requirement, place.paths, fingerprint, place.folder)

    def missing(self, loadable: Loadable) -> str | None:
        """Why it cannot be loaded and what to do; None when it can.  Nothing is imported."""
        packages: list[str] = []
        if not self._runs_elsewhere(loadable):  # or they are needed there
            packages = [name for name in loadable.requires if not self._can_import(name)]
        if packages:
            if loadable.extra is None:
                return f"needs {', '.join(packages)}: pip install {' '.join(packages)}"
            extra = loadable.extra.partition("[")[2].rstrip("]")
            what = f"the {extra!r} extra" if extra else ", ".join(packages)
            return f"needs {what}: pip install {shlex.quote(loadable.extra)}"
        for requirement in self.models_of(loadable):
            if reason := self.reason(requirement):
                return reason
        return None

    def reason(self, requirement: ModelRequirement) -> str | None:
        """Why the weights cannot be used and what to do, as far as is known without reading them.

        Begins with "needs the weights of".
        """
        lack = self.lack(self.place(requirement), read=False)
        return self._reason(requirement, lack) if lack else None

    def known_fingerprint(self, requirement: ModelRequirement) -> str | None:
        """The fingerprint of weights that can be used, if no file must be read for it."""
        place = self.place(requirement)
        if self.lack(place, read=False):
            return None
        try:
            if place.folder is None:
                return self._fingerprints.known(place.paths)
            known = [(file.name, self._fingerprints.known([file.path])) for file in place.files]
        except OSError:
            return None
        digests = [(name, digest) for name, digest in known if digest]
        return folder_digest(digests) if len(digests) == len(known) else None

    def context(self, loadable: Loadable, device: str) -> LoadContext:
        """What `load` gets; `OperationUnavailable` when something is missing."""
        reason = self.missing(loadable)
        if reason is not None:
            raise OperationUnavailable(f"{loadable.name} {reason}")
        models = self.models_of(loadable)
        located = {model.role: self.locate(model) for model in models}
        return LoadContext(device, located, self.acceleration_of(loadable))

    def pull(self, requirement: ModelRequirement, progress: Progress = silent) -> LocatedModel:
        """Download the weights if they are not here; goes on from where a broken one stopped."""
        try:
            return self.locate(requirement)
        except OperationUnavailable:
            if isinstance(requirement.origin, Bundled | Folder):
                raise
        if self.offline:
            raise ConfigurationError(
                f"this server is offline and downloads nothing; {self._remedy(requirement)}"
            )
        with _writing(requirement.name):
            if isinstance(requirement.origin, Download):
                self._downloads.pull(requirement, requirement.origin, progress)
            elif isinstance(requirement.origin, Repository):
                self._folders.pull(requirement, requirement.origin, progress)
        return self.locate(requirement)

    def install(self, requirement: ModelRequirement, source: Path) -> LocatedModel:
        """Take a file or folder that was carried here, once its files are right."""
        with _writing(requirement.name):
            if isinstance(requirement.origin, Download):
                self._downloads.install(requirement, requirement.origin, source)
            elif isinstance(requirement.origin, Repository):
                self._folders.install(requirement, requirement.origin, source)
            else:
                raise InvalidInput(_not_ours(requirement))
        return self.locate(requirement)

    def verify(self, requirement: ModelRequirement) -> tuple[FileCheck, ...]:
        """Read every file again; `OperationUnavailable` when there is nothing to read."""
        place = self.place(requirement)
        if not place.files:
            assert place.lack is not None  # there would be files
            raise OperationUnavailable(self._reason(requirement, place.lack))
        checks = tuple(check_file(file.name, file.path, file.sha256) for file in place.files)
        self._fingerprints.remember(
            [(f.path, c.sha256) for f, c in zip(place.files, checks, strict=True) if c.sha256]
        )
        return checks

    def remove(self, requirement: ModelRequirement) -> None:
        """Delete the weights from the models folder, with what unfinished pulls have left."""
        with _writing(requirement.name):
            if isinstance(requirement.origin, Download):
                self._downloads.remove(requirement.origin)
            elif isinstance(requirement.origin, Repository):
                self._folders.remove(requirement.name)
            else:
                raise InvalidInput(_not_ours(requirement))

    def remove_folder(self, name: str) -> None:
        """Delete a model folder that no requirement names any more."""
        with _writing(name):
            self._folders.remove(name)

    def place(self, requirement: ModelRequirement) -> Place:
        """Where the files are or belong."""
        try:
            return place_of(requirement, self.directory)
        except OSError:
            return Place(lack=UNREADABLE)

    def lack(self, place: Place, *, read: bool) -> Lack | None:
        """Why the files there cannot be used; with `read`, digests not known yet are computed."""
        if place.lack is not None:
            return place.lack
        hashed = self._fingerprints.of if read else self._fingerprints.known
        try:
            for file in place.files:
                digest = hashed([file.path]) if file.sha256 else None
                if digest and (wrong := digest_problem(file.name, digest, file.sha256 or "")):
                    return Lack(ModelState.CORRUPT, f", but {wrong}")
        except OSError:
            return UNREADABLE
        return None

    def _fingerprint(self, place: Place) -> str:
        if place.folder is None:
            return self._fingerprints.of(place.paths)
        return folder_digest([(f.name, self._fingerprints.of([f.path])) for f in place.files])

    def _reason(self, requirement: ModelRequirement, lack: Lack) -> str:
        name = requirement.name
        return f"needs the weights of {name!r}{lack.words}: {self._remedy(requirement)}"

    def _remedy(self, requirement: ModelRequirement) -> str:
        name = shlex.quote(requirement.name)
        if requirement.remedy is not None:
            return requirement.remedy
        match requirement.origin:
            case Bundled(package=package):
                again = "--force-reinstall " if package_folders(package) else ""
                return f"pip install {again}{package.partition('.')[0].replace('_', '-')}"
            case Folder():
                return "put them there, or change OPSIN_MODELS"
            case Download() if self.offline:
                return f"carry the file here, then: opsin models import {name} FILE"
            case Repository() if self.offline:
                return f"carry the folder here, then: opsin models import {name} FOLDER"
            case _:
                return f"opsin models pull {name}"

    def _can_import(self, package: str) -> bool:
        # Only the good answer is remembered: a package may be installed while the server runs.
        if package not in self._importable and _is_importable(package):
            self._importable.add(package)
        return package in self._importable


@contextmanager
def _writing(model: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the weights of {model!r} cannot be written: {reason_of(error)}"
        ) from error


def _not_ours(requirement: ModelRequirement) -> str:
    where = "a package" if isinstance(requirement.origin, Bundled) else "a folder of your own"
    return f"the weights of {requirement.name!r} come with {where}"


def _is_importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # a parent that is missing, or a module without a spec
        return False
