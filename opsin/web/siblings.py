"""The processes of one server: each tells the others what it has counted, when one is asked."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

Told = Mapping[str, Any]
"""A JSON object."""

_SECONDS = 2.0
"""For which a sibling is waited for."""
_MOST_BYTES = 32 * 2**20
_SUFFIX = ".sock"
_LEFT = ".left"
_LEAVING = "-leaving"


@dataclass(frozen=True, slots=True)
class Siblings:
    """This process's place among them: a folder that only they may look into, and its name there.

    The name is that of a place, `1` to `N` or `worker`, and goes on to whoever takes that place.
    """

    directory: Path
    name: str

    @asynccontextmanager
    async def serving(
        self, tell: Callable[[], Told], leave: Callable[[], Told] = dict
    ) -> AsyncIterator[None]:
        """Answer the others with what `tell` gives; what `leave` gives in the end stays behind."""

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(json.dumps(tell()).encode())
                await writer.drain()
            except (ConnectionError, TimeoutError):
                pass  # whoever asked has gone
            finally:
                writer.close()

        path = self.directory / f"{self.name}.{os.getpid()}{_SUFFIX}"
        server = await asyncio.start_unix_server(answer, path)
        try:
            yield
        finally:
            if left := leave():
                path.with_suffix(_LEFT).write_text(json.dumps(left), encoding="utf-8")
            server.close()
            path.unlink(missing_ok=True)

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
        """What those that have ended left behind."""
        found = []
        for path in self.directory.glob(f"*{_LEFT}"):
            with suppress(OSError, ValueError):
                found.append(json.loads(path.read_text(encoding="utf-8")))
        return found


def _age(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


async def _ask(path: Path) -> Told | None:
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MOST_BYTES)
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
