"""What callers learn of errors: every one has a code, and the unexpected ones say nothing else."""

import logging
from typing import Any

import pytest

from opsin.core.datasets import Datasets
from opsin.core.errors import StorageError
from opsin.core.events import Events
from tests.conftest import LiveServer
from tests.graphql.asking import CREATE_DATASET, codes
from tests.graphql.sockets import open_socket, started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "secret /etc/passwd"
SUBSCRIBE = "subscription { analysisEvents { cursor } }"


def fails_with(error: Exception) -> Any:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def fails_when_followed(error: Exception) -> Any:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error
        yield

    return fail


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ viewer { name ", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query($f: Int) { datasets(first: $f) { totalCount } }", "GRAPHQL_VALIDATION_FAILED"),
        ("query($f: Int!) { datasets(first: $f) { totalCount } }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ datasets(first: "one") { totalCount } }', "GRAPHQL_VALIDATION_FAILED"),
        ("{ analyses(filter: {status: DONE}) { totalCount } }", "GRAPHQL_VALIDATION_FAILED"),
        (f"{{ datasets(first: {'9' * 5000}) {{ totalCount }} }}", "GRAPHQL_VALIDATION_FAILED"),
        ("{ datasets(first: -1) { totalCount } }", "INVALID_INPUT"),
        ("subscription { analysisEvents(after: 1) { cursor } }", "INVALID_INPUT"),
    ],
)
async def test_a_document_at_fault_has_a_code(door: LiveServer, query: str, code: str) -> None:
    accept = {"accept": "text/event-stream"} if query.startswith("subscription") else {}
    answer = await door.client.post(
        "/graphql", json={"query": query, "variables": {"f": None}}, headers=accept
    )
    assert f'"code":"{code}"' in answer.text


async def test_an_unexpected_error_is_masked_and_logged(
    door: LiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Datasets, "create", fails_with(RuntimeError(SECRET)))
    answer = await door.graphql(CREATE_DATASET, name="pictures")
    assert codes(answer) == ["INTERNAL"]
    assert SECRET not in str(answer)
    reference = answer["errors"][0]["extensions"]["reference"]
    assert reference in answer["errors"][0]["message"]
    logged = [r for r in caplog.records if reference in r.getMessage()]
    assert len(logged) == 1 and logged[0].exc_info and SECRET in str(logged[0].exc_info[1])


async def test_a_storage_error_keeps_its_text(
    door: LiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Datasets, "create", fails_with(StorageError("try again")))
    answer = await door.graphql(CREATE_DATASET, name="pictures")
    assert codes(answer) == ["STORAGE_ERROR"]
    assert answer["errors"][0]["message"] == "try again"
    assert [r.levelno for r in caplog.records] == [logging.ERROR]


async def test_errors_of_callers_are_not_logged(
    door: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    await door.graphql("{ nothing }")
    await door.graphql("mutation { deleteImage(id: 1) { deletedId } }")
    assert caplog.records == []


async def test_errors_inside_subscriptions_are_masked(
    door: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Events, "follow", fails_when_followed(RuntimeError(SECRET)))
    async with started_socket(door) as socket:
        await socket.subscribe("1", SUBSCRIBE)
        over_socket = await socket.receive()
    answer = await door.client.post(
        "/graphql", json={"query": SUBSCRIBE}, headers={"accept": "text/event-stream"}
    )
    for text in (str(over_socket), answer.text):
        assert SECRET not in text
        assert "INTERNAL" in text


async def test_errors_of_queries_on_a_socket_are_masked(
    door: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Datasets, "create", fails_with(RuntimeError(SECRET)))
    async with started_socket(door) as socket:
        await socket.subscribe("1", CREATE_DATASET, name="pictures")
        assert codes(await socket.next()) == ["INTERNAL"]


async def test_one_operation_that_fails_leaves_the_others_of_its_socket(door: LiveServer) -> None:
    async with started_socket(door) as socket:
        await socket.subscribe("follows", SUBSCRIBE)
        for number, query in enumerate(
            ("{", "", "{ nothing }", "query A { viewer { name } } query B { viewer { name } }")
        ):
            await socket.subscribe(str(number), query)
            refused = await socket.receive()
            assert (refused["id"], refused["type"]) == (str(number), "error")
            assert all(error["extensions"]["code"] for error in refused["payload"])
        await socket.subscribe("asks", "{ viewer { name } }")
        assert (await socket.next("asks"))["data"] == {"viewer": {"name": "local user"}}


@pytest.mark.parametrize(
    "message",
    [
        "[]",
        "1",
        '{"type": "subscribe", "id": "1", "payload": 1}',
        "{",
        '{"type": "sing"}',
        '{"id": [], "type": "subscribe", "payload": {"query": "{ a }"}}',
        '{"id": "1", "type": "subscribe", "payload": {"query": 1}}',
        '{"id": "1", "type": "subscribe", "payload": {"query": "{ a }", "variables": []}}',
        '{"id": "1", "type": "subscribe", "payload": {"query": "{ a }", "operationName": 1}}',
        '{"id": {}, "type": "complete"}',
        '{"type": {}}',
    ],
)
async def test_a_message_that_is_not_of_the_protocol_closes_the_socket(
    door: LiveServer, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with started_socket(door) as socket:
        await socket.connection.send(message)
        assert await socket.closed() == 4400
    assert caplog.records == []


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (['{"id": "1", "type": "subscribe", "payload": {"query": "{ viewer { name } }"}}'], 4401),
        (['{"type": "connection_init", "payload": []}'], 4400),
        (['{"type": "connection_init", "payload": null}'] * 2, 4429),
    ],
)
async def test_a_socket_begins_once_and_first(
    door: LiveServer, messages: list[str], code: int
) -> None:
    async with open_socket(door) as socket:
        for message in messages:
            await socket.connection.send(message)
        assert await socket.closed() == code
