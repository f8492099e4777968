"""`opsin serve`: up soon and light, refused where it would be open to all, ended with 0."""

import contextlib
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import LONGEST, opsin, serving


def test_a_server_starts_soon_and_without_torch(tmp_path: Path) -> None:
    settings = {"disabled_plugins": "a b"}
    arguments = ("--data-dir", tmp_path / "data")
    with serving(*arguments, cwd=tmp_path, settings=settings) as (server, url):
        assert httpx.get(f"{url}/health", trust_env=False).json()["status"] == "ok"
        # 2 s is the promise for an idle machine; the factor is for shared cores and caches.
        assert server.seconds < 2 * 2
        page = httpx.get(
            url, trust_env=False, follow_redirects=True, headers={"accept": "text/html"}
        )
        assert page.status_code == 200 and "text/html" in page.headers["content-type"]
        operations = {"query": "{ operations { name availability { available } } }"}
        assert httpx.post(f"{url}/graphql", json=operations, trust_env=False).status_code == 200
        # What a process has imported is mapped into it: torch's libraries could not hide.
        mapped = Path(f"/proc/{server.pid}/maps").read_text()
        assert "site-packages" in mapped and "/torch/" not in mapped
        assert (tmp_path / "data" / "opsin.sqlite3").is_file()
        assert [line.split()[0] for line in server.lines] == ["Viewer", "GraphQL", "Health"]
        assert server.stop() == 0
    lines = server.err.splitlines()
    assert all(line.startswith("time=") and " level=" in line for line in lines)
    (warning,) = [line for line in lines if "level=warning" in line]
    assert "message=\"the settings name a plugin that is not installed: 'a b'\"" in warning


def test_ctrl_c_ends_a_server_as_well(tmp_path: Path) -> None:
    with serving("--host", "::1", "--no-worker", cwd=tmp_path) as (server, url):
        query = {"query": "{ viewer { name } }"}
        answer = httpx.post(f"{url}/graphql", json=query, trust_env=False)
        assert answer.json() == {"data": {"viewer": {"name": "local user"}}}
        assert server.stop(signal.SIGINT) == 0


def test_who_cannot_wait_for_open_requests_says_so_twice(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as (server, url):
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port or 80)) as connection:
            # A request of which half never comes.
            connection.sendall(
                b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("draining")
            assert server.stop(signal.SIGINT) == 0
    assert "Traceback" not in server.err


def test_a_subscription_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Its stream ends at once, and not as if it were complete: the client shall come back."""
    body = {"query": "subscription { analysisEvents { cursor } }"}
    with (
        serving(cwd=tmp_path) as (server, url),
        httpx.Client(trust_env=False, timeout=LONGEST) as client,
        client.stream(
            "POST", f"{url}/graphql", json=body, headers={"accept": "text/event-stream"}
        ) as answer,
    ):
        assert answer.status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert "complete" not in "".join(answer.iter_text())
        assert server.stop() == 0
    assert "timeout graceful shutdown exceeded" not in server.err
    assert "Traceback" not in server.err


@pytest.mark.parametrize("level", ["info", "debug"])
def test_no_log_has_what_a_caller_proves_to_be_by(tmp_path: Path, level: str) -> None:
    """Neither of requests nor of sockets, in whose addresses and headers it may stand."""
    with serving(cwd=tmp_path, settings={"auth": "keys", "log_level": level}) as (server, url):
        sockets = url.replace("http", "ws", 1)
        httpx.get(f"{url}/images/{server.pid}.jpg?token=s3cr3t-a", trust_env=False)
        for path in ("/notifications/?token=s3cr3t-b", "/nowhere?token=s3cr3t-c"):
            headers = {"Authorization": "s3cr3t-d", "Cookie": "authorization=s3cr3t-e"}
            with pytest.raises(InvalidStatus), connect(sockets + path, additional_headers=headers):
                pass
        assert server.stop() == 0
    assert "s3cr3t" not in server.err
    # It is told that somebody called, all the same.
    assert "WebSocket /notifications/" in server.err.replace('\\"', "")
    assert f"path=/images/{server.pid}.jpg" in server.err
    assert "level=error" not in server.err  # who is refused is no fault of the server


def test_an_open_door_is_refused(tmp_path: Path) -> None:
    ended = opsin("serve", "--host", "0.0.0.0", "--auth", "dev", cwd=tmp_path)
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert "OPSIN_AUTH=keys" in ended.complaint
    assert not (tmp_path / "opsin-data").exists()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = opsin("serve", "--port", taken.getsockname()[1], cwd=tmp_path)
    assert ended.code == ExitCode.USAGE
    assert "--port 0" in ended.complaint


def test_an_address_of_nobody(tmp_path: Path) -> None:
    ended = opsin("serve", "--host", "nowhere.invalid", "--auth", "keys", cwd=tmp_path)
    assert ended.code == ExitCode.USAGE
    assert "nowhere.invalid" in ended.complaint


def test_a_database_that_is_away_is_one_line_and_code_3(tmp_path: Path) -> None:
    (tmp_path / "opsin-data").mkdir()
    (tmp_path / "opsin-data" / "opsin.sqlite3").write_bytes(b"this is no database" * 500)
    ended = opsin("serve", "--port", 0, cwd=tmp_path)
    assert (ended.code, ended.out) == (ExitCode.UNAVAILABLE, "")
    assert "the database cannot be used" in ended.complaint


def test_ready_says_what_is_missing(tmp_path: Path) -> None:
    with serving("--no-worker", cwd=tmp_path) as (server, url):
        found = httpx.get(f"{url}/ready", trust_env=False)
        assert found.status_code == 200 and found.json() == {
            "status": "ready",
            "checks": dict.fromkeys(("database", "migrations", "blobs", "models", "server"), "ok"),
        }
        assert found.headers["cache-control"] == "no-store"
        data = tmp_path / "opsin-data"
        with sqlite3.connect(data / "opsin.sqlite3") as database:
            database.execute("UPDATE alembic_version SET version_num = '0001'")
        while (found := httpx.get(f"{url}/ready", trust_env=False)).status_code == 200:
            time.sleep(0.05)  # it is looked at now and then
        assert found.status_code == 503 and found.json()["status"] == "not ready"
        assert found.json()["checks"]["migrations"] == "behind"
        with sqlite3.connect(data / "opsin.sqlite3") as database:
            # As a newer version leaves it, whose processes have come first.
            database.execute("UPDATE alembic_version SET version_num = 'of tomorrow'")
        while (found := httpx.get(f"{url}/ready", trust_env=False)).status_code == 503:
            time.sleep(0.05)
        assert found.json()["checks"]["migrations"] == "ok"
        assert server.stop() == 0


@pytest.mark.parametrize("path", ["/graphql", "/analyze_image"])
def test_a_body_that_trickles_is_not_waited_for(tmp_path: Path, path: str) -> None:
    settings = {"body_seconds": "1", "compat": "image_embed"}
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 100000\r\n\r\n"
    )
    with serving("--no-worker", cwd=tmp_path, settings=settings) as (server, url):
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port or 80)) as connection:
            connection.settimeout(LONGEST)
            connection.sendall(head.encode())
            answer = b""
            begun = time.monotonic()
            while not answer.endswith(b"}") and time.monotonic() < begun + LONGEST:
                with contextlib.suppress(TimeoutError):
                    connection.settimeout(0.1)
                    answer += connection.recv(4096)
                with contextlib.suppress(OSError):
                    connection.sendall(b" ")
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"connection: close" in answer.lower()
        # One that keeps coming takes its time.
        with httpx.Client(trust_env=False, timeout=LONGEST) as client:
            query = (
                b'{"query": "{ viewer { name } }", "variables": {"x": "' + b" " * 60_000 + b'"}}'
            )

            def body() -> Iterator[bytes]:
                for start in range(0, len(query), 10_000):
                    yield query[start : start + 10_000]
                    time.sleep(0.4)

            headers = {"content-type": "application/json", "content-length": str(len(query))}
            told = client.post(f"{url}/graphql", content=body(), headers=headers)
        assert told.json() == {"data": {"viewer": {"name": "local user"}}}
        assert server.stop() == 0
    assert "Traceback" not in server.err
