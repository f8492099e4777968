"""The document's program against an `opsin serve`, and what it prints read back.

`documented/client_py.txt` is every Python line of the document in its order, `documented/curl.txt`
every curl line; its prose and its two lines for a notebook's shell are left out.
"""

import ast
import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsin.cli.demo_server import running_server
from tests.compat.old_clients import WEBSOCKET_CLIENT, WEBSOCKETS, installed

DOCUMENTED = Path(__file__).parent / "documented"
EMAIL, PASSWORD = "your@gmail.com", "your_password"
"""As they stand in the document, so that they need not be replaced."""
STREAMED = ("youremail.gmail.com", "yourPassowrd", "your-company-id-1afb-4b3d-8099-a75fc7f7e1d4")
"""The account as its streaming part has it."""
HOST = "saas.haut.ai"
LONGEST = 120.0


@contextlib.asynccontextmanager
async def served(folder: Path, **environment: str) -> AsyncIterator[str]:
    """A server that asks for tokens and calculates, in a process of its own; gives its URL."""
    given = settings(folder) | environment
    async with running_server(["--port", "0"], given, folder / "server.log") as url:
        yield url


def settings(folder: Path) -> dict[str, str]:
    """The environment of the server, and of the commands that prepare it."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("OPSIN_")}
    return kept | {
        "OPSIN_DATA_DIR": str(folder / "data"),
        "OPSIN_AUTH": "keys",
        "OPSIN_DEVICE": "cpu",
        "OPSIN_OFFLINE": "true",
        "OMP_NUM_THREADS": "2",
    }


async def command(folder: Path, *words: str, text: str = "") -> str:
    """What a command of `opsin` prints, which must succeed; `text` is what it reads."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "opsin", *words),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=settings(folder),
        cwd=folder,
    )
    output, errors = await asyncio.wait_for(process.communicate(text.encode()), LONGEST)
    assert process.returncode == 0, errors.decode()
    return output.decode()


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Each of what is to be replaced must be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def program(url: str, company: str) -> str:
    """The document's Python, with nothing changed but where it goes and as whom."""
    host = url.removeprefix("http://")
    email, password, company_id = STREAMED
    text = (DOCUMENTED / "client_py.txt").read_text("utf-8")
    changes = {
        "https://": "http://",
        "wss://": "ws://",
        HOST: host,
        email: EMAIL,
        password: PASSWORD,
        company_id: company,
        # The web page shifts one statement by a space, which notebooks take back.
        "\n resp = ": "\nresp = ",
    }
    # It is installed and imported nowhere in the document, and yet used.
    return "import websocket\n" + replaced(text, changes)


class Printed:
    """What the program has printed so far."""

    def __init__(self, path: Path, process: asyncio.subprocess.Process) -> None:
        self._path = path
        self._process = process

    def text(self) -> str:
        return self._path.read_text("utf-8")

    async def until(self, pattern: str, times: int = 1) -> str:
        """Wait for a line; gives all that was printed by then."""
        async with asyncio.timeout(LONGEST):
            while len(re.findall(pattern, told := self.text(), re.M)) < times:
                assert self._process.returncode is None, told[-4000:]
                await asyncio.sleep(0.05)
        return told

    def after(self, beginning: str) -> str:
        """The rest of the line that begins so."""
        found = re.search(rf"^{re.escape(beginning)}\s*(.*)$", self.text(), re.M)
        assert found, beginning
        return found[1]

    def results(self, beginning: str, end: str) -> dict[str, list[Any]]:
        """Between two lines, what stands after `name version:`, by that."""
        part = self.text().partition(beginning)[2].partition(end)[0]
        found: dict[str, list[Any]] = {}
        for name, value in re.findall(r"^([^:\n]+): (\{.*\}|\[.*\]|None|[\d.-]+)$", part, re.M):
            found.setdefault(name, []).append(ast.literal_eval(value))
        return found

    def streamed(self) -> list[dict[str, Any]]:
        """The frames of the stream, each a line of JSON between two of `ws.open`."""
        part = self.text().partition("history for last week:\n")[2]
        return [json.loads(line) for line in part.splitlines() if line.startswith('{"')]


@contextlib.asynccontextmanager
async def running(folder: Path, url: str, company: str) -> AsyncIterator[Printed]:
    """The program beside its `face.jpg`; it never ends by itself, for it follows a stream."""
    (folder / "program.py").write_text(program(url, company), "utf-8")
    old = [str(await asyncio.to_thread(installed, one)) for one in (WEBSOCKETS, WEBSOCKET_CLIENT)]
    path = folder / "printed.txt"
    with path.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "program.py"),
            cwd=folder,
            env={"PYTHONPATH": os.pathsep.join(old)},
            stdout=output,
            stderr=output,
        )
        try:
            yield Printed(path, process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs the document's curl lines, with ids, tokens and the host replaced."""

    url: str
    folder: Path

    async def run(
        self, line: str, changes: Mapping[str, str] | None = None, more: str = ""
    ) -> tuple[int, bytes]:
        """The status and the body; `more` goes behind the line."""
        text = replaced(line, {f"https://{HOST}": self.url, **(changes or {})}).strip()
        asked = "curl -sS -o body -w '%{http_code}' " + text.removeprefix("curl ")
        process = await asyncio.create_subprocess_exec(
            *("bash", "-ec", f"{asked} {more}"),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), LONGEST)
        assert process.returncode == 0, errors.decode()
        return int(output), (self.folder / "body").read_bytes()


def curl_lines() -> list[str]:
    """Private token, datasets, fewer algorithms, smoothed results, report."""
    return (DOCUMENTED / "curl.txt").read_text("utf-8").split("\n\n")
