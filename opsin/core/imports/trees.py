"""Folders and zip archives that a source names files in: nothing outside of them is ever read."""

import contextlib
import io
import os
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from opsin.core.archives import READABLE, UNREADABLE, is_folder
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.imports.found import Refused

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
MOST_ENTRIES = 5_000_000
MOST_RATIO = 200
"""How many times larger than packed a file of an archive may be, beyond the first MiB."""
_CHUNK = 1 << 20


class Tree(ABC):
    """Files by relative names with slashes.

    Names come from strangers: `open` raises Refused for those that lead out, and for what is no
    plain file; None is given where there is nothing.
    """

    name: str

    @abstractmethod
    def open(self, name: str) -> IO[bytes] | None:
        """A file to read from its beginning; it can seek."""

    @abstractmethod
    def files(self, under: str = "") -> Sequence[str]:
        """The plain files at and below a folder, sorted; without those that begin with a dot."""

    @abstractmethod
    def is_folder(self, name: str) -> bool:
        """Whether a folder of that name is there."""

    def close(self) -> None:  # noqa: B027  # a folder has nothing open
        """Let go of what is open."""

    def read(self, name: str, most: int) -> bytes:
        """A small file's bytes; Refused when there is none, or it has more."""
        file = self.open(name)
        if file is None:
            raise Refused("there is no such file")
        with file:
            content = file.read(most + 1)
        if len(content) > most:
            raise Refused(f"it has more than {most} bytes")
        return content


class FolderTree(Tree):
    """A folder on disk; links are followed as long as they stay in it."""

    def __init__(self, root: Path) -> None:
        self.name = root.name
        self._root = root.resolve()

    def open(self, name: str) -> IO[bytes] | None:
        path = self.path(name)
        if path is None:
            return None
        try:
            # Not blocking: a pipe of that name would wait for whoever writes it.
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused(f"it cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Refused("it is no plain file")
        return os.fdopen(descriptor, "rb")

    def files(self, under: str = "") -> Sequence[str]:
        top = self.path(under)
        return sorted(self._below(top)) if top is not None else []

    def is_folder(self, name: str) -> bool:
        with contextlib.suppress(Refused):
            path = self.path(name)
            return path is not None and path.is_dir()
        return False

    def _below(self, top: Path) -> Iterator[str]:
        for folder, inner, names in os.walk(top):
            inner[:] = [name for name in inner if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if not name.startswith(".") and path.is_file():
                    yield path.relative_to(self._root).as_posix()

    def path(self, name: str) -> Path | None:
        """Where the file lies; None and Refused as for `open`."""
        path = self._root / clean_name(name)
        try:
            found = path.resolve(strict=True)
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, ValueError):
            raise Refused("its name cannot be looked up") from None
        if not found.is_relative_to(self._root):
            raise Refused("a link leads out of the folder")
        return found


class ZipTree(Tree):
    """An archive that is read where it is; nothing is unpacked to disk."""

    def __init__(self, path: Path, *, max_file_bytes: int) -> None:
        self.name = path.name
        self._most = max_file_bytes
        try:
            self._archive = zipfile.ZipFile(path)
        except UNREADABLE as error:
            raise InvalidInput(f"{path.name} is no zip archive that can be read: {error}") from None
        entries = self._archive.infolist()
        if len(entries) > MOST_ENTRIES:
            raise InvalidInput(f"{path.name} has more than {MOST_ENTRIES} files")
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            # What leads out is in no place that could be asked for.
            with contextlib.suppress(Refused):
                if not is_folder(entry) and not entry.filename.startswith("__MACOSX/"):
                    self._entries[clean_name(entry.filename)] = entry
        self._folders = {
            str(folder) for name in self._entries for folder in PurePosixPath(name).parents
        }

    def open(self, name: str) -> IO[bytes] | None:
        entry = self._entries.get(clean_name(name))
        if entry is None:
            return None
        return io.BytesIO(self._content(entry, self._most))

    def unpack(self, name: str, to: IO[bytes], most: int) -> None:
        """Write a file of any size elsewhere."""
        for chunk in self._chunks(self._entries[clean_name(name)], most):
            to.write(chunk)

    def files(self, under: str = "") -> Sequence[str]:
        folder = clean_name(under)
        beginning = "" if folder == "." else f"{folder}/"
        return sorted(
            name
            for name in self._entries
            if name.startswith(beginning) and not any(p[0] == "." for p in name.split("/"))
        )

    def is_folder(self, name: str) -> bool:
        return clean_name(name) in self._folders

    def close(self) -> None:
        self._archive.close()

    def _content(self, entry: zipfile.ZipInfo, most: int) -> bytes:
        return b"".join(self._chunks(entry, most))

    def _chunks(self, entry: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
        if entry.flag_bits & 1:
            raise Refused("it is encrypted")
        if entry.compress_type not in READABLE:
            raise Refused("it is packed in another way than by deflate")
        # By what is read, not by what the archive says of itself.
        allowed = min(most, _CHUNK + MOST_RATIO * entry.compress_size)
        try:
            with self._archive.open(entry) as file:
                while chunk := file.read(_CHUNK):
                    allowed -= len(chunk)
                    if allowed < 0:
                        raise Refused(f"unpacked it has more than {most} bytes, or grows too much")
                    yield chunk
        except UNREADABLE:
            raise Refused("the archive is damaged there") from None


def open_tree(path: Path, *, max_file_bytes: int) -> FolderTree | ZipTree:
    """The folder or the zip archive at a path; raises InvalidInput or NotFound."""
    if path.is_dir():
        return FolderTree(path)
    if not path.exists():
        raise NotFound(f"there is no {path}")
    return ZipTree(path, max_file_bytes=max_file_bytes)


def clean_name(name: str) -> str:
    """The name with slashes and no way out, `.` for none; Refused for what leads elsewhere."""
    if "\0" in name:
        raise Refused("its name has a NUL")
    name = name.replace("\\", "/")  # written on Windows
    if name.startswith("/") or name[1:2] == ":":
        raise Refused("its name is absolute; only files in the folder of pictures are read")
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise Refused("its name leads out of the folder of pictures")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or "."
