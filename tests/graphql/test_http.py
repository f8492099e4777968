"""GraphQL over HTTP as the specification wants it, and what an endpoint must refuse."""

import json

import pytest
from starlette.status import HTTP_400_BAD_REQUEST, HTTP_401_UNAUTHORIZED

from tests.conftest import LiveServer
from tests.graphql.asking import CREATE_DATASET, codes, external
from tests.graphql.conftest import KeyServer
from tests.node import node_tool

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}
VIEWER = {"query": "{ viewer { name } }"}


async def failed_audits(url: str, *arguments: str) -> dict[str, str]:
    """The MUSTs and SHOULDs of the specification that were not kept."""
    done = await node_tool("audit.mjs", url, *arguments)
    results = json.loads(done.stdout)["results"]
    assert len(results) > 50
    return {r["name"]: r["reason"] for r in results if r["status"] in ("error", "warn")}


@pytest.mark.usefixtures("node_clients")
async def test_the_audit_finds_nothing(door: LiveServer) -> None:
    assert await failed_audits(f"{door.url}/graphql") == {}


@pytest.mark.usefixtures("node_clients")
async def test_the_audit_finds_nothing_with_api_keys(keys: KeyServer) -> None:
    assert await failed_audits(f"{keys.live.url}/graphql", keys.ours) == {}


async def test_without_a_key_every_request_is_401(keys: KeyServer) -> None:
    client = keys.live.client
    for answer in (
        await client.post("/graphql", json=VIEWER),
        await client.get("/graphql", params=VIEWER),
        await client.post("/graphql", json=VIEWER, headers={"authorization": "Bearer wrong"}),
        await client.post("/graphql", json=VIEWER, headers={"authorization": "Basic YTpi"}),
        await client.post("/graphql", json=VIEWER, headers={"x-api-key": keys.revoked}),
        await client.post("/graphql", json=VIEWER, headers={"accept": "text/event-stream"}),
        await client.post("/graphql", content=b"{", headers=JSON),
    ):
        assert answer.status_code == HTTP_401_UNAUTHORIZED
        assert answer.headers["www-authenticate"] == "Bearer"
        assert codes(answer.json()) == ["UNAUTHENTICATED"]


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_a_key_comes_in_either_header(keys: KeyServer, header: str) -> None:
    key = f"bearer {keys.ours}" if header == "authorization" else keys.ours
    answer = await keys.live.client.post("/graphql", json=VIEWER, headers={header: key})
    assert answer.json() == {"data": {"viewer": {"name": "a key of ours"}}}


@pytest.mark.parametrize(
    ("method", "parameters", "status"),
    [
        ("GET", {"query": "mutation { deleteImage(id: 1) { deletedId } }"}, 405),
        ("GET", {"query": "subscription { analysisEvents { cursor } }"}, 406),
        ("GET", {"query": "{ viewer { name } }", "variables": "{"}, 400),
        ("GET", {}, 400),
        ("PUT", {}, 405),
        ("DELETE", {}, 405),
    ],
)
async def test_what_http_refuses(
    door: LiveServer, method: str, parameters: dict[str, str], status: int
) -> None:
    answer = await door.client.request(method, "/graphql", params=parameters)
    assert answer.status_code == status
    assert codes(answer.json()) == ["BAD_REQUEST"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'[{"query": "{ viewer { name } }"}]',
        b'{"query": 1}',
        b'{"query": "{ viewer { name } }", "variables": []}',
        b'{"query": "\\ud800"}',
        b'{"query": "{ a }", "variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    ],
)
async def test_a_body_that_is_no_request_is_400(door: LiveServer, body: bytes) -> None:
    answer = await door.client.post("/graphql", content=body, headers=JSON)
    assert answer.status_code == HTTP_400_BAD_REQUEST
    assert codes(answer.json()) == ["BAD_REQUEST"]


async def test_several_operations_need_a_name(door: LiveServer) -> None:
    query = "query A { viewer { name } } query B { viewer { company } }"
    answer = await door.client.post("/graphql", json={"query": query})
    assert codes(answer.json()) == ["GRAPHQL_VALIDATION_FAILED"]
    answer = await door.client.post("/graphql", json={"query": query, "operationName": "B"})
    assert answer.json() == {"data": {"viewer": {"company": "local"}}}
    answer = await door.client.post("/graphql", json={"query": query, "operationName": "C"})
    assert codes(answer.json()) == ["BAD_REQUEST"]


async def test_variables_in_the_address_work_as_in_a_body(door: LiveServer) -> None:
    query = "query($first: Int!) { datasets(first: $first) { nodes { name } } }"
    answer = await door.client.get("/graphql", params={"query": query, "variables": '{"first": 0}'})
    assert answer.json() == {"data": {"datasets": {"nodes": []}}}


async def test_every_digit_of_a_number_comes_back(door: LiveServer) -> None:
    """orjson alone would make a float of the one and refuse to write the other."""
    number = 123456789012345678901234567890
    analysis_id = await external(door, parameters={"seed": number})
    found = await door.data("query($id: ID!) { analysis(id: $id) { parameters } }", id=analysis_id)
    assert found["analysis"]["parameters"] == {"seed": number}


async def test_a_dataset_is_found_by_its_whole_name(door: LiveServer) -> None:
    made = [(await door.data(CREATE_DATASET, name=n))["createDataset"]["id"] for n in ("a", "ab")]
    query = """query($name: String) {
      datasets(filter: {name: $name}) { totalCount nodes { id } } }"""
    assert (await door.data(query, name=" a "))["datasets"] == {
        "totalCount": 1,
        "nodes": [{"id": made[0]}],
    }
    assert (await door.data(query, name="A"))["datasets"]["totalCount"] == 0
    assert (await door.data(query))["datasets"]["totalCount"] >= 2
