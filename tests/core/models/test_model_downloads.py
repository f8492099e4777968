"""Models of one file: pulled over real HTTP, resumed, imported, held to their sha256."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from opsin.core.contract import (
    Bundled,
    Download,
    ModelRequirement,
)
from opsin.core.errors import (
    ConfigurationError,
    Conflict,
    FetchFailed,
    InvalidInput,
    OperationUnavailable,
    StorageError,
)
from opsin.core.models import files as model_files
from opsin.core.models.store import ModelStore
from tests.core.model_stores import names_in, operation, without_proxies

WEIGHTS = bytes(range(256)) * 9000  # more than two chunks
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@dataclass
class Origin:
    """A weights server, and how it misbehaves."""

    url: str = ""
    content: bytes = WEIGHTS
    resumes: bool = True
    breaks_after: int | None = None
    redirect: str | None = None
    status: int | None = None
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    without_proxies(monkeypatch)
    state = Origin()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("range")
            state.ranges.append(asked)
            if state.redirect or state.status:
                self.send_response(302 if state.redirect else state.status or 500)
                if state.redirect:
                    self.send_header("location", state.redirect)
                self.send_header("content-length", "0")
                self.end_headers()
                state.redirect = None
                return
            start = int(asked[6:-1]) if asked and state.resumes else 0
            if start >= len(state.content):
                self.send_response(416)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if state.breaks_after is not None:
                self.wfile.write(body[: state.breaks_after])
                state.breaks_after = None
                self.close_connection = True
            else:
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def required(url: str = "https://models.invalid/w", prefix: str = DIGEST[:8]) -> ModelRequirement:
    return ModelRequirement("detector", "tiny", Download(url, "tiny.pth", prefix), "MIT")


def test_pull_downloads_verifies_and_tells_of_its_progress(tmp_path: Path, origin: Origin) -> None:
    told: list[tuple[int, int | None]] = []
    store = ModelStore(tmp_path / "new" / "models")
    located = store.pull(required(origin.url), lambda done, total: told.append((done, total)))
    assert located.paths[0].read_bytes() == WEIGHTS
    assert located.fingerprint == DIGEST
    assert told[0] == (0, len(WEIGHTS)) and told[-1] == (len(WEIGHTS), len(WEIGHTS))
    assert sorted(p.name for p in store.directory.iterdir()) == ["fingerprints.json", "tiny.pth"]
    assert store.pull(required(origin.url)) == located
    assert len(origin.ranges) == 1, "what is here is not fetched again"


def test_pull_goes_on_from_where_it_broke_off(tmp_path: Path, origin: Origin) -> None:
    origin.breaks_after = 700_000
    store = ModelStore(tmp_path)
    with pytest.raises(FetchFailed, match=r"'tiny' broke off \(RemoteProtocolError\)") as caught:
        store.pull(required(origin.url))
    assert "127.0.0.1" not in caught.value.message
    assert not (tmp_path / "tiny.pth").exists()
    here = (tmp_path / "tiny.pth.part").stat().st_size
    assert 0 < here <= 700_000
    assert store.pull(required(origin.url)).fingerprint == DIGEST
    assert origin.ranges == [None, f"bytes={here}-"]


def test_pull_starts_over_when_the_server_does_not_resume(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "tiny.pth.part").write_bytes(WEIGHTS[:1000])
    origin.resumes = False
    assert ModelStore(tmp_path).pull(required(origin.url)).fingerprint == DIGEST
    assert origin.ranges == ["bytes=1000-"]


def test_pull_takes_a_beginning_that_is_already_whole(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "tiny.pth.part").write_bytes(WEIGHTS)
    assert ModelStore(tmp_path).pull(required(origin.url)).fingerprint == DIGEST


@pytest.mark.parametrize("beginning", [b"not the beginning", WEIGHTS + b"too much"])
def test_pull_throws_a_beginning_away_that_does_not_fit(
    tmp_path: Path, origin: Origin, beginning: bytes
) -> None:
    (tmp_path / "tiny.pth.part").write_bytes(beginning)
    assert ModelStore(tmp_path).pull(required(origin.url)).fingerprint == DIGEST
    assert origin.ranges == [f"bytes={len(beginning)}-", None]


def test_pull_keeps_nothing_of_a_wrong_hash(tmp_path: Path, origin: Origin) -> None:
    with pytest.raises(FetchFailed) as caught:
        ModelStore(tmp_path).pull(required(origin.url, "00000000"))
    assert caught.value.message == (
        f"these are not the weights of 'tiny': the sha256 of tiny.pth begins with {DIGEST[:8]}, "
        "not with 00000000; nothing was kept"
    )
    assert list(tmp_path.iterdir()) == []


def test_pull_replaces_a_wrong_file(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "tiny.pth").write_bytes(b"something else")
    assert ModelStore(tmp_path).pull(required(origin.url)).fingerprint == DIGEST


def test_pull_follows_a_redirect(tmp_path: Path, origin: Origin) -> None:
    origin.redirect = "/elsewhere"
    assert ModelStore(tmp_path).pull(required(origin.url)).fingerprint == DIGEST


def test_pull_tells_of_a_refusal_and_of_a_dead_server(tmp_path: Path, origin: Origin) -> None:
    origin.status = 404
    with pytest.raises(FetchFailed, match="'tiny' was answered with HTTP 404"):
        ModelStore(tmp_path).pull(required(origin.url))
    with pytest.raises(FetchFailed, match="ConnectError"):
        ModelStore(tmp_path).pull(required("http://127.0.0.1:1/x"))
    with pytest.raises(FetchFailed, match="UnsupportedProtocol"):
        ModelStore(tmp_path).pull(required("file:///etc/hostname"))


def test_two_pulls_of_one_file_do_not_mix(tmp_path: Path, origin: Origin) -> None:
    with (
        model_files.exclusive(tmp_path / "tiny.pth.lock"),
        pytest.raises(Conflict, match="another process"),
    ):
        ModelStore(tmp_path).pull(required(origin.url))
    assert ModelStore(tmp_path).pull(required(origin.url)).fingerprint == DIGEST


def test_offline_downloads_nothing_and_says_what_to_do(tmp_path: Path, origin: Origin) -> None:
    store = ModelStore(tmp_path, offline=True)
    with pytest.raises(ConfigurationError, match="opsin models import tiny FILE"):
        store.pull(required(origin.url))
    assert origin.ranges == []
    assert "opsin models import tiny FILE" in (store.missing(operation(required())) or "")
    (tmp_path / "tiny.pth").write_bytes(WEIGHTS)
    assert store.pull(required(origin.url)).fingerprint == DIGEST


def test_install_takes_a_file_that_was_carried_here(tmp_path: Path) -> None:
    carried = tmp_path / "stick" / "any name"
    carried.parent.mkdir()
    carried.write_bytes(WEIGHTS)
    store = ModelStore(tmp_path / "models", offline=True)
    assert store.install(required(), carried).paths == (tmp_path / "models" / "tiny.pth",)
    assert carried.exists()


def test_install_refuses_a_wrong_or_missing_file(tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    store = ModelStore(tmp_path / "models")
    with pytest.raises(InvalidInput, match="no such file"):
        store.install(required(), carried)
    carried.write_bytes(b"something else")
    with pytest.raises(InvalidInput, match=r"not the weights of 'tiny'.*nothing was kept"):
        store.install(required(), carried)
    assert list(store.directory.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "file").write_text("")
    store = ModelStore(tmp_path / "file" / "models")
    with pytest.raises(StorageError, match="'tiny' cannot be written: Not a directory"):
        store.pull(required(origin.url))
    with pytest.raises(StorageError, match="'tiny' cannot be written: Not a directory"):
        store.install(required(), Path(__file__))


def test_install_takes_the_file_out_of_a_folder(tmp_path: Path) -> None:
    carried = tmp_path / "stick"
    carried.mkdir()
    (carried / "tiny.pth").write_bytes(WEIGHTS)
    store = ModelStore(tmp_path / "models")
    assert store.install(required(), carried).fingerprint == DIGEST


def test_verify_reads_every_file_again(tmp_path: Path, origin: Origin) -> None:
    store = ModelStore(tmp_path)
    with pytest.raises(OperationUnavailable, match="opsin models pull tiny"):
        store.verify(required())
    store.pull(required(origin.url))
    (check,) = store.verify(required())
    assert (check.name, check.sha256, check.expected) == ("tiny.pth", DIGEST, DIGEST[:8])
    assert (check.size, check.problem) == (len(WEIGHTS), None)
    state = (tmp_path / "tiny.pth").stat()
    (tmp_path / "tiny.pth").write_bytes(WEIGHTS[:-1] + b"!")
    os.utime(tmp_path / "tiny.pth", ns=(state.st_mtime_ns, state.st_mtime_ns))
    assert store.missing(operation(required())) is None, "nobody has looked yet"
    (check,) = store.verify(required())
    assert "the sha256 of tiny.pth begins with" in (check.problem or "")
    assert "opsin models pull tiny" in (store.missing(operation(required())) or "")


def test_remove_takes_the_file_and_what_was_begun(tmp_path: Path) -> None:
    for suffix in ("", ".part", ".install"):
        (tmp_path / f"tiny.pth{suffix}").write_bytes(b"x")
    store = ModelStore(tmp_path)
    store.remove(required())
    store.remove(required())
    assert names_in(tmp_path) == []
    model = ModelRequirement("r", "bundle", Bundled("opsin", ("__init__.py",)), "MIT")
    with pytest.raises(InvalidInput, match="'bundle' come with a package"):
        store.remove(model)
    assert store.verify(model)[0].problem is None
