"""Runs `opsin` in a process of its own, as a person or a script would."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opsin.assembly import BUILTIN_PLUGINS
from tests.cli import forking

OPSIN = (sys.executable, "-P", "-m", "opsin")
SAMPLE = Path(__file__).parent / "sample_plugin.py"
LONGEST = 60.0  # seconds
NO_BUILTINS = {"disabled_plugins": ",".join(source.name for source in BUILTIN_PLUGINS)}
"""Settings with which only the plugins are there that a test installs."""


class Ended:
    """A command that has ended."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.out = out.decode()
        self.err = err.decode()

    def json(self) -> Any:
        """The one document on stdout; fails when there is anything beside it."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr."""
        (line,) = self.err.strip().splitlines()
        return line


def opsin(
    *arguments: object,
    cwd: Path,
    settings: Mapping[str, str] | None = None,
    given: bytes = b"",
) -> Ended:
    """Run a command to its end in folder `cwd`; `settings` are names without OPSIN_.

    `given` is what it finds on stdin.  Its process has imported `opsin` before it begins.
    """
    with tempfile.TemporaryDirectory(prefix="opsin-command-") as name:
        folder = Path(name)
        (folder / forking.INPUT).write_bytes(given)
        code = forking.run(
            [*map(str, arguments)], cwd, environment(cwd, settings or {}), folder, LONGEST
        )
        out, err = (folder / stream for stream in (forking.OUTPUT, forking.COMPLAINTS))
        return Ended(code, out.read_bytes(), err.read_bytes())


def opsin_anew(*arguments: object, cwd: Path) -> tuple[Ended, float]:
    """The same by an interpreter of its own, and the processor's seconds that it took."""
    before = _seconds_of_children()
    done = subprocess.run(
        [*OPSIN, *map(str, arguments)],
        cwd=cwd,
        env=environment(cwd, {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LONGEST,
    )
    seconds = _seconds_of_children() - before
    return Ended(done.returncode, done.stdout, done.stderr), seconds


def _seconds_of_children() -> float:
    """Of the processor, in all commands that have ended; others on this machine add little."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def environment(cwd: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command; plugins installed in `cwd` are found."""
    return {
        **{name: value for name, value in os.environ.items() if name != "COLUMNS"},
        "PYTHONPATH": str(cwd / "site"),
        **{f"OPSIN_{name.upper()}": value for name, value in settings.items()},
    }


def install_sample_plugin(folder: Path) -> None:
    """What `pip install` leaves behind, for the commands that are run in `folder`."""
    install(folder, "sample", SAMPLE.read_text("utf-8"))


def install(folder: Path, name: str, source: str) -> None:
    """A distribution with one module, which is an Opsin plugin."""
    site = folder / "site"
    metadata = site / f"opsin_{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / f"opsin_{name}.py").write_text(source, "utf-8")
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: opsin-{name}\nVersion: 1.0\n", "utf-8"
    )
    (metadata / "entry_points.txt").write_text(f"[opsin]\n{name} = opsin_{name}\n", "utf-8")


class Started:
    """A command that keeps running: what it has said, and how to end it."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.lines: list[str] = []
        self._log = log

    def read_line(self) -> str:
        """The next line of stdout; empty when the command has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode().rstrip("\n")
        self.lines.append(line)
        return line

    @property
    def seconds(self) -> float:
        """Of the processor, so far; unlike those of a clock, not more where others want it too."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        user, system = fields[11:13]  # counted from the third: proc_pid_stat(5)
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def err(self) -> str:
        return self._log.read_text("utf-8")

    def wait_for(self, text: str, seconds: float = LONGEST) -> None:
        """Until `text` is on stderr."""
        until = time.monotonic() + seconds
        while text not in self.err:
            assert self.process.poll() is None, self.err
            assert time.monotonic() < until, self.err
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(LONGEST)


@contextlib.contextmanager
def started(
    *arguments: object, cwd: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Started]:
    """A command that is killed in the end, if it still runs then."""
    log = cwd / f"stderr-{time.monotonic_ns()}.log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [*OPSIN, *map(str, arguments)],
            cwd=cwd,
            env=environment(cwd, settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        timer = threading.Timer(LONGEST, process.kill)  # else a silent one would hang the test
        timer.start()
        try:
            yield Started(process, log)
        finally:
            timer.cancel()
            process.kill()


@contextlib.contextmanager
def serving(
    *arguments: object, cwd: Path, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Started, str]]:
    """`opsin serve` on a free port, accepting requests, and its URL."""
    with started("serve", "--port", 0, *arguments, cwd=cwd, settings=settings) as server:
        urls = dict(server.read_line().split(maxsplit=1) for _ in range(3))
        yield server, urls["GraphQL"].removesuffix("/graphql")


@contextlib.contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """An HTTP server on loopback for the files of a folder; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = folder / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            with path.open("rb") as stream:
                shutil.copyfileobj(stream, self.wfile)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
