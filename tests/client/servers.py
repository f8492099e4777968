"""A real `opsin serve` that can be killed and comes back, and a proxy that loses answers."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from opsin.assembly import assemble
from opsin.core.access import Principal
from opsin.settings import Settings, environment_with

SECRET = "a7f3d9e2c4b8f1a6e9d4c2b7f5a8e3d1"
PROXY_SECRET = "between-proxy-and-server"
STARTED_WITHIN = 90.0


class Server:
    """One `opsin serve` with a folder and a port of its own, through all its lives."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {
            "data_dir": str(folder / "data"),
            "auth": "keys",
            "worker": "false",
            "vista_hmac_secret": SECRET,
            "vista_proxy_shared_secret": PROXY_SECRET,
            "vista_max_artifact_bytes": "3000000",
            "vista_max_analyses_per_image": "1000",
        }
        self._environment = environment_with(**(given | settings))
        self._process: subprocess.Popen[bytes] | None = None
        self.key, self.their_key = asyncio.run(self._keys()), asyncio.run(self._keys("theirs"))

    def start(self) -> None:
        command = [sys.executable, "-m", "opsin", "serve", "--port", str(self.port)]
        with (self.folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=output, stderr=output, cwd=self.folder
            )
        deadline = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self.folder / "output.txt").read_text()
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            time.sleep(0.02)
        raise TimeoutError("the server does not answer")

    def ensure(self) -> None:
        """Start it unless it runs."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def kill(self) -> None:
        """As kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    async def _keys(self, company: str = "ours") -> str:
        settings = Settings(data_dir=self.folder / "data", worker=False)
        async with assemble(settings).running() as parts:
            access = parts.use_cases.access
            owner = Principal((await access.ensure_company(company)).id, company)
            return (await parts.use_cases.api_keys.create(owner, "a pipeline"))[1]


Fault = Callable[["Handler"], bool]
"""Looks at a request; whether it has dealt with it."""


class Handler(BaseHTTPRequestHandler):
    """Hands a request on to the server, and its answer back, unless a fault comes first."""

    protocol_version = "HTTP/1.1"
    server: "Proxy"

    def handle_request(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append(f"{self.command} {self.path}")
        if self.server.faults and self.server.faults[0](self):
            return
        self.answer(self.forward())

    do_GET = do_POST = do_PATCH = do_PUT = handle_request

    def forward(self) -> httpx.Response:
        headers = {n: v for n, v in self.headers.items() if n.lower() != "connection"}
        return httpx.request(
            self.command, self.server.target + self.path, headers=headers, content=self.body
        )

    def answer(self, found: httpx.Response) -> None:
        self.send_response_only(found.status_code)
        for name, value in found.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(found.content)))
        self.end_headers()
        self.wfile.write(found.content)

    def lose(self) -> None:
        """Close the connection without a word."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        pass


class Proxy(ThreadingHTTPServer):
    """What stands between a client and its server; `faults` are met in turn."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = target
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults: list[Fault] = []
        self.seen: list[str] = []

    def handle_error(self, *_: Any) -> None:
        pass  # a client that went away


@contextmanager
def proxy_of(url: str) -> Iterator[Proxy]:
    proxy = Proxy(url)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()


def lost_answer(ending: str, times: int = 1) -> Fault:
    """Requests whose path ends so reach the server; their answers are lost."""

    def fault(handler: Handler) -> bool:
        if not handler.path.endswith(ending):
            return False
        handler.forward()
        _met(handler, times, counted)
        handler.lose()
        return True

    counted: list[int] = []
    return fault


def refused(
    ending: str, status: int, headers: dict[str, str] | None = None, times: int = 1
) -> Fault:
    """Requests whose path ends so are answered like this, and reach nobody."""

    def fault(handler: Handler) -> bool:
        if not handler.path.endswith(ending):
            return False
        _met(handler, times, counted)
        handler.answer(httpx.Response(status, headers=headers, json={"detail": "not now"}))
        return True

    counted: list[int] = []
    return fault


def _met(handler: Handler, times: int, counted: list[int]) -> None:
    counted.append(1)
    if len(counted) >= times:
        handler.server.faults.pop(0)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
