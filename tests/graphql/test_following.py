"""Following analyses to their end: by the graphql-ws client of npm, and by server-sent events."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.core.given_plugins import given
from tests.graphql.asking import ANALYZE, SET_STATUS, external, image, set_status
from tests.graphql.conftest import KeyServer, new_key, revoke
from tests.graphql.sockets import open_socket, started_socket
from tests.node import node_tool

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = """subscription($id: ID, $after: Cursor) {
  analysisEvents(analysisId: $id, after: $after) { cursor kind status analysis { status } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def working(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server with a worker and an operation that needs no model."""
    folder = tmp_path_factory.mktemp("working")
    settings = module_settings.model_copy(update={"data_dir": folder, "worker": True})
    async with serve(settings, more_plugins=[given(FakeOperation("see"))]) as live:
        yield live


async def asked(live: LiveServer) -> str:
    given = {"imageId": await image(live), "tasks": [{"operation": "see"}]}
    return str((await live.data(ANALYZE, input=given))["analyze"][0]["id"])


async def followed(*arguments: str) -> list[dict[str, Any]]:
    done = await node_tool("follow.mjs", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.usefixtures("node_clients")
async def test_the_graphql_ws_client_follows_an_analysis(working: LiveServer) -> None:
    analysis_id = await asked(working)
    events = await followed(working.websocket_url, analysis_id, "0")
    assert events[-1]["analysis"] == {"id": analysis_id, "status": "COMPLETED"}
    everything = await followed_by_sse(working, analysis_id, "0")
    assert [event["kind"] for event in everything] == ["QUEUED", "PROCESSING", "COMPLETED"]
    assert [event["status"] for event in everything] == ["QUEUED", "PROCESSING", "COMPLETED"]


@pytest.mark.usefixtures("node_clients")
async def test_a_replay_goes_on_after_the_cursor(working: LiveServer) -> None:
    analysis_id = await asked(working)
    _, second, third = await followed_by_sse(working, analysis_id, "0")
    events = await followed(working.websocket_url, analysis_id, second["cursor"])
    assert [event["cursor"] for event in events] == [third["cursor"]]


@pytest.mark.usefixtures("node_clients")
async def test_the_client_follows_with_an_api_key(keys: KeyServer) -> None:
    live = keys.live
    live.client.headers["authorization"] = f"Bearer {keys.ours}"
    analysis_id = await external(live)
    await set_status(live, analysis_id, "PROCESSING")
    await set_status(live, analysis_id, "COMPLETED")
    events = await followed(live.websocket_url, analysis_id, "0", keys.ours)
    assert events[-1]["analysis"]["status"] == "COMPLETED"


@pytest.mark.usefixtures("node_clients")
@pytest.mark.parametrize("key", ["", "wrong", "opsin_0_\x00", "revoked"])
async def test_a_wrong_key_is_refused_with_4403(keys: KeyServer, key: str) -> None:
    given = keys.revoked if key == "revoked" else key
    async with open_socket(keys.live) as socket:
        payload = {"Authorization": f"Bearer {given}"} if given else {}
        await socket.send({"type": "connection_init", "payload": payload})
        assert await socket.closed() == 4403
    async with open_socket(keys.live, additional_headers={"x-api-key": "wrong"}) as socket:
        assert await socket.closed() == 4403
    if key == "wrong":  # the whole way once, as a browser's client would see it
        done = await node_tool("follow.mjs", keys.live.websocket_url, "x", "", given)
        assert done.returncode == 1
        assert "4403" in done.stderr


async def test_a_key_may_come_with_the_handshake(keys: KeyServer) -> None:
    async with open_socket(keys.live, additional_headers={"x-api-key": keys.theirs}) as socket:
        await socket.start()
        await socket.subscribe("1", "{ viewer { company } }")
        assert (await socket.next())["data"] == {"viewer": {"company": "theirs"}}


async def test_a_revoked_key_ends_what_it_follows(keys: KeyServer) -> None:
    key, other = await new_key(keys.parts, "ours"), {"x-api-key": keys.ours}
    keys.live.client.headers.update(other)
    analysis_id = await external(keys.live)
    async with started_socket(keys.live, {"x-api-key": key}) as socket:
        await socket.subscribe("1", FOLLOW, id=analysis_id, after="0")
        await socket.next()
        await revoke(keys.parts, key)
        await set_status(keys.live, analysis_id, "PROCESSING")
        ended = await socket.next()
        assert ended["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert (await socket.receive())["type"] == "complete"
        await socket.subscribe("2", "{ viewer { name } }")
        assert (await socket.receive())["type"] == "error"


async def followed_by_sse(
    live: LiveServer, analysis_id: str, after: str | None
) -> list[dict[str, Any]]:
    """The events until the analysis has ended."""
    request = {"query": FOLLOW, "variables": {"id": analysis_id, "after": after}}
    async with live.client.stream(
        "POST", "/graphql", json=request, headers={"accept": "text/event-stream"}
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        events = []
        async for event in sse_events(answer):
            events.append(event)
            if event["status"] in ("COMPLETED", "FAILED", "CANCELLED"):
                return events
    raise AssertionError("the stream ended first")


async def sse_events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: {"):
            body = json.loads(line.removeprefix("data: "))
            assert "errors" not in body, body
            yield body["data"]["analysisEvents"]


async def test_server_sent_events_by_get(working: LiveServer) -> None:
    analysis_id = await asked(working)
    variables = json.dumps({"id": analysis_id, "after": "0"})
    async with working.client.stream(
        "GET",
        "/graphql",
        params={"query": FOLLOW, "variables": variables},
        headers={"accept": "text/event-stream"},
    ) as answer:
        async for event in sse_events(answer):
            if event["status"] == "COMPLETED":
                break


async def test_the_event_cursor_is_where_a_reader_starts(door: LiveServer) -> None:
    """Read it, read the state, subscribe: what happens in between comes."""
    analysis_id = await external(door)
    cursor = (await door.data("{ eventCursor }"))["eventCursor"]
    await set_status(door, analysis_id, "PROCESSING")
    async with started_socket(door) as socket:
        await socket.subscribe("1", FOLLOW, id=analysis_id, after=cursor)
        event = (await socket.next())["data"]["analysisEvents"]
        assert (event["kind"], event["status"]) == ("PROCESSING", "PROCESSING")


async def test_one_socket_reads_anew_for_every_operation(door: LiveServer) -> None:
    analysis_id = await external(door)
    query = "query($id: ID!) { analysis(id: $id) { status } }"
    async with started_socket(door) as socket:
        for status in ("QUEUED", "PROCESSING", "COMPLETED"):
            if status != "QUEUED":
                await set_status(door, analysis_id, status)
            await socket.subscribe(status, query, id=analysis_id)
            assert (await socket.next(status))["data"]["analysis"]["status"] == status
            assert (await socket.receive())["type"] == "complete"


@pytest.mark.parametrize("named", ["datasetId", "imageId", "analysisId"])
async def test_an_id_of_nobody_matches_no_event(door: LiveServer, named: str) -> None:
    query = f'subscription {{ analysisEvents(after: "0", {named}: "nobody") {{ cursor }} }}'
    analysis_id = await external(door)
    async with started_socket(door) as socket:
        await socket.subscribe("nobody", query)
        await socket.subscribe("1", FOLLOW, id=analysis_id, after="0")
        await door.data(SET_STATUS, id=analysis_id, status="PROCESSING")
        assert len([await socket.next() for _ in range(2)]) == 2


async def test_at_most_a_hundred_operations_on_a_socket(door: LiveServer) -> None:
    async with started_socket(door) as socket:
        for number in range(100):
            await socket.subscribe(str(number), FOLLOW)
        await socket.subscribe("one more", FOLLOW)
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == ("one more", "error")
        assert refused["payload"][0]["extensions"]["code"] == "OVERLOADED"
