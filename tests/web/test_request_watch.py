"""Around every request: its id on the answer and in the log, what is counted, what is not told."""

import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from opsin.core.request_context import request_id
from opsin.core.request_counts import RequestCounts
from opsin.web.request_watch import RequestWatch
from tests.conftest import LiveServer


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """The records of the access log."""
    found: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    logger, handler = logging.getLogger("opsin.access"), Keeping()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return vars(record)


@pytest.mark.parametrize("given", ["abc-123", "A.b_c:9/z=@+", "x" * 128])
async def test_a_sane_id_is_the_caller_s_own(live: LiveServer, given: str) -> None:
    answer = await live.client.get("/health", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "x" * 129, "a\tb", "ä"])
async def test_an_id_that_may_not_stand_in_a_log_is_replaced(live: LiveServer, given: str) -> None:
    headers = [(b"x-request-id", given.encode("latin-1"))]
    answer = await live.client.get("/health", headers=headers)
    assert re.fullmatch("[0-9a-f]{20}", answer.headers["x-request-id"])


async def test_every_kind_of_answer_has_an_id_of_its_own(live: LiveServer) -> None:
    query = {"query": "{ viewer { name } }"}
    answers = [
        await live.client.post("/graphql", json=query),
        await live.client.post("/graphql", json={"query": "{ nothing }"}),
        await live.client.post("/graphql", json=[query]),  # refused on the ordinary way
        await live.client.get("/"),
        await live.client.get("/nowhere"),
        await live.client.put("/health"),
        await live.client.get("/api-ml/analyses/none"),
        await live.client.get("/ping"),
        await live.client.get("/health", headers={"host": "elsewhere.example"}),
    ]
    assert {answer.status_code for answer in answers} >= {200, 400, 404, 405}
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


async def test_our_own_errors_name_the_request(live: LiveServer) -> None:
    answer = await live.client.get("/images/0/nothing", headers={"x-request-id": "mine"})
    (error,) = answer.json()["errors"]
    assert error["extensions"]["requestId"] == "mine"


async def test_one_line_a_request_without_its_query(
    live: LiveServer, lines: list[logging.LogRecord]
) -> None:
    await live.client.get("/images/1/content?signature=canary", headers={"x-request-id": "one"})
    (line,) = lines
    told = fields(line)
    assert (told["method"], told["path"], told["route"]) == ("GET", "/images/1/content", "files")
    assert (told["status"], told["client"]) == (404, "127.0.0.1")
    assert told["bytes"] > 0 and told["milliseconds"] > 0
    assert "canary" not in str(told)


async def test_probes_are_not_told_of_while_all_is_well(
    live: LiveServer, lines: list[logging.LogRecord]
) -> None:
    for path in ("/health", "/ready", "/metrics"):
        await live.client.get(path)
    assert lines == []


async def test_a_socket_has_a_line_when_it_ends(
    live: LiveServer, lines: list[logging.LogRecord]
) -> None:
    headers = {"x-request-id": "talk"}
    async with connect(
        live.websocket_url,
        subprotocols=[Subprotocol("graphql-transport-ws")],
        additional_headers=headers,
    ) as socket:
        assert socket.response is not None
        assert socket.response.headers["x-request-id"] == "talk"
        metrics = (await live.client.get("/metrics")).text
        assert 'opsin_websockets{route="graphql"} 1.0' in metrics
    for _ in range(200):
        metrics = (await live.client.get("/metrics")).text
        if lines and 'opsin_websockets{route="graphql"} 0.0' in metrics:
            break
    (line,) = lines
    assert (fields(line)["method"], fields(line)["route"]) == ("WEBSOCKET", "graphql")
    assert fields(line)["status"] == 1000


def watched(*routes: Route) -> tuple[httpx.AsyncClient, RequestCounts]:
    counts = RequestCounts()
    app = RequestWatch(Starlette(routes=list(routes)).router, counts, {"/known": "known"})
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://test"), counts


async def test_paths_that_nobody_serves_are_counted_together() -> None:
    client, counts = watched(Route("/known/{rest}", lambda _request: PlainTextResponse("yes")))
    async with client:
        for path in ("/known/1", "/known/2", "/a", "/b", "/c/d"):
            await client.get(path)
    assert counts.answers == {("known", 200): 2, ("other", 404): 3}
    assert (counts.total, counts.errors, counts.running) == (5, 3, 0)
    assert counts.durations["other"].total == 3


async def test_what_nobody_expected_is_answered_masked_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(_request: Request) -> Response:
        raise RuntimeError("secret canary")

    client, counts = watched(Route("/known", fails))
    async with client:
        answer = await client.get("/known", headers={"x-request-id": "bad"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "bad")
    assert "canary" not in answer.text and "the server's log tells more" in answer.text
    assert counts.answers == {("known", 500): 1}
    (reference,) = re.findall("[0-9a-f]{12}", answer.json()["errors"][0]["message"])
    (record,) = [one for one in caplog.records if reference in one.getMessage()]
    assert record.exc_info is not None and "canary" in str(record.exc_info[1])


async def test_the_id_is_known_wherever_it_is_asked_and_not_afterwards() -> None:
    async def says(_request: Request) -> Response:
        return PlainTextResponse(request_id.get() or "")

    client, _ = watched(Route("/known", says))
    async with client:
        answer = await client.get("/known", headers={"x-request-id": "here"})
    assert answer.text == "here"
    assert request_id.get() is None
