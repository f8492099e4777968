"""Models of several files: pulled from a hub or carried here, and complete or not there at all.

`<models>/<name>/` appears in one step, when every file in it has been checked.  Until then the
files gather in `<name>.part/`, whose manifest lists those that are done.
"""

import os
import shutil
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from opsin.core.errors import FetchFailed, InvalidInput, StorageError
from opsin.core.models.files import (
    Fingerprints,
    Progress,
    content_problem,
    digest_problem,
    exclusive,
    sha256_of,
)
from opsin.core.models.http_source import fetch
from opsin.core.models.hub import Hub, HubFile
from opsin.core.models.manifest import Checked, FileRecord, Manifest
from opsin.core.models.requirements import MANIFEST, ModelRequirement, Repository


class FolderKeeper:
    """Writes the model folders in `directory`; one process at a time for each."""

    def __init__(self, directory: Path, hub: Hub, fingerprints: Fingerprints) -> None:
        self._directory = directory
        self._hub = hub
        self._fingerprints = fingerprints

    def pull(self, requirement: ModelRequirement, origin: Repository, progress: Progress) -> None:
        """Download what is not here yet.  `FetchFailed` keeps what has arrived."""
        name = requirement.name
        part = self._directory / f"{name}.part"
        with self._held(name):
            manifest = Manifest.read(part)
            if manifest is None or not manifest.is_of(origin):
                shutil.rmtree(part, ignore_errors=True)
                manifest = Manifest.of(origin)
            if not manifest.has_all(origin):  # else it died just before the last step
                listing = self._hub.listing(origin, name, manifest.commit)
                manifest = replace(manifest, commit=listing.commit)
                part.mkdir(exist_ok=True)
                manifest.write(part)
                _check_room(name, part, listing.files)
                for file, told in _with_progress(listing.files, part, progress):
                    if file.name in manifest.files:
                        told(manifest.files[file.name].size, None)
                        continue
                    record = self._get(name, file, origin, part, told)
                    manifest = replace(manifest, files={**manifest.files, file.name: record})
                    manifest.write(part)
            self._publish(part, manifest, origin)

    def install(self, requirement: ModelRequirement, origin: Repository, source: Path) -> None:
        """Copy a carried folder, or the one file that is all there is, once its files are right."""
        files = _carried_files(origin, source)
        carried = Manifest.read(source) if source.is_dir() else None
        if carried is not None and not carried.is_of(origin):
            raise InvalidInput(
                f"that is revision {carried.revision!r} of {carried.repository!r}; "
                f"{requirement.name!r} is {origin.revision!r} of {origin.repository!r}"
            )
        copy = self._directory / f"{requirement.name}.install"
        with self._held(requirement.name):
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir()
            try:
                manifest = carried or Manifest.of(origin)
                records = {
                    name: _copied(requirement.name, name, files[name], copy / name, origin, carried)
                    for name in origin.files
                }
                manifest = replace(manifest, files=records)
                manifest.write(copy)
                self._publish(copy, manifest, origin)
            finally:
                shutil.rmtree(copy, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Delete the folder, and what an unfinished pull has left of it."""
        with self._held(name):
            folder = self._directory / name
            if folder.is_dir():
                # In one step, so that nobody finds half a folder that looks whole.
                folder.rename(_emptied(self._directory / f"{name}.old"))
            for suffix in (".old", ".part", ".install"):
                if (folder.with_name(name + suffix)).is_dir():
                    shutil.rmtree(folder.with_name(name + suffix))

    @contextmanager
    def _held(self, name: str) -> Iterator[None]:
        self._directory.mkdir(parents=True, exist_ok=True)
        with exclusive(self._directory / f"{name}.lock"):
            yield

    def _get(
        self, model: str, file: HubFile, origin: Repository, part: Path, progress: Progress
    ) -> FileRecord:
        path = part / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        pinned = origin.sha256.get(file.name)
        expected = pinned or file.sha256
        digest = ""

        def problem() -> str | None:
            nonlocal digest
            digest = sha256_of([path])
            return _problem(path, file.name, file.size, digest, expected)

        if expected is None:
            path.unlink(missing_ok=True)  # nothing would tell whether a beginning fits
        elif not path.exists():
            self._reuse(self._directory / model / file.name, path, expected)
        is_whole = path.exists() and path.stat().st_size == file.size
        if is_whole and problem() is not None:
            path.unlink()
        if not is_whole or not path.exists():
            wrong = fetch(file.url, path, model, progress, problem, self._hub.headers)
            if wrong is not None:
                raise FetchFailed(f"these are not the weights of {model!r}: {wrong}")
        return FileRecord(path.stat().st_size, digest, _checked(file, pinned))

    def _reuse(self, old: Path, path: Path, expected: str) -> None:
        """Take a file of another revision, or of a folder in which another file is broken."""
        if old.is_file() and self._fingerprints.of([old]) == expected:
            try:
                os.link(old, path)
            except OSError:  # a file system without links
                shutil.copyfile(old, path)

    def _publish(self, made: Path, manifest: Manifest, origin: Repository) -> None:
        """Give the finished folder its name; nothing but the files of the origin is in it."""
        folder = made.with_suffix("")
        kept = {name: manifest.files[name] for name in origin.files}
        replace(manifest, files=kept).write(made)
        _sweep(made, kept)
        old = _emptied(folder.with_name(f"{folder.name}.old"))
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        self._fingerprints.remember([(folder / name, one.sha256) for name, one in kept.items()])


def _problem(
    path: Path, name: str, size: int | None, digest: str, expected: str | None
) -> str | None:
    """Why a file is not the one that was asked for."""
    here = path.stat().st_size
    if size is not None and here != size:
        return f"{name} has {here} bytes, not {size}"
    wrong = digest_problem(name, digest, expected) if expected else None
    return wrong or content_problem(path, name)


def _checked(file: HubFile, pinned: str | None) -> Checked:
    if pinned:
        return Checked.PIN
    if file.sha256:
        return Checked.HUB
    return Checked.NOTHING if file.size is None else Checked.SIZE


def _with_progress(
    files: Sequence[HubFile], part: Path, progress: Progress
) -> Iterator[tuple[HubFile, Progress]]:
    """Each file with what is to be told of it, so that all of them make one progress."""
    sizes = [file.size for file in files if file.size is not None]
    total = sum(sizes) if len(sizes) == len(files) else None
    before = 0
    for file in files:

        def told(done: int, _: int | None, before: int = before) -> None:
            progress(before + done, total)

        yield file, told
        before += (part / file.name).stat().st_size


def _check_room(model: str, part: Path, files: Sequence[HubFile]) -> None:
    here = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
    more = sum(file.size or 0 for file in files) - here
    free = shutil.disk_usage(part).free
    if more > free:
        raise StorageError(
            f"the weights of {model!r} cannot be written: they need {more / 1e6:.0f} MB more, "
            f"{free / 1e6:.0f} MB are free"
        )


def _carried_files(origin: Repository, source: Path) -> dict[str, Path]:
    """Where each file of the origin is in what was carried here."""
    if source.is_dir():
        lacking = [name for name in origin.files if not (source / name).is_file()]
        if lacking:
            raise InvalidInput(f"the folder lacks {', '.join(lacking)}")
        return {name: source / name for name in origin.files}
    if not source.is_file():
        raise InvalidInput("there is no such file or folder")
    if len(origin.files) > 1:
        raise InvalidInput(f"this model has {len(origin.files)} files: carry the folder with them")
    return {origin.files[0]: source}


def _copied(
    model: str, name: str, source: Path, copy: Path, origin: Repository, carried: Manifest | None
) -> FileRecord:
    """Copy one file and check the copy: the original may be on a medium that changes or fails."""
    told = carried.files.get(name) if carried else None
    pinned = origin.sha256.get(name)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, copy)
    digest = sha256_of([copy])
    size = told.size if told else None
    wrong = _problem(copy, name, size, digest, pinned or (told.sha256 if told else None))
    if wrong is not None:
        raise InvalidInput(f"these are not the weights of {model!r}: {wrong}; nothing was kept")
    checked = Checked.PIN if pinned else Checked.MANIFEST if told else Checked.NOTHING
    return FileRecord(copy.stat().st_size, digest, checked)


def _sweep(folder: Path, keep: Container[str]) -> None:
    """Delete what is left of files that are no longer asked for."""
    for path in sorted(folder.rglob("*"), reverse=True):  # a folder after what is in it
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            with suppress(OSError):  # not empty
                path.rmdir()
        elif name not in keep and name != MANIFEST:
            path.unlink()


def _emptied(path: Path) -> Path:
    if path.exists():
        shutil.rmtree(path)
    return path
