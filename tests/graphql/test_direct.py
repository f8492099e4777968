"""The short way answers as the ordinary one does, for every request that it takes or leaves."""

import json
from typing import Any

import httpx
import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import CREATE_DATASET, image
from tests.graphql.conftest import KeyServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = "application/json"
UNUSUAL_JSON = "application/json;  charset=utf-8"  # the same, as nobody writes it
VIEWER = {"query": "{ viewer { name } }"}
TWO = "query A { viewer { name } } query B { viewer { company } }"
PAGE = "query($first: Int!) { datasets(first: $first) { nodes { name } } }"

REQUESTS: dict[str, Any] = {
    "compiled": {"query": "{ __typename datasets(first: 2) { nodes { name } } }"},
    "resolved": VIEWER,
    "mixed": {"query": "{ datasets(first: 0) { nodes { id } } viewer { name } __typename }"},
    "variables": {"query": PAGE, "variables": {"first": 0}},
    "null variables": {"query": "{ __typename }", "variables": None, "operationName": None},
    "named": {"query": TWO, "operationName": "B"},
    "not chosen": {"query": TWO},
    "chosen wrong": {"query": TWO, "operationName": "C"},
    "extensions": VIEWER | {"extensions": {"a": 1}},
    "mutation": {"query": CREATE_DATASET, "variables": {"name": ""}},
    "no such node": {"query": '{ node(id: "1") { id } image(id: "x") { id } }'},
    "introspection": {"query": "{ __schema { queryType { name } } }"},
    "syntax": {"query": "{"},
    "validation": {"query": "{ nothing }"},
    "too wide": {"query": "{ " + "__typename " * 600 + "}"},
    "variable missing": {"query": PAGE},
    "variable of another type": {"query": PAGE, "variables": {"first": "one"}},
    "page too large": {"query": PAGE, "variables": {"first": 10_001}},
    "field fails": {"query": '{ image(id: "x") { id } similarImages(imageId: "x", operation: "x") '
                    "{ similarity } viewer { name } }"},
    "subscription": {"query": "subscription { analysisEvents { cursor } }"},
    "unknown id": {"documentId": "abc"},
    "no query": {},
    "empty query": {"query": ""},
    "query is null": {"query": None},
    "query is a number": {"query": 1},
    "variables are a list": VIEWER | {"variables": []},
    "extensions are a list": VIEWER | {"extensions": []},
    "a list": [VIEWER],
    "lone surrogate": {"query": "{ viewer { name } } # \ud800"},
}  # fmt: skip
ACCEPTED = ("*/*", JSON, "application/graphql-response+json", "text/plain",
            f"application/graphql-response+json;q=0.5, {JSON};q=0.9")  # fmt: skip


def shown(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """What a client sees, without what is another one for every request."""
    own = {"date", "x-request-id"}
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, headers, answer.json()


@pytest.mark.parametrize("name", REQUESTS)
async def test_both_ways_give_the_same_answer(door: LiveServer, name: str) -> None:
    body = json.dumps(REQUESTS[name])
    for accept in ACCEPTED:
        for _ in range(2):  # a new document, and a known one
            usual = await door.client.post(
                "/graphql", content=body, headers={"content-type": JSON, "accept": accept}
            )
            unusual = await door.client.post(
                "/graphql", content=body, headers={"content-type": UNUSUAL_JSON, "accept": accept}
            )
            assert shown(usual) == shown(unusual)


@pytest.mark.parametrize(
    "parameters",
    [
        VIEWER,
        {"query": PAGE, "variables": '{"first": 0}'},
        {"query": PAGE, "variables": "{"},
        {"query": PAGE, "variables": ""},
        {"query": TWO, "operationName": "A"},
        {"query": CREATE_DATASET, "variables": '{"name": "by GET"}'},
        {"query": "{ viewer { name } } # ü+ %"},
        {"query": ""},
    ],
)
async def test_both_ways_give_the_same_answer_to_get(
    door: LiveServer, parameters: dict[str, str]
) -> None:
    # With an unknown name of this machine in front, the way is the ordinary one.
    for accept in ACCEPTED:
        usual = await door.client.get("/graphql", params=parameters, headers={"accept": accept})
        unusual = await door.client.get(
            "/graphql", params=parameters, headers={"accept": accept, "host": "LOCALHOST"}
        )
        assert shown(usual) == shown(unusual)


async def test_which_way_a_request_goes(door: LiveServer, ordinary: list[str]) -> None:
    post, get = door.client.post, door.client.get
    await post("/graphql", json=VIEWER)
    await post("/graphql", json=VIEWER, headers={"origin": "https://a.example"})
    await post("/graphql", json=VIEWER, headers={"content-type": "application/json; charset=utf-8"})
    await post("/graphql", json=REQUESTS["validation"])
    await get("/graphql", params=VIEWER)
    assert ordinary == []
    await post("/graphql", json=VIEWER, headers={"content-type": UNUSUAL_JSON})
    await post("/graphql", json={})
    await post("/graphql", json=VIEWER, headers={"accept": "text/event-stream"})
    await get("/graphql", headers={"accept": "text/html"})
    await post("/graphql", json=VIEWER, headers={"host": "evil.example"})  # refused before it
    assert ordinary == ["POST", "POST", "POST", "GET"]


async def test_a_body_in_pieces_goes_the_ordinary_way(
    door: LiveServer, ordinary: list[str]
) -> None:
    async def pieces() -> Any:
        for letter in json.dumps(VIEWER):
            yield letter.encode()

    answer = await door.client.post("/graphql", content=pieces(), headers={"content-type": JSON})
    assert answer.json() == {"data": {"viewer": {"name": "local user"}}}
    assert ordinary == ["POST"]


async def test_a_large_body_comes_in_several_pieces(door: LiveServer, ordinary: list[str]) -> None:
    body = json.dumps(VIEWER | {"variables": {"unused": "x" * 3_000_000}})
    answer = await door.client.post("/graphql", content=body, headers={"content-type": JSON})
    assert answer.json() == {"data": {"viewer": {"name": "local user"}}}
    assert ordinary == []


async def test_keys_open_the_short_way(keys: KeyServer, ordinary: list[str]) -> None:
    client = keys.live.client
    for header in ({"x-api-key": keys.ours}, {"authorization": f"Bearer {keys.ours}"}):
        answer = await client.post("/graphql", json=VIEWER, headers=header)
        assert answer.json() == {"data": {"viewer": {"name": "a key of ours"}}}
    assert ordinary == []
    for header in ({}, {"x-api-key": keys.revoked}, {"authorization": "Basic x"}):
        answer = await client.post("/graphql", json=VIEWER, headers=header)
        assert answer.status_code == 401
    assert ordinary == ["POST"] * 3


async def test_links_are_of_the_host_that_was_asked(door: LiveServer) -> None:
    identity = await image(door)
    query = {"query": "query($id: ID!) { image(id: $id) { url } }", "variables": {"id": identity}}
    for content_type in (JSON, UNUSUAL_JSON):
        answer = await door.client.post(
            "/graphql",
            content=json.dumps(query),
            headers={"host": f"localhost:{door.port}", "content-type": content_type},
        )
        url = answer.json()["data"]["image"]["url"]
        assert url.startswith(f"http://localhost:{door.port}/images/{identity}/content?")
        assert (await door.client.get(url)).status_code == 200
