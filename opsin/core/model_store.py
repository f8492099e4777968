"""Where weights live: finds them, says what is missing and how to get it, downloads, installs."""

import contextlib
import importlib.util
import shlex
import shutil
from pathlib import Path

from opsin.core.contract import (
    Bundled,
    Download,
    Loadable,
    LoadContext,
    LocatedModel,
    ModelRequirement,
)
from opsin.core.errors import (
    ConfigurationError,
    FetchFailed,
    InvalidInput,
    OperationUnavailable,
    StorageError,
)
from opsin.core.model_files import Fingerprints, Progress, download, exclusive, sha256_of, silent


class ModelStore:
    """The models of one server: downloads in `directory`, bundled ones in their packages."""

    def __init__(self, directory: Path, *, offline: bool = False) -> None:
        self.directory = directory
        self.offline = offline
        self._fingerprints = Fingerprints(directory / "fingerprints.json")
        self._importable: set[str] = set()

    def locate(self, requirement: ModelRequirement) -> LocatedModel:
        """The weights and their fingerprint; `OperationUnavailable` says how to get them.

        The first call after a change of the files reads them whole.
        """
        reason = self._absent(requirement)
        if reason is None:
            paths = self._paths(requirement)
            fingerprint = self._fingerprints.of(paths)
            reason = self._wrong(requirement, fingerprint)
        if reason is not None:
            raise OperationUnavailable(reason)
        return LocatedModel(requirement, paths, fingerprint)

    def missing(self, loadable: Loadable) -> str | None:
        """Why it cannot be loaded and what to do; None when it can.  Nothing is imported."""
        packages = [name for name in loadable.requires if not self._can_import(name)]
        if packages:
            if loadable.extra is None:
                return f"needs {', '.join(packages)}: pip install {' '.join(packages)}"
            extra = loadable.extra.partition("[")[2].rstrip("]")
            what = f"the {extra!r} extra" if extra else ", ".join(packages)
            return f"needs {what}: pip install {shlex.quote(loadable.extra)}"
        for requirement in loadable.models:
            reason = self._absent(requirement)
            if reason is None:
                known = self._fingerprints.known(self._paths(requirement))
                reason = self._wrong(requirement, known) if known else None
            if reason is not None:
                return reason
        return None

    def context(self, loadable: Loadable, device: str) -> LoadContext:
        """What `load` gets; `OperationUnavailable` when something is missing."""
        reason = self.missing(loadable)
        if reason is not None:
            raise OperationUnavailable(f"{loadable.name} {reason}")
        return LoadContext(device, {model.role: self.locate(model) for model in loadable.models})

    def pull(self, requirement: ModelRequirement, progress: Progress = silent) -> LocatedModel:
        """Download the weights if they are not here; goes on from where a broken one stopped."""
        origin = requirement.origin
        if isinstance(origin, Bundled):
            return self.locate(requirement)
        try:
            return self.locate(requirement)
        except OperationUnavailable:
            pass  # not here, or not the right file: fetch it
        if self.offline:
            raise ConfigurationError(
                f"this server is offline and downloads nothing; {self._carry(requirement)}"
            )
        part = self._file(origin, ".part")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            resumed = True
            while resumed:  # at most twice: a beginning that does not fit is thrown away once
                with exclusive(part) as stream:
                    resumed = download(origin.url, stream, requirement.name, progress)
                digest = sha256_of([part])
                if self._wrong(requirement, digest) is None:
                    part.replace(self._file(origin))
                    return self.locate(requirement)
                part.unlink()
        except OSError as error:
            raise self._unwritable(requirement, error) from error
        raise FetchFailed(self._not_kept(requirement, digest))

    def install(self, requirement: ModelRequirement, file: Path) -> LocatedModel:
        """Take a weights file that was carried here, once its hash is right."""
        origin = requirement.origin
        if isinstance(origin, Bundled):
            raise InvalidInput(f"the weights of {requirement.name!r} come with a package")
        if not file.is_file():
            raise InvalidInput("there is no such file")
        # The copy is what gets checked: the original may be on a medium that changes or fails.
        copy = self._file(origin, ".install")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            digest = sha256_of([copy])
            if self._wrong(requirement, digest) is not None:
                raise InvalidInput(self._not_kept(requirement, digest))
            copy.replace(self._file(origin))
        except OSError as error:
            raise self._unwritable(requirement, error) from error
        finally:
            with contextlib.suppress(OSError):  # it has its name by now, or was never made
                copy.unlink()
        return self.locate(requirement)

    def _file(self, origin: Download, suffix: str = "") -> Path:
        return self.directory / f"{origin.file}{suffix}"

    def _paths(self, requirement: ModelRequirement) -> tuple[Path, ...]:
        origin = requirement.origin
        if isinstance(origin, Download):
            return (self._file(origin),)
        folders = _package_folders(origin.package)
        for folder in folders:
            paths = tuple(folder / file for file in origin.files)
            if all(path.is_file() for path in paths):
                return paths
        return ()

    def _absent(self, requirement: ModelRequirement) -> str | None:
        """Why the files are not all here."""
        origin, name = requirement.origin, requirement.name
        paths = self._paths(requirement)
        if paths and all(path.is_file() for path in paths):
            return None
        if isinstance(origin, Download):
            return f"needs the weights of {name!r}, which are not here: {self._get(requirement)}"
        package = origin.package.partition(".")[0].replace("_", "-")
        again = "--force-reinstall " if _package_folders(origin.package) else ""
        return f"needs the weights of {name!r}, part of a package: pip install {again}{package}"

    def _wrong(self, requirement: ModelRequirement, digest: str) -> str | None:
        """Why files that are here are not the right ones."""
        origin = requirement.origin
        if isinstance(origin, Bundled) or digest.startswith(origin.sha256_prefix.lower()):
            return None
        return (
            f"needs the weights of {requirement.name!r}, but {_mismatch(origin, digest)}: "
            f"{self._get(requirement)}"
        )

    def _get(self, requirement: ModelRequirement) -> str:
        if self.offline:
            return self._carry(requirement)
        return f"opsin models pull {shlex.quote(requirement.name)}"

    def _carry(self, requirement: ModelRequirement) -> str:
        name = shlex.quote(requirement.name)
        return f"carry the file here, then: opsin models import {name} FILE"

    def _not_kept(self, requirement: ModelRequirement, digest: str) -> str:
        assert isinstance(requirement.origin, Download)  # only downloads have a hash to keep to
        reason = _mismatch(requirement.origin, digest)
        return f"these are not the weights of {requirement.name!r}: {reason}; nothing was kept"

    def _unwritable(self, requirement: ModelRequirement, error: OSError) -> StorageError:
        reason = error.strerror or type(error).__name__
        return StorageError(f"the weights of {requirement.name!r} cannot be written: {reason}")

    def _can_import(self, package: str) -> bool:
        # Only the good answer is remembered: a package may be installed while the server runs.
        if package not in self._importable and _is_importable(package):
            self._importable.add(package)
        return package in self._importable


def _mismatch(origin: Download, digest: str) -> str:
    expected = origin.sha256_prefix
    return f"the file's sha256 begins with {digest[: len(expected)]}, not with {expected}"


def _is_importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # a parent that is missing, or a module without a spec
        return False


def _package_folders(package: str) -> list[Path]:
    """Where a package's files are, found without importing it."""
    top, *rest = package.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    locations = (spec.submodule_search_locations if spec else None) or []
    return [folder for location in locations if (folder := Path(location, *rest)).is_dir()]
