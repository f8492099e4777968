"""A model hub over real HTTP in Hugging Face's layout: the hub, and the host of its large files."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = "openai/tiny-clip"
COMMIT = "a" * 40


def safetensors(*shape: int, fill: int = 1, name: str = "weight") -> bytes:
    """A real file of one float32 tensor, as the library writes it."""
    size = 4
    for side in shape:
        size *= side
    told = {name: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}}
    header = json.dumps(told).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + bytes([fill]) * size


CONFIG = b'{"hidden_size": 4}'
WEIGHTS = safetensors(700, 700)  # about 2 MB: more than one chunk
FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS}


@dataclass
class FakeHub:
    """What the hub has, how it misbehaves, and what it was asked."""

    url: str = ""
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {COMMIT: dict(FILES)})
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    repository: str = REPOSITORY
    token: str | None = None
    """Without it, the repository is gated."""
    plain: bool = False
    """A mirror that is but a file server: no redirects, no headers of the hub."""
    status: int | None = None
    corrupt: set[str] = field(default_factory=set)
    """Files that are sent with another last byte."""
    breaks_after: int | None = None
    """The next large file breaks off after so many bytes."""
    stalls_after: int | None = None
    """The next large file stops after so many bytes until `go` is set."""
    stalled: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    """`HEAD config.json`, `GET model.safetensors bytes=3-`, ... in order."""
    seen_by_storage: list[str | None] = field(default_factory=list)
    """The authorization that reached the host of the large files."""

    @property
    def gets(self) -> list[str]:
        return [line.removeprefix("GET ") for line in self.asked if line.startswith("GET ")]


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub
    storage_url: str

    def do_GET(self) -> None:
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *arguments: Any) -> None: ...

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class _Hub(_Answering):
    def do_GET(self) -> None:
        hub, path = self.hub, urlsplit(self.path).path
        cached = path.startswith("/api/resolve-cache/")
        owner, name, _, revision, *rest = path.removeprefix("/api/resolve-cache/models").split("/")[
            1:
        ]
        file = unquote("/".join(rest))
        if not cached:
            asked = self.headers.get("range")
            hub.asked.append(f"{self.command} {file}{f' {asked}' if asked else ''}")
        refusal = self.refusal(f"{owner}/{name}", unquote(revision), file)
        if refusal is not None:
            status, code = refusal
            self.answer(status, b"refused", **({"x_error_code": code} if code else {}))
            return
        commit = hub.branches.get(unquote(revision), unquote(revision))
        content = hub.commits[commit][file]
        if hub.plain:
            self.content(content, etag='"5f3-61"')
        elif file.endswith(".safetensors"):
            self.answer(
                302,
                b"Found. Redirecting",
                location=f"{self.storage_url}/{commit}/{file}?signature=s3cr3t",
                x_repo_commit=commit,
                x_linked_size=str(len(content)),
                x_linked_etag=f'"{hashlib.sha256(content).hexdigest()}"',
            )
        elif cached:
            sent = content[:-1] + b"!" if file in hub.corrupt else content
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self.answer(200, sent, etag=f'"{git}"', x_repo_commit=commit)
        else:
            target = f"/api/resolve-cache/models/{owner}/{name}/resolve/{commit}/{file}"
            self.answer(307, b"elsewhere", location=target, x_repo_commit=commit)

    def refusal(self, repository: str, revision: str, file: str) -> tuple[int, str | None] | None:
        hub = self.hub
        if hub.status is not None:
            return hub.status, None
        token = self.headers.get("authorization")
        if repository != hub.repository:
            return (404 if token else 401), "RepoNotFound"
        if hub.token is not None and token != f"Bearer {hub.token}":
            return (403 if token else 401), "GatedRepo"
        commit = hub.branches.get(revision, revision)
        if commit not in hub.commits:
            return 404, "RevisionNotFound"
        if file not in hub.commits[commit]:
            return 404, None if hub.plain else "EntryNotFound"
        return None

    def content(self, content: bytes, **headers: str) -> None:
        self.answer(200, content, **headers)


class _Storage(_Answering):
    def do_GET(self) -> None:
        hub, address = self.hub, urlsplit(self.path)
        assert parse_qs(address.query)["signature"] == ["s3cr3t"]
        hub.seen_by_storage.append(self.headers.get("authorization"))
        commit, file = unquote(address.path).lstrip("/").split("/", 1)
        content = hub.commits[commit][file]
        if file in hub.corrupt:
            content = content[:-1] + b"!"
        asked = self.headers.get("range")
        start = int(asked[6:-1]) if asked else 0
        if start >= len(content):
            self.answer(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("content-length", str(len(body)))
        # 64 hex digits and no sha256: the storage's own hash must not be taken for one.
        self.send_header("etag", '"' + "e" * 64 + '"')
        self.end_headers()
        if hub.breaks_after is not None:
            self.wfile.write(body[: hub.breaks_after])
            hub.breaks_after = None
            self.close_connection = True
        elif hub.stalls_after is not None:
            self.wfile.write(body[: hub.stalls_after])
            self.wfile.flush()
            rest, hub.stalls_after = body[hub.stalls_after :], None
            hub.stalled.set()
            hub.go.wait(30)
            try:
                self.wfile.write(rest)
            except OSError:  # the client was killed meanwhile
                self.close_connection = True
        else:
            self.wfile.write(body)


@contextmanager
def serving_hub() -> Iterator[FakeHub]:
    """Two hosts as far as HTTP is concerned: two ports."""
    hub = FakeHub()
    storage = ThreadingHTTPServer(("127.0.0.1", 0), type("Storage", (_Storage,), {"hub": hub}))
    storage_url = f"http://127.0.0.1:{storage.server_port}"
    handler = type("Hub", (_Hub,), {"hub": hub, "storage_url": storage_url})
    front = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{front.server_port}"
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        for server in (front, storage)
    ]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        hub.go.set()
        for server in (front, storage):
            server.shutdown()
        for thread in threads:
            thread.join()
        for server in (front, storage):
            server.server_close()
