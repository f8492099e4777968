"""Documents by their ids: ways to name them, unknown ones, and servers that take no others."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from opsin.app import create_app
from opsin.core.errors import ConfigurationError
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql.asking import codes, post_file
from tests.graphql.sockets import SUBPROTOCOL, Socket, started_socket
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIEWER = "query Viewer { viewer { name } }"
PAGE = "query Page($first: Int!) { datasets(first: $first) { nodes { name } } }"
PICTURE = """mutation Picture($file: Upload!) {
  analyzeImage(input: {file: $file, tasks: []}) { picture { width } } }"""
FOLLOW = "subscription Follow { analysisEvents { cursor } }"
LONG = "query Long { viewer { name } } #" + "." * 20_000
TEXTS = (VIEWER, PAGE, PICTURE, FOLLOW, LONG)
OTHER = "{ viewer { company } }"
NAME = {"data": {"viewer": {"name": "local user"}}}


def id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def apollo_extensions(identity: str) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": identity}}


def apollo_manifest(texts: tuple[str, ...]) -> dict[str, Any]:
    operations = [
        {"id": id_of(text), "body": text, "name": "a name", "type": "query"} for text in texts
    ]
    return {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": operations,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trusting(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server with a manifest that takes other documents too."""
    folder = tmp_path_factory.mktemp("trusting")
    (folder / "documents.json").write_text(json.dumps({id_of(text): text for text in TEXTS}))
    changes = {"data_dir": folder / "data", "graphql_documents": folder / "documents.json"}
    async with serve(module_settings.model_copy(update=changes)) as live:
        yield live


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server with a manifest that takes nothing else."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "documents.json").write_text(json.dumps(apollo_manifest(TEXTS)))
    changes = {
        "data_dir": folder / "data",
        "graphql_documents": folder / "documents.json",
        "graphql_trusted_only": True,
    }
    async with serve(module_settings.model_copy(update=changes)) as live:
        yield live


@pytest.fixture(params=["trusting", "strict"])
def either(request: pytest.FixtureRequest) -> LiveServer:
    server: LiveServer = request.getfixturevalue(request.param)
    return server


def named(text: str, **more: Any) -> list[dict[str, Any]]:
    """Requests that name the document in every way."""
    return [
        {"documentId": id_of(text)} | more,
        {"documentId": f"sha256:{id_of(text)}"} | more,
        {"extensions": apollo_extensions(id_of(text))} | more,
    ]


async def test_a_document_is_asked_for_by_its_id(either: LiveServer) -> None:
    for request in named(VIEWER) + named(LONG):
        for _ in range(2):
            answer = await either.client.post("/graphql", json=request)
            assert answer.json() == NAME
        parameters = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in request.items()
        }
        answer = await either.client.get("/graphql", params=parameters)
        assert answer.json() == NAME
    for request in named(PAGE, variables={"first": 0}, operationName="Page"):
        answer = await either.client.post("/graphql", json=request)
        assert answer.json() == {"data": {"datasets": {"nodes": []}}}


async def test_ids_on_sockets_and_streams(either: LiveServer) -> None:
    async with started_socket(either) as socket:
        for number, payload in enumerate(named(VIEWER)):
            await socket.send({"id": str(number), "type": "subscribe", "payload": payload})
            assert (await socket.next(str(number)))["data"] == NAME["data"]
            assert (await socket.receive())["type"] == "complete"
    for request in named(VIEWER):
        answer = await either.client.post(
            "/graphql", json=request, headers={"accept": "text/event-stream"}
        )
        assert "local user" in answer.text and "event: complete" in answer.text


async def test_an_upload_names_its_document(either: LiveServer) -> None:
    for request in named(PICTURE, variables={"file": None}):
        answer = await post_file(either.client, json.dumps(request), solid_png(), "variables.file")
        assert answer.json()["data"]["analyzeImage"]["picture"]["width"] > 0


async def test_a_mutation_by_its_id_is_not_run_by_get(either: LiveServer) -> None:
    answer = await either.client.get("/graphql", params={"documentId": id_of(PICTURE)})
    assert answer.status_code == 405


async def test_an_unknown_id_is_what_apollo_client_expects(either: LiveServer) -> None:
    error = {
        "message": "PersistedQueryNotFound",
        "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
    }
    unknown = {"extensions": apollo_extensions("0" * 64)}
    for _ in range(2):
        answer = await either.client.post("/graphql", json=unknown)
        assert answer.status_code == 200
        assert answer.json() == {"errors": [error]}
    answer = await either.client.post(
        "/graphql", json=unknown, headers={"accept": "application/graphql-response+json"}
    )
    assert answer.status_code == 400 and answer.json() == {"errors": [error]}
    answer = await either.client.get("/graphql", params={"documentId": "nothing"})
    assert answer.json() == {"errors": [error]}
    answer = await either.client.post(
        "/graphql", json=unknown, headers={"accept": "text/event-stream"}
    )
    assert "PERSISTED_QUERY_NOT_FOUND" in answer.text and "event: complete" in answer.text
    async with started_socket(either) as socket:
        await socket.send({"id": "1", "type": "subscribe", "payload": {"documentId": "nothing"}})
        assert await socket.receive() == {"id": "1", "type": "error", "payload": [error]}
        await socket.send({"id": "2", "type": "subscribe", "payload": named(VIEWER)[0]})
        assert (await socket.next("2"))["data"] == NAME["data"]


async def test_a_server_without_documents_says_so(door: LiveServer) -> None:
    for request in named(VIEWER):
        answer = await door.client.post("/graphql", json=request)
        assert codes(answer.json()) == ["PERSISTED_QUERY_NOT_SUPPORTED"]
        answer = await door.client.post("/graphql", json=request | {"query": VIEWER})
        assert answer.json() == NAME


async def test_other_documents_are_served_unless_only_the_trusted_are(
    trusting: LiveServer, strict: LiveServer
) -> None:
    sent = {"query": OTHER}
    automatic = sent | {"extensions": apollo_extensions(id_of(OTHER))}
    for request in (sent, automatic):
        assert (await trusting.client.post("/graphql", json=request)).json() == {
            "data": {"viewer": {"company": "local"}}
        }
        for _ in range(2):
            answer = await strict.client.post("/graphql", json=request)
            assert codes(answer.json()) == ["DOCUMENT_NOT_TRUSTED"]
            assert "data" not in answer.json()


@pytest.mark.parametrize("query", [OTHER, "{ __schema { types { name } } }", VIEWER + " ", "{"])
async def test_what_is_not_trusted_is_refused_however_it_comes(
    strict: LiveServer, query: str
) -> None:
    client = strict.client
    answers = [
        await client.post("/graphql", json={"query": query}),
        await client.get("/graphql", params={"query": query}),
        await post_file(client, json.dumps({"query": query}), solid_png(), "variables.file"),
        await client.post(
            "/graphql", json={"query": query}, headers={"accept": "text/event-stream"}
        ),
    ]
    shown = [answer.text for answer in answers if "DOCUMENT_NOT_TRUSTED" not in answer.text]
    # The form is refused for its file, which has no place, before its document is looked at.
    assert len(shown) <= 1 and all("local" not in answer.text for answer in answers)
    async with started_socket(strict) as socket:
        await socket.subscribe("1", query)
        refused = await socket.receive()
        assert refused["payload"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"


async def test_the_text_of_a_trusted_document_is_trusted(strict: LiveServer) -> None:
    assert (await strict.client.post("/graphql", json={"query": VIEWER})).json() == NAME


async def test_an_operation_follows_by_its_id(strict: LiveServer) -> None:
    async with connect(strict.websocket_url, subprotocols=[SUBPROTOCOL]) as connection:  # type: ignore[list-item]  # a NewType of str
        socket = Socket(connection)
        await socket.start()
        await socket.send({"id": "1", "type": "subscribe", "payload": named(FOLLOW)[0]})
        await socket.send({"id": "2", "type": "subscribe", "payload": named(VIEWER)[0]})
        assert (await socket.next("2"))["data"] == NAME["data"]  # and no error for the other


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("not json", "not JSON"),
        ("[]", "neither"),
        ('{"a": 1}', "neither"),
        ('{"format": "apollo-persisted-query-manifest", "operations": {}}', "neither"),
        ('{"format": "apollo-persisted-query-manifest", "operations": [{"id": "a"}]}', "neither"),
        (json.dumps({"abc": "query Bad { nothing }"}), r"Bad \(abc\).*nothing"),
        (json.dumps({"abc": "query Bad {"}), "abc.*Syntax Error"),
        (json.dumps({"ok": VIEWER, "abc": "{ " + "v: __typename " * 600 + "}"}), "abc.*500 fields"),
        (None, "cannot be read"),
    ],
)
async def test_a_bad_manifest_stops_the_start(
    settings: Settings, tmp_path: Path, manifest: str | None, said: str
) -> None:
    path = tmp_path / "documents.json"
    if manifest is not None:
        path.write_text(manifest)
    changed = settings.model_copy(update={"graphql_documents": path})
    with pytest.raises(ConfigurationError, match=f"(?s)OPSIN_GRAPHQL_DOCUMENTS.*{said}"):
        create_app(changed)


async def test_only_the_trusted_needs_some(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_GRAPHQL_TRUSTED_ONLY needs"):
        create_app(settings.model_copy(update={"graphql_trusted_only": True}))


async def test_introspection_can_be_switched_off(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("closed")
    changes = {"data_dir": folder, "graphql_introspection": False}
    async with serve(module_settings.model_copy(update=changes)) as live:
        for query in ("{ __schema { types { name } } }", '{ __type(name: "Query") { name } }'):
            for _ in range(2):
                assert set(codes(await live.graphql(query))) == {"GRAPHQL_VALIDATION_FAILED"}
        answer: httpx.Response = await live.client.post(
            "/graphql", json={"query": "{ __typename }"}
        )
        assert answer.json() == {"data": {"__typename": "Query"}}
