"""`opsin serve --workers`: what dies is started again, and a rolling restart loses nothing."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from bench.rolling_restart import LAST, Load, Server, an_image, create, data_of, running
from opsin.cli.child import Inherited
from opsin.cli.exit_codes import ExitCode
from tests.cli.command import NO_BUILTINS, opsin, serving
from tests.node import node_tool

_WORKERS = 2
_SETTINGS = {f"OPSIN_{name.upper()}": value for name, value in NO_BUILTINS.items()}


def test_what_a_process_inherits_goes_through_a_command_line() -> None:
    folder = Path("/tmp/of: two words")
    for given in (Inherited("1", folder, 3, 4), Inherited("worker", folder, 5)):
        assert Inherited.of_option(given.as_option()) == given


@pytest.fixture
async def server(tmp_path: Path, any_database_url: str) -> AsyncIterator[Server]:
    settings = {**_SETTINGS, "OPSIN_DATABASE_URL": any_database_url}
    async with running(tmp_path, _WORKERS, settings) as found:
        yield found


@pytest.mark.usefixtures("node_clients")
async def test_a_rolling_restart_loses_no_request_and_no_event(server: Server) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        image = await an_image(client, server.url)
        before = children(server.process.pid)
        assert [command_of(pid) for pid in before] == ["serve"] * _WORKERS + ["worker"]
        # Not more than leaves the processor to those that start.
        load = Load(server.url, image, pause=0.03)
        sockets = server.url.replace("http", "ws", 1) + "/graphql"
        following = asyncio.create_task(node_tool("restart.mjs", sockets, image, LAST))
        while not any(name == "socket" for name in await names(client, server.url, image)):
            assert not following.done(), following.result().stderr
            await asyncio.sleep(0.05)
        await load.start(1)
        await server.roll()
        after = children(server.process.pid)
        assert len(after) == _WORKERS + 1 and not set(before) & set(after)
        await load.end()
        await create(client, server.url, image, LAST)
        await load.followed()
        done = await following
        assert done.returncode == 0, done.stderr
    assert load.failures == []
    assert load.counts["reads on kept connections"] and load.counts["slow bodies"]
    assert_complete(load.heard, load.created)
    followed = json.loads(done.stdout)
    assert not [event for event in followed["events"] if "fault" in event]
    heard = [(event["cursor"], event["id"]) for event in followed["events"]]
    # What was asked on a socket was done once, though the socket was closed meanwhile.
    assert_complete(heard, {*load.created, *followed["created"]})
    assert 1012 in followed["codes"] and set(followed["codes"]) <= {1000, 1012}


def assert_complete(heard: list[tuple[str, str]], created: set[str]) -> None:
    """In order, each once, and none missing of those that the caller knows of."""
    cursors = [cursor for cursor, _ in heard]
    assert cursors == sorted(set(cursors))
    assert created <= {identity for _, identity in heard}


async def names(client: httpx.AsyncClient, url: str, image: str) -> list[str]:
    query = "query($id: ID!) { image(id: $id) { analyses { nodes { modelName } } } }"
    body = {"query": query, "variables": {"id": image}}
    found = data_of(await client.post(f"{url}/graphql", json=body))
    return [one["modelName"] for one in found["image"]["analyses"]["nodes"]]


def command_of(pid: int) -> str:
    """The command of a process of `opsin`."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return words[words.index("opsin") + 1]


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    arguments = ("--workers", 2, "--no-worker")
    with serving(*arguments, cwd=tmp_path, settings=NO_BUILTINS) as (server, url):
        first, second = children(server.pid)
        os.kill(first, signal.SIGKILL)
        # The other one takes what comes meanwhile.
        assert httpx.get(f"{url}/health", trust_env=False, timeout=30).status_code == 200
        server.wait_for("was ended by SIGKILL; it is started again")
        while len(now := children(server.pid)) < 2 or first in now:
            time.sleep(0.02)
        assert second in now
        assert server.stop() == 0
    assert "Traceback" not in server.err


def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    with serving("--workers", 1, cwd=tmp_path, settings=NO_BUILTINS) as (server, _url):
        orphans = children(server.pid)
        assert len(orphans) == 2
        server.process.kill()
        until = time.monotonic() + 60
        while any(Path(f"/proc/{one}/task/{one}/children").exists() for one in orphans):
            assert time.monotonic() < until
            time.sleep(0.05)


def test_what_keeps_the_first_from_starting_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "opsin-data").mkdir()
    (tmp_path / "opsin-data" / "opsin.sqlite3").write_bytes(b"this is no database" * 500)
    ended = opsin("serve", "--port", 0, "--workers", 3, cwd=tmp_path, settings=NO_BUILTINS)
    assert (ended.code, ended.out) == (ExitCode.UNAVAILABLE, "")
    assert "the database cannot be used" in ended.complaint


def test_a_restart_that_cannot_be_leaves_everything_running(tmp_path: Path) -> None:
    with serving("--workers", 2, cwd=tmp_path, settings=NO_BUILTINS) as (server, url):
        before = children(server.pid)
        # As a new version does that does not start: it wants what is not there.
        secret = tmp_path / "opsin-data" / "secret.key"
        secret.unlink()
        secret.mkdir()
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("the rolling restart is broken off")
        assert children(server.pid) == before
        assert httpx.get(f"{url}/ready", trust_env=False).status_code == 200
        assert server.stop() == 0


async def test_what_is_under_way_is_answered_and_the_connection_closed(tmp_path: Path) -> None:
    with serving("--no-worker", cwd=tmp_path, settings=NO_BUILTINS) as (server, url):
        address = httpx.URL(url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        idle_reader, idle_writer = await asyncio.open_connection(address.host, address.port)
        for one in (writer, idle_writer):
            one.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'"ready"' in await whole_answer(reader)
        assert b'"ready"' in await whole_answer(idle_reader)
        query = b'{"query": "{ viewer { name } }"}'
        head = (
            b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(query)
        )
        writer.write(head + query[:5])
        await writer.drain()
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait_for, "draining")
        idle_writer.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await whole_answer(idle_reader)
        assert answer.startswith(b"HTTP/1.1 503") and b'"draining"' in answer
        assert b"connection: close" in answer.lower() and await idle_reader.read() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(address.host, address.port)
        writer.write(query[5:])
        answer = await whole_answer(reader)
        assert b"local user" in answer and b"connection: close" in answer.lower()
        assert await reader.read() == b""
        assert await asyncio.to_thread(server.process.wait, 60) == 0
        for one in (writer, idle_writer):
            one.close()


async def whole_answer(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    length = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    return head + await asyncio.wait_for(reader.readexactly(length), 30)


async def test_a_socket_is_closed_with_the_code_that_says_come_back(tmp_path: Path) -> None:
    with serving("--no-worker", cwd=tmp_path, settings=NO_BUILTINS) as (server, url):
        address = url.replace("http", "ws", 1) + "/graphql"
        async with connect(address, subprotocols=["graphql-transport-ws"]) as opened:  # type: ignore[list-item]  # a NewType of str
            await opened.send('{"type": "connection_init"}')
            assert "connection_ack" in str(await opened.recv())
            query = "subscription { analysisEvents { cursor } }"
            await opened.send(
                json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}})
            )
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosedError):
                await opened.recv()
            assert opened.close_code == 1012
        assert await asyncio.to_thread(server.process.wait, 60) == 0
    assert "Traceback" not in server.err


def test_a_head_that_never_comes_is_not_waited_for(tmp_path: Path) -> None:
    settings = {**NO_BUILTINS, "body_seconds": "0.5"}
    with serving("--no-worker", cwd=tmp_path, settings=settings) as (server, url):
        address = httpx.URL(url)
        for sent, expected in ((b"", b""), (b"GET /health HTTP/1.1\r\nHo", b"HTTP/1.1 408")):
            with socket.create_connection((address.host, address.port or 80)) as connection:
                connection.settimeout(30)
                connection.sendall(sent)
                assert connection.recv(1000).startswith(expected)
                assert connection.recv(1000) == b""
        assert server.stop() == 0
