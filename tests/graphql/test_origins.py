"""What pages of other sites may do: nothing, unless the settings name their origin."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.exceptions import InvalidStatus

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql.asking import codes, post_file
from tests.graphql.sockets import open_socket
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRIEND, FOE = "https://app.example", "https://evil.example"
VIEWER = {"query": "{ viewer { name } }"}
ASK = '{"query": "{ viewer { name } }", "variables": {"file": null}}'
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,authorization",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_door(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server that lets pages of one other site in."""
    changes = {"cors_origins": (FRIEND,), "data_dir": tmp_path_factory.mktemp("cors")}
    async with serve(module_settings.model_copy(update=changes)) as live:
        yield live


@pytest.mark.parametrize("path", ["/", "/graphql", "/health", "/static/graphiql/index.html"])
async def test_another_host_name_is_refused_in_dev_mode(door: LiveServer, path: str) -> None:
    """A foreign page can point its own name at loopback; the Host header gives it away."""
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", ""):
        answer = await door.client.get(path, headers={"host": host})
        assert answer.status_code == 400


async def test_a_socket_for_another_host_name_is_refused(door: LiveServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(
        b"GET /graphql HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    assert b" 400 " in await reader.readline()
    writer.transport.abort()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]", "[::1]:8000", "LOCALHOST:1"])
async def test_names_of_this_machine_are_fine(door: LiveServer, host: str) -> None:
    answer = await door.client.get("/health", headers={"host": host})
    assert answer.json()["status"] == "ok"


async def test_no_page_of_another_site_reads_anything_by_default(door: LiveServer) -> None:
    answer = await door.client.post("/graphql", json=VIEWER, headers={"origin": FOE})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = await door.client.options("/graphql", headers={"origin": FOE} | PREFLIGHT)
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]


async def test_a_named_origin_is_let_in_and_no_other(open_door: LiveServer) -> None:
    client = open_door.client
    preflight = await client.options("/graphql", headers={"origin": FRIEND} | PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == FRIEND
    answer = await client.post("/graphql", json=VIEWER, headers={"origin": FRIEND})
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert (await client.options("/graphql", headers={"origin": FOE} | PREFLIGHT)).is_error
    answer = await client.post("/graphql", json=VIEWER, headers={"origin": FOE})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_of_another_site_cannot_post_a_form(
    door: LiveServer, open_door: LiveServer
) -> None:
    """A browser sends forms, unlike JSON, without asking first."""
    for origin in (FOE, "null"):
        answer = await post_file(
            door.client, ASK, solid_png(), "variables.file", headers={"origin": origin}
        )
        assert answer.status_code == 403
        assert codes(answer.json()) == ["BAD_REQUEST"]
    for headers in (
        {"origin": door.url},
        {"origin": FOE, "graphql-require-preflight": "1"},
        {"origin": FOE, "sec-fetch-site": "same-origin"},
        {},
    ):
        answer = await post_file(door.client, ASK, solid_png(), "variables.file", headers=headers)
        assert answer.status_code == 200
    answer = await post_file(
        open_door.client, ASK, solid_png(), "variables.file", headers={"origin": FRIEND}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_what_a_page_may_send_unasked_is_no_request(
    door: LiveServer, content_type: str
) -> None:
    answer = await door.client.post(
        "/graphql", content=ASK.encode(), headers={"content-type": content_type, "origin": FOE}
    )
    assert answer.status_code == 415


async def test_a_page_of_another_site_opens_no_socket(
    door: LiveServer, open_door: LiveServer
) -> None:
    for live, origin in ((door, FOE), (door, FRIEND), (open_door, FOE)):
        with pytest.raises(InvalidStatus) as refused:
            async with open_socket(live, origin=origin):
                pass
        assert refused.value.response.status_code == 403
    for live, origin in ((door, door.url), (open_door, FRIEND)):
        async with open_socket(live, origin=origin) as socket:
            await socket.start()
