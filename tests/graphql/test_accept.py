"""In which form a client is answered that accepts several."""

import pytest

from tests.conftest import LiveServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
EVENTS = "text/event-stream"
URQL = f"{GRAPHQL}, application/graphql+json, {JSON}, {EVENTS}, multipart/mixed"


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (URQL, GRAPHQL),
        (f"{JSON}, {EVENTS}", JSON),
        (f"{EVENTS};q=0.9, {JSON}", JSON),
        (f"{EVENTS};q=0, */*", JSON),
        (f"{EVENTS}ing", JSON),
        (f"{EVENTS};q=much", JSON),
        ("*/*", JSON),
        (EVENTS, EVENTS),
        ("Text/Event-Stream", EVENTS),
        (f"{EVENTS}, multipart/mixed", EVENTS),
        (f"{EVENTS}, {JSON}", EVENTS),
        (f"{JSON};q=0.5, {EVENTS}", EVENTS),
        (f"{EVENTS}, */*", EVENTS),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_query_is_answered_in_the_form_that_is_preferred(
    door: LiveServer, method: str, accept: str, given: str
) -> None:
    query, headers = {"query": "{ viewer { name } }"}, {"accept": accept}
    if method == "POST":
        answer = await door.client.post("/graphql", json=query, headers=headers)
    else:
        answer = await door.client.get("/graphql", params=query, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == given
    whole = '{"data":{"viewer":{"name":"local user"}}}'
    events = f"event: next\ndata: {whole}\n\nevent: complete\ndata:\n\n"
    assert answer.text == (events if given == EVENTS else whole)
