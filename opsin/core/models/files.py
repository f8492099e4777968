"""Weights files: their digests, remembered between runs, and whether they are what they claim."""

import contextlib
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from opsin.core.errors import Conflict
from opsin.core.models.requirements import is_weights

Progress = Callable[[int, int | None], None]
"""Told of the bytes that are here and of all bytes, when their number is known."""

Stamp = tuple[tuple[str, int, int], ...]
"""Path, size and modification time in nanoseconds of each file."""

CHUNK = 1 << 20
LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""


def silent(done: int, total: int | None) -> None:
    """The progress nobody watches."""


class Fingerprints:
    """sha256 over files in order; computed once per state of the files, kept in a JSON file."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._known: dict[Stamp, str] = {}
        self._locks: dict[Stamp, threading.Lock] = {}
        self._writing = threading.Lock()
        self._read = False

    def of(self, paths: Sequence[Path]) -> str:
        """The hex digest; two threads that ask for the same files hash them once."""
        stamp = _stamp(paths)
        with self._locks.setdefault(stamp, threading.Lock()):
            known = self.known(paths)
            if known is not None:
                return known
            self._known[stamp] = digest = sha256_of(paths)
            self._write()
            return digest

    def known(self, paths: Sequence[Path]) -> str | None:
        """The digest when it need not be computed."""
        if not self._read:
            self._known = self._load() | self._known
            self._read = True
        return self._known.get(_stamp(paths))

    def remember(self, digests: Sequence[tuple[Path, str]]) -> None:
        """Note what was computed elsewhere, of one file each."""
        for path, digest in digests:
            self._known[_stamp([path])] = digest
        self._write()

    def _load(self) -> dict[Stamp, str]:
        try:
            known: dict[Stamp, str] = {}
            for entry in json.loads(self._record.read_text("utf-8")):
                files = [(str(path), int(size), int(time)) for path, size, time in entry["files"]]
                known[tuple(files)] = str(entry["sha256"])
            return known
        except (OSError, ValueError, TypeError, KeyError):
            return {}  # not there or not ours: the digests are computed again

    def _write(self) -> None:
        with self._writing:
            # Others may have written since: their entries stay, except for states gone by.
            merged = self._load() | self._known
            latest = {tuple(path for path, *_ in stamp): stamp for stamp in merged}
            entries = [{"files": stamp, "sha256": merged[stamp]} for stamp in latest.values()]
            temporary = self._record.with_name(f"{self._record.name}.{os.getpid()}.part")
            # A folder that cannot be written only costs the next start some hashing.
            with contextlib.suppress(OSError):
                self._record.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_text(json.dumps(entries, indent=1), "utf-8")
                temporary.replace(self._record)


def sha256_of(paths: Sequence[Path]) -> str:
    """The hex digest over the files' contents, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def folder_digest(digests: Sequence[tuple[str, str]]) -> str:
    """The fingerprint of files with names, from their own digests; the order does not matter.

    What `sha256sum FILE... | LC_ALL=C sort -k 2 | sha256sum` prints in their folder.
    """
    lines = [f"{digest}  {name}\n" for name, digest in sorted(digests)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest_problem(name: str, digest: str, expected: str) -> str | None:
    """Why a file with that digest is not the right one; `expected` may be only the beginning."""
    if digest.startswith(expected):
        return None
    differing = next(n for n, (a, b) in enumerate(zip(digest, expected, strict=False)) if a != b)
    shown = max(differing + 1, 8)
    return f"the sha256 of {name} begins with {digest[:shown]}, not with {expected[:shown]}"


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One file as it is now; `expected` is what its sha256 must be, or begin with, if known."""

    name: str
    size: int | None
    sha256: str | None
    expected: str | None
    problem: str | None


def check_file(name: str, path: Path, expected: str | None) -> FileCheck:
    """Read a file whole and say what is wrong with it, if anything is."""
    try:
        size, digest = path.stat().st_size, sha256_of([path])
        wrong = digest_problem(name, digest, expected) if expected else content_problem(path, name)
    except OSError as error:
        problem = "is not here" if isinstance(error, FileNotFoundError) else "cannot be read"
        return FileCheck(name, None, None, expected, f"{name} {problem}")
    return FileCheck(name, size, digest, expected, wrong)


def content_problem(path: Path, name: str) -> str | None:
    """Why a file is not what its name says; reads no more than the header.

    A safetensors file begins with the length of its header (8 bytes, little-endian), then the
    header: JSON that gives each tensor its place.  The tensors fill the rest of the file.
    Source: https://huggingface.co/docs/safetensors
    """
    if not is_weights(name):
        return None
    size = path.stat().st_size
    with path.open("rb") as stream:
        first = stream.read(8)
        length = int.from_bytes(first, "little")
        if first == b"version ":
            return f"{name} is a git-lfs pointer: fetch the file itself with git lfs pull"
        if len(first) < 8 or not 2 <= length <= min(size - 8, LONGEST_HEADER):
            return f"{name} is not a safetensors file"
        try:
            header = json.loads(stream.read(length))
            del header["__metadata__"]
        except KeyError:
            pass
        except (ValueError, TypeError):
            return f"{name} is not a safetensors file"
    try:
        end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return f"{name} is not a safetensors file"
    if 8 + length + end != size:
        return f"{name} is cut off: it has {size} bytes, its header tells of {8 + length + end}"
    return None


def _stamp(paths: Sequence[Path]) -> Stamp:
    states = [path.stat() for path in paths]
    return tuple(
        (str(path.absolute()), state.st_size, state.st_mtime_ns)
        for path, state in zip(paths, states, strict=True)
    )


@contextlib.contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a model against other processes that would write it; the lock file goes in the end.

    A process that dies lets go of it.  Raises `Conflict` when another holds it.
    """
    with lock.open("ab") as stream:
        if sys.platform != "win32":
            import fcntl  # not on Windows, where the hash alone guards against two writers

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Conflict("this model is being written by another process") from error
        if not lock.exists() or not os.path.samestat(lock.stat(), os.fstat(stream.fileno())):
            raise Conflict("this model was written by another process just now")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps a file that is open
                lock.unlink()
