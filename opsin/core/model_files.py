"""Weights files: their fingerprints, remembered between runs, and their resumable download."""

import contextlib
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from opsin.core.errors import Conflict, FetchFailed

Progress = Callable[[int, int | None], None]
"""Told of the bytes that are here and of all bytes, when their number is known."""

Stamp = tuple[tuple[str, int, int], ...]
"""Path, size and modification time in nanoseconds of each file."""

CHUNK = 1 << 20


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


def _stamp(paths: Sequence[Path]) -> Stamp:
    states = [path.stat() for path in paths]
    return tuple(
        (str(path.absolute()), state.st_size, state.st_mtime_ns)
        for path, state in zip(paths, states, strict=True)
    )


@contextlib.contextmanager
def exclusive(part: Path) -> Iterator[BinaryIO]:
    """The unfinished file, open for appending, held against a second download of the same file."""
    with part.open("ab") as stream:
        if sys.platform != "win32":
            import fcntl  # not on Windows, where the hash alone guards against two writers

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Conflict("this model is being downloaded by another process") from error
        if not part.exists() or not os.path.samestat(part.stat(), os.fstat(stream.fileno())):
            raise Conflict("this model was downloaded by another process just now")
        yield stream


def download(url: str, part: BinaryIO, name: str, progress: Progress) -> bool:
    """Fetch the rest of `part` over HTTP; True when there was a beginning to go on from.

    What has arrived stays in `part` when the connection breaks.  `FetchFailed` names the model.
    """
    import httpx  # a third of the start-up time of `opsin --help`, and only this needs it

    offset = part.tell()
    headers = {"accept-encoding": "identity"}
    if offset:
        headers["range"] = f"bytes={offset}-"
    timeout = httpx.Timeout(30.0, connect=10.0)
    try:
        with httpx.stream(
            "GET", url, headers=headers, follow_redirects=True, timeout=timeout
        ) as response:
            hops = [*response.history, response]
            if url.startswith("https:") and any(hop.url.scheme != "https" for hop in hops):
                raise FetchFailed(f"the download of {name!r} was led away from https")
            if response.status_code == 416 and offset:
                return True  # nothing is left to send; the hash tells whether that is right
            if response.status_code == 200 and offset:
                offset = 0  # the server does not resume
                part.truncate(0)
            elif response.status_code not in (200, 206):
                status = response.status_code
                raise FetchFailed(f"the download of {name!r} was answered with HTTP {status}")
            length = response.headers.get("content-length", "")
            total = offset + int(length) if length.isdecimal() else None
            done = offset
            progress(done, total)
            for chunk in response.iter_raw():  # as it comes: pieces of a size are lost in a break
                part.write(chunk)
                done += len(chunk)
                progress(done, total)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchFailed(
            f"the download of {name!r} broke off ({type(error).__name__}); "
            "the same command goes on from there"
        ) from error
    finally:
        part.flush()
    return bool(offset)
