"""Who answers: how each server is started, and how it is asked."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.reads import tools
from bench.reads.cases import Case
from bench.reads.rows import Seeded

_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ground:
    """What every contestant stands on."""

    kind: str
    url: str
    seeded: Seeded
    data_folder: Path
    peers_folder: Path
    server_core: int
    postmaster: int | None
    """The process of PostgreSQL that has all others as children."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server: its dialect of GraphQL (or `raw`), and its command with its environment."""

    name: str
    dialect: str
    command: Callable[[Ground, int], tuple[list[str], dict[str, str]]]
    authenticated: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts requests."""

    contestant: Contestant
    port: int
    process: "subprocess.Popen[bytes]"
    seeded: Seeded

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self.contestant.authenticated:
            headers["authorization"] = f"Bearer {self.seeded.key}"
        return headers

    def body(self, case: Case) -> bytes:
        return case.body(self.contestant.dialect, self.seeded)


def _opsin(ground: Ground, port: int, mode: str) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "opsin", "serve", "--no-worker", "--port", str(port)]
    return command, {
        "OPSIN_DATABASE_URL": ground.url,
        "OPSIN_DATA_DIR": str(ground.data_folder),
        "OPSIN_LOG_LEVEL": "error",
        "OPSIN_AUTH": mode,
    }


def _postgraphile(ground: Ground, port: int) -> tuple[list[str], dict[str, str]]:
    environment = {
        "DATABASE_URL": ground.url,
        "PORT": str(port),
        "CONNECTIONS": str(tools.CONNECTIONS),
    }
    production = {"GRAPHILE_ENV": "production", "NODE_ENV": "production"}
    return tools.postgraphile_command(ground.peers_folder), environment | production


def _python(module: str, ground: Ground, port: int) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", f"bench.reads.{module}", str(port), ground.url]
    return command, {"PYTHONPATH": tools.python_path(ground.peers_folder)}


RAW = Contestant("raw SQL", "raw", lambda ground, port: _python("raw_server", ground, port))
OPSIN = Contestant("Opsin", "opsin", lambda ground, port: _opsin(ground, port, "dev"))
OPSIN_KEYS = Contestant(
    "Opsin, with a key", "opsin", lambda ground, port: _opsin(ground, port, "keys"), True
)
POSTGRAPHILE = Contestant("PostGraphile 5.1.5", "postgraphile", _postgraphile)
STRAWBERRY = Contestant(
    "Strawberry, DataLoaders",
    "strawberry",
    lambda ground, port: _python("strawberry_server", ground, port),
)
STRAWCHEMY = Contestant(
    "Strawchemy 0.24",
    "strawchemy",
    lambda ground, port: _python("strawchemy_server", ground, port),
)
ON_POSTGRESQL = (RAW, OPSIN, OPSIN_KEYS, POSTGRAPHILE, STRAWBERRY, STRAWCHEMY)
ON_SQLITE = (RAW, OPSIN)


@contextlib.contextmanager
def running(contestant: Contestant, ground: Ground) -> Iterator[Running]:
    """The server, one process on the servers' core, from its first answer on."""
    port = _free_port()
    command, environment = contestant.command(ground, port)
    # PostGraphile looks for its configuration where it runs.
    folder = ground.peers_folder / "node" if contestant is POSTGRAPHILE else ground.data_folder
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(ground.server_core), *command],
        env=os.environ | environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_accepting(contestant.name, process, port)
        yield Running(contestant, port, process, ground.seeded)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(server: Running, case: Case) -> bytes:
    """The body of one answer."""
    answer = httpx.post(
        server.url, content=server.body(case), headers=server.headers, timeout=_START_SECONDS
    )
    answer.raise_for_status()
    return answer.content


def _wait_until_accepting(name: str, process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{name}: the server ended before it accepted requests")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{name}: the server does not accept requests")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
