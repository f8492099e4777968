"""Real processes of `opsin` for tests: started with a plugin of their own, killed at will."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from opsin.settings import environment_with

_ROOT = Path(__file__).resolve().parents[1]
_NOT_OURS = "coro=<ClientRequest.write_bytes()"
"""In the line of a traceback: aiohttp asks nobody for the end of its task when S3 is cut off."""


class Marks:
    """`tests.marks_plugin`, installed in a folder, and what its runners wrote down.

    With `files` every tenth mark keeps one.  `more` is Python that the plugin's processes run.
    """

    def __init__(
        self, folder: Path, seconds: float, *, files: bool = False, more: str = ""
    ) -> None:
        self._path = folder / "marks.txt"
        self._path.touch()
        # A distribution as far as Python can tell: a module, and metadata with an entry point.
        packages = folder / "packages"
        metadata = packages / "opsin_marks-1.0.dist-info"
        metadata.mkdir(parents=True)
        (packages / "opsin_marks.py").write_text(f"from tests.marks_plugin import *\n{more}")
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: opsin-marks\nVersion: 1.0")
        (metadata / "entry_points.txt").write_text("[opsin]\nmarks = opsin_marks\n")
        found = [str(packages), str(_ROOT), os.environ.get("PYTHONPATH")]
        options = {"marks": {"path": str(self._path), "seconds": seconds, "files": files}}
        self.environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, found)),
            "OPSIN_PLUGIN_OPTIONS": json.dumps(options),
            "OPSIN_DISABLED_PLUGINS": "bbox",
        }

    def lines(self) -> list[tuple[int, int]]:
        """Each run so far: its mark and the process."""
        found = (line.split() for line in self._path.read_text().splitlines())
        return [(int(mark), int(process)) for mark, process in found]

    def runs(self) -> Counter[int]:
        """How often each mark was run."""
        return Counter(mark for mark, _ in self.lines())

    async def at_least(self, count: int, by: "Opsin", seconds: float = 30) -> None:
        """Wait for so many runs."""
        async with asyncio.timeout(seconds):
            while len(self.lines()) < count:
                by.check_alive()
                await asyncio.sleep(0.02)


class Opsin:
    """One process; what it prints goes to a file."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._output = output

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    async def prints(self, text: str, seconds: float = 30) -> str:
        """Wait for a text on stdout or stderr; gives the line it is in."""
        async with asyncio.timeout(seconds):
            while text not in (output := self.output()):
                self.check_alive()
                await asyncio.sleep(0.02)
        return next(line for line in output.splitlines() if text in line)

    def check_alive(self) -> None:
        assert self.process.poll() is None, f"the process ended:\n{self.output()}"

    def kill(self) -> None:
        """As kill -9: it does not notice."""
        self.process.kill()
        self.process.wait(10)

    async def stop(self) -> float:
        """As Ctrl-C or a service manager; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, 30)


@contextlib.contextmanager
def opsin(folder: Path, *arguments: str, marks: Marks, **settings: Any) -> Iterator[Opsin]:
    """`python -m opsin ARGUMENTS` with these settings, ended with the block.

    `before`, among the settings, is a command that runs it, such as `ip netns exec`.
    """
    before: Sequence[str] = settings.pop("before", ())
    texts = {name: str(value) for name, value in settings.items()}
    environment = environment_with(**texts) | marks.environment
    number = len(list(folder.glob("output-*")))
    output = folder / f"output-{arguments[0]}-{number}"
    command = [*before, sys.executable, "-X", "faulthandler", "-m", "opsin", *arguments]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=environment, cwd=folder, process_group=0
        )
    try:
        yield Opsin(process, output)
        # What fails on purpose is told in one line; a traceback is something unforeseen.
        lines = output.read_text(errors="replace").splitlines()
        unforeseen = [line for line in lines if "Traceback" in line and _NOT_OURS not in line]
        assert not unforeseen, "\n".join(lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
