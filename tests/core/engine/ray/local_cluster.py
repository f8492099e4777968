"""A Ray cluster on this machine, of one head and further nodes, each a process group of its own."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[4]
_STORE_BYTES = 160 * 2**20


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Node:
    """What one `ray start --block` runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def pids(self, name: str) -> list[int]:
        """Processes of this node whose command line has that text."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(folder.name)
                if os.getpgid(pid) in self._groups():
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if name in command:
                        found.append(pid)
        return found

    def end(self) -> None:
        """As the machine's power would: nobody takes leave."""
        for pid in _descendants(self.process.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _groups(self) -> set[int]:
        groups = set()
        for pid in (self.process.pid, *_descendants(self.process.pid)):
            with contextlib.suppress(OSError):
                groups.add(os.getpgid(pid))
        return groups


class LocalCluster:
    """Starts with a head; `address` is what others join by."""

    def __init__(self, cpus: float = 2, *, store_bytes: int = _STORE_BYTES) -> None:
        self._cpus = cpus
        self._store_bytes = store_bytes
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        """What whoever joins needs in its own."""
        self._folder = Path(tempfile.mkdtemp(prefix="opsin-ray-"))  # paths of sockets are short
        self.nodes: list[Node] = []
        self.address = self.client_address = ""
        self.start()

    def start(self, port: int = 0) -> None:
        """Start a head."""
        client = free_port()
        self._start("--head", f"--port={port}", f"--ray-client-server-port={client}")
        self.client_address = f"ray://{self.address.rpartition(':')[0]}:{client}"

    def join(self, cpus: float = 2) -> Node:
        """Add a node."""
        return self._start(f"--address={self.address}", cpus=cpus)

    def log_of(self, pid: int) -> str:
        """What a process of the cluster has written to its standard error."""
        logs = self._folder / "session_latest" / "logs"
        return "".join(path.read_text() for path in logs.glob(f"worker-*-{pid}.err"))

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, *options: str, cpus: float | None = None) -> Node:
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            "--disable-usage-stats",
            f"--num-cpus={int(self._cpus if cpus is None else cpus)}",
            f"--object-store-memory={self._store_bytes}",
            *options,
        ]
        if "--head" in options:
            command += [f"--temp-dir={self._folder}", "--include-dashboard=false"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # What the raylet starts finds the fakes there.
            env={**os.environ, "PYTHONPATH": str(_ROOT), **self.environment},
        )
        node = Node(process)
        self.nodes.append(node)
        self._wait(process)
        return node

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        lines = []
        until = time.monotonic() + 60
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"--address='([^']+)'", line):
                self.address = found.group(1)
            if "--block" in line:
                break
            assert time.monotonic() < until, "".join(lines)
        assert "--block" in "".join(lines[-1:]), "".join(lines)
        # Read on, or it would stand still when the pipe is full.
        threading.Thread(target=_read_on, args=(process,), daemon=True).start()


def _read_on(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ValueError):  # closed meanwhile
        for _ in process.stdout or ():
            pass


def _descendants(pid: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            child = int(folder.name)
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(child)
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            yield child
            waiting.append(child)
