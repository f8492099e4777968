"""Small GraphQL requests over HTTP, in turns with /health and an ASGI app that does nothing.

Each server has one process on one core, each client one kept-alive connection and one request at a
time.  Every case has its turn in every round; a ratio is the median over the rounds.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from bench.databases import each_database
from bench.pictures import portrait
from bench.server import new_image, wait_until_accepting

ROUNDS = 40
REQUESTS = 50
"""Of each case in each round."""

BARE, HEALTH = "ASGI app that does nothing", "/health"
IMAGE = "query($id: ID!) { node(id: $id) { ... on Image { id filename width height sha256 } } }"
UPLOAD = """mutation($file: Upload!) { analyzeImage(input: {file: $file, tasks: []}) {
  picture { format width height } } }"""


class Connection:
    """A kept-alive connection that sends bytes made before, and reads one answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, contains: bytes) -> float:
        """Seconds until the whole answer is there, which has to contain this."""
        started = time.perf_counter()
        self._socket.sendall(request)
        answer = self._answer()
        seconds = time.perf_counter() - started
        if not answer.startswith(b"HTTP/1.1 200") or contains not in answer:
            raise AssertionError(answer)
        return seconds

    def _answer(self) -> bytes:
        answer = b""
        while True:
            answer += self._socket.recv(65536)
            head, separator, body = answer.partition(b"\r\n\r\n")
            if separator:
                length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
                if len(body) >= int(length):
                    return answer


class Case:
    """One kind of request to one server process."""

    def __init__(self, name: str, server: "Server", request: bytes, contains: bytes) -> None:
        self.name = name
        self._process, port = server
        self._connection = Connection(port)
        self._request = request
        self._contains = contains
        self.latencies: list[float] = []
        self.processor: list[float] = []

    def turn(self) -> None:
        """REQUESTS requests: the median seconds, and the server's processor seconds of each."""
        before = _processor_seconds(self._process.pid)
        seconds = [self._connection.ask(self._request, self._contains) for _ in range(REQUESTS)]
        self.processor.append((_processor_seconds(self._process.pid) - before) / REQUESTS)
        self.latencies.append(statistics.median(seconds))


def main() -> list[dict[str, Any]]:
    results = []
    cores = sorted(os.sched_getaffinity(0))
    for database, url, folder in each_database():
        with ExitStack() as stack:
            bare = stack.enter_context(_server(_BARE, cores[-1]))
            dev = stack.enter_context(_server(_opsin(folder / "dev", url, "dev"), cores[-1]))
            image = new_image(_client(dev), portrait())
            keyed, key = stack.enter_context(_keyed_server(folder, url, cores[-1]))
            if len(cores) > 1:
                os.sched_setaffinity(0, cores[:-1])
            cases = [
                Case(BARE, bare, _post("{ __typename }"), b"Query"),
                Case(HEALTH, dev, _request("GET", "/health"), b"ok"),
                Case("{ __typename }", dev, _post("{ __typename }"), b"Query"),
                Case("{ viewer { name } }", dev, _post("{ viewer { name } }"), b"local user"),
                Case(
                    "{ viewer { name } } with an API key",
                    keyed,
                    _post("{ viewer { name } }", headers={"x-api-key": key}),
                    b"bench",
                ),
                Case("node(id), 5 fields", dev, _post(IMAGE, id=image), b"bench"),
                Case("upload of 60 KB, no task", dev, upload(UPLOAD, portrait()), b"JPEG"),
            ]
            for _ in range(ROUNDS):
                for case in cases:
                    case.turn()
            os.sched_setaffinity(0, cores)
            results += [_summary(database, case, cases) for case in cases]
    return results


def _summary(database: str, case: Case, cases: list[Case]) -> dict[str, Any]:
    health = next(other for other in cases if other.name == HEALTH)
    pairs = zip(case.latencies[2:], health.latencies[2:], strict=True)
    result = {
        "database": database,
        "request": case.name,
        "p50_ms": round(statistics.median(case.latencies[2:]) * 1000, 3),
        "processor_ms": round(statistics.mean(case.processor[2:]) * 1000, 3),
        "of_health": round(statistics.median(mine / its for mine, its in pairs), 2),
    }
    print(result, flush=True)
    return result


def _processor_seconds(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", "accept: */*"]
    if body:
        lines.append(f"content-length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _post(query: str, headers: dict[str, str] | None = None, **variables: Any) -> bytes:
    body = orjson.dumps({"query": query, "variables": variables})
    return _request("POST", "/graphql", body, content_type="application/json", **(headers or {}))


def upload(mutation: str, picture: bytes) -> bytes:
    """A request by the multipart request specification, whose variable is `file`."""
    form = {
        "operations": (None, orjson.dumps({"query": mutation, "variables": {"file": None}})),
        "map": (None, b'{"0": ["variables.file"]}'),
        "0": ("picture.jpg", picture, "image/jpeg"),
    }
    made = httpx.Request("POST", "http://127.0.0.1/graphql", files=form)
    return _request("POST", "/graphql", made.read(), content_type=made.headers["content-type"])


Server = tuple["subprocess.Popen[bytes]", int]

_BARE = (["-m", "uvicorn", "bench.raw_asgi:app", "--loop", "uvloop", "--http", "httptools",
          "--no-access-log", "--no-server-header", "--lifespan", "off", "--log-level", "error"],
         {})  # fmt: skip


def _opsin(folder: Path, url: str, auth: str) -> tuple[list[str], dict[str, str]]:
    return ["-m", "opsin", "serve"], {
        "OPSIN_DATA_DIR": str(folder),
        "OPSIN_DATABASE_URL": url,
        "OPSIN_AUTH": auth,
        "OPSIN_LOG_LEVEL": "error",
        "OPSIN_WORKER": "false",
    }


@contextmanager
def _keyed_server(folder: Path, url: str, core: int) -> Iterator[tuple[Server, str]]:
    """A server that wants keys, and one of its keys."""
    command, environment = _opsin(folder / "keys", url, "keys")
    made = subprocess.run(
        [sys.executable, "-m", "opsin", "keys", "create", "bench", "--json"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    with _server((command, environment), core) as server:
        yield server, str(json.loads(made.stdout)["key"])


@contextmanager
def _server(command: tuple[list[str], dict[str, str]], core: int) -> Iterator[Server]:
    """A server in a process of its own on one core, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments, environment = command
    process = subprocess.Popen(
        [sys.executable, *arguments, "--port", str(port)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            wait_until_accepting(client, process)
        # Its threads too, which have been started by now.
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
        yield process, port
    finally:
        process.terminate()
        process.wait()


def _client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{server[1]}", timeout=120)


if __name__ == "__main__":
    main()
