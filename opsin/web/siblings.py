"""The processes of one server: each tells the others what it has counted, when one is asked."""

import asyncio
import fcntl
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

log = logging.getLogger(__name__)

Told = Mapping[str, Any]
"""A JSON object."""

_SECONDS = 2.0
"""For which a sibling is waited for."""
_MOST_BYTES = 32 * 2**20
_SUFFIX = ".sock"
_LEFT = ".left"
_LEAVING = "-leaving"
_LONGEST_ADDRESS = 100
"""Bytes of a socket's path: a little less than systems have room for (108 on Linux, 104 others)."""


@dataclass(frozen=True, slots=True)
class Siblings:
    """This process's place among them: a folder that only they may look into, and its name there.

    The name is that of a place, `1` to `N` or `worker`, and goes on to whoever takes that place.
    """

    directory: Path
    name: str

    @asynccontextmanager
    async def serving(
        self, tell: Callable[[], Told], leave: Callable[[Sequence[Told]], Told] = lambda _left: {}
    ) -> AsyncIterator[None]:
        """Answer the others with what `tell` gives; what `leave` gives in the end stays behind.

        `leave` gets what those before it in this place have left, and adds its own to it.
        """

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(json.dumps(tell()).encode())
                await writer.drain()
            except (ConnectionError, TimeoutError):
                pass  # whoever asked has gone
            finally:
                writer.close()

        path = self.directory / f"{self.name}.{os.getpid()}{_SUFFIX}"
        with _address(path) as address:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            server = await asyncio.start_unix_server(answer, sock=listener)
            try:
                yield
            finally:
                self._leave(leave)
                server.close()
                path.unlink(missing_ok=True)

    def _leave(self, leave: Callable[[Sequence[Told]], Told]) -> None:
        """One file for each place, however often its process is replaced."""
        path = self.directory / f"{self.name}{_LEFT}"
        # Two of one place may end at the same time.
        with path.open("a+", encoding="utf-8") as file, _locked(file, fcntl.LOCK_EX):
            before = _read(file)
            if told := leave([] if before is None else [before]):
                file.truncate(0)
                file.write(json.dumps(told))
                file.flush()

    async def ask(self) -> dict[str, Told]:
        """What each of the others tells, by name; who does not answer in time is left out.

        Of two in one place, one is about to leave it: that is `<name>-leaving`.
        """
        own = os.getpid()
        paths = sorted(self.directory.glob(f"*{_SUFFIX}"), key=_age)
        others = [path for path in paths if int(path.stem.rpartition(".")[2]) != own]
        answers = await asyncio.gather(*(_ask(path) for path in others))
        found: dict[str, Told] = {}
        taken = {self.name}
        for path, told in zip(reversed(others), reversed(answers), strict=True):
            if told is None:
                continue
            name = path.stem.partition(".")[0]
            if name in taken:
                name += _LEAVING
            taken.add(name)
            found[name] = told
        return found

    def left(self) -> list[Told]:
        """What those that have ended left behind: the sums of each place."""
        found: list[Told] = []
        for path in self.directory.glob(f"*{_LEFT}"):
            with suppress(OSError), path.open(encoding="utf-8") as file:
                with _locked(file, fcntl.LOCK_SH):
                    told = _read(file)
                if told is not None:
                    found.append(told)
        return found


@contextmanager
def _locked(file: IO[str], kind: int) -> Iterator[None]:
    fcntl.flock(file, kind)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _read(file: IO[str]) -> Told | None:
    """What the file tells; None where whoever wrote it was killed before the end, or nobody has."""
    file.seek(0)
    try:
        told: Told = json.loads(file.read())
    except ValueError:
        return None
    return told


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path of a socket; where it is too long for one, Linux knows a shorter way to it."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _age(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


async def _ask(path: Path) -> Told | None:
    try:
        async with asyncio.timeout(_SECONDS):
            with _address(path) as address:
                reader, writer = await asyncio.open_unix_connection(address, limit=_MOST_BYTES)
            try:
                told: Told = json.loads(await reader.read())
            finally:
                writer.close()
            return told
    except ConnectionRefusedError:
        await asyncio.to_thread(path.unlink, missing_ok=True)  # it was killed
    except (OSError, ValueError, TimeoutError) as error:
        log.warning("a process did not tell its metrics: %s", type(error).__name__)
    return None
