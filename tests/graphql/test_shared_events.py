"""Subscribers who ask the same share each answer; what they get is what each would get alone."""

import asyncio
import json
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from opsin.assembly import Parts
from opsin.core import event_hub
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.lifecycle import AnalysisStatus
from opsin.graphql.context import Context
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.graphql.shared_events import SharedEvents
from opsin.graphql.subscriptions import wanted_events
from opsin.graphql.wire import encode_json
from tests.conftest import LiveServer
from tests.core.stored_vectors import Place, add_images
from tests.core.working import until
from tests.graphql.asking import dataset, external, image
from tests.graphql.sockets import Socket, started_socket
from tests.graphql.statements import statements_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = """subscription($dataset: ID!, $after: Cursor, $first: Int = 5) {
  analysisEvents(datasetId: $dataset, after: $after) {
    cursor kind
    analysis { id status annotations(first: $first) { totalCount } image { filename } } } }"""


async def following(stack: AsyncExitStack, live: LiveServer, **variables: Any) -> Socket:
    socket = await stack.enter_async_context(started_socket(live))
    await socket.subscribe("1", FOLLOW, **variables)
    return socket


async def test_one_read_for_all_who_ask_the_same(any_door: LiveServer) -> None:
    dataset_id = await dataset(any_door)
    image_id = await image(any_door, dataset_id)
    async with AsyncExitStack() as stack:
        sockets = [
            await following(stack, any_door, dataset=dataset_id, after="0") for _ in range(30)
        ]
        first = await external(any_door, image_id)
        for socket in sockets:  # all of them have begun, and are live from here on
            assert (await socket.next())["data"]["analysisEvents"]["analysis"]["id"] == first
        with statements_of("analyses") as statements:
            second = await external(any_door, image_id)
            shown = [(await socket.next())["data"]["analysisEvents"] for socket in sockets]
    assert shown == [shown[0]] * len(sockets)
    assert shown[0]["analysis"] == {
        "id": second,
        "status": "QUEUED",
        "annotations": {"totalCount": 0},
        "image": {"filename": "red.png"},
    }
    # The mutation reads the new analysis itself; thirty subscribers would be far more.
    assert len(statements) <= 3


async def test_who_asks_for_something_else_gets_that(any_door: LiveServer) -> None:
    """The same text with other variables, other aliases, and other filters."""
    dataset_id = await dataset(any_door)
    image_id = await image(any_door, dataset_id)
    query = """subscription($id: ID, $short: Boolean!) { analysisEvents(imageId: $id, after: "0") {
      told: kind analysis @skip(if: $short) { id } analysisId } }"""
    analysis_id = await external(any_door, image_id)
    async with started_socket(any_door) as socket:
        for short in (True, False):
            await socket.subscribe(str(short), query, id=image_id, short=short)
            event = (await socket.next(str(short)))["data"]["analysisEvents"]
            whole = {} if short else {"analysis": {"id": analysis_id}}
            assert event == {"told": "QUEUED", **whole, "analysisId": analysis_id}


async def test_a_cursor_is_no_reason_not_to_share(any_door: LiveServer) -> None:
    dataset_id = await dataset(any_door)
    image_id = await image(any_door, dataset_id)
    for _ in range(3):
        await external(any_door, image_id)
    async with AsyncExitStack() as stack:
        socket = await following(stack, any_door, dataset=dataset_id, after="0")
        everything = [(await socket.next())["data"]["analysisEvents"] for _ in range(3)]
        later = await following(stack, any_door, dataset=dataset_id, after=everything[0]["cursor"])
        assert [(await later.next())["data"]["analysisEvents"] for _ in range(2)] == everything[1:]


# The same documents on both ways.

DOCUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "leaves": (
        'subscription($i: ID) { analysisEvents(after: "0", imageId: $i) '
        "{ cursor kind status text occurredAt analysisId } }",
        {},
    ),
    "aliases": (
        'subscription($i: ID) { e: analysisEvents(after: "0", imageId: $i) '
        "{ k: kind again: kind __typename a: analysis { s: status __typename } } }",
        {},
    ),
    "fragments": (
        """subscription Follow($i: ID, $deep: Boolean!) { ...Root }
        fragment Root on Subscription { analysisEvents(after: "0", imageId: $i) { ...Event kind } }
        fragment Event on AnalysisEvent { kind cursor analysis { id ...More @include(if: $deep) } }
        fragment More on Analysis { image { id filename dataset { name } } }""",
        {"deep": True},
    ),
    "conditions": (
        """subscription($i: ID, $no: Boolean!) { analysisEvents(after: "0", imageId: $i)
        { cursor kind @skip(if: $no) analysis @include(if: $no) { id } } }""",
        {"no": False},
    ),
    "pages": (
        """subscription($i: ID, $n: Int) { analysisEvents(after: "0", imageId: $i) { cursor
        analysis { annotations(first: $n) { nodes { id } pageInfo { hasNextPage } } } } }""",
        {"n": 1},
    ),
    "results": (
        """subscription($i: ID) { analysisEvents(after: "0", imageId: $i) {
        analysis { result { __typename } } } }""",
        {},
    ),
    "an error in every event": (
        """subscription($i: ID, $c: String) { analysisEvents(after: "0", imageId: $i) { cursor
        analysis { annotations(after: $c) { totalCount } } } }""",
        {"c": "no cursor of a page"},
    ),
    "a variable that does not fit": (
        'subscription($i: ID, $n: Int!) { analysisEvents(after: "0", imageId: $i) { cursor '
        "analysis { annotations(first: $n) { totalCount } } } }",
        {"n": "many"},
    ),
    "a variable that is missing": (
        'subscription($i: ID, $n: Int!) { analysisEvents(after: "0", imageId: $i) { cursor '
        "analysis { annotations(first: $n) { totalCount } } } }",
        {},
    ),
    "a cursor that is none": (
        'subscription($i: ID) { analysisEvents(after: "here", imageId: $i) { cursor } }',
        {},
    ),
    "a cursor variable that is none": (
        "subscription($i: ID, $c: Cursor) { analysisEvents(after: $c, imageId: $i) { cursor } }",
        {"c": "x"},
    ),
    "nothing that exists": ("subscription { analysisEvents { nothing } }", {}),
    "no document": ("subscription {", {}),
    "two operations": (
        "subscription A { analysisEvents { cursor } } subscription B { analysisEvents { kind } }",
        {},
    ),
    "the type of the root": ("subscription { __typename }", {}),
}


async def answers(
    schema: OpsinSchema, context: Context, document: str, variables: dict[str, Any]
) -> list[Any]:
    """The first three answers, or fewer if the stream ends, as they would be sent."""
    stream = await schema.stream(document, variable_values=variables, context_value=context)
    found = []
    async with asyncio.timeout(20):
        async for result in stream:
            found.append(sent(result))
            if len(found) == 3:
                break
    await stream.aclose()
    return found


def sent(result: ExecutionResult) -> Any:
    errors = [error.formatted for error in result.errors or ()]
    return json.loads(encode_json({"data": result.data, "errors": errors}))


REFUSED = ("a variable", "a cursor", "nothing", "no document", "two", "the type")
LIMITS = Limits(depth=16, fields=500, aliases=50, tokens=5000)


@pytest.mark.asyncio(loop_scope="function")
async def test_both_ways_give_the_same(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    principal = await parts.use_cases.access.local()
    image_id = await image_of_three_events(parts, principal)
    context = Context(parts.use_cases, principal, "http://localhost", 1000)
    shared = build_schema(parts.use_cases.host, LIMITS)
    ordinary = build_schema(parts.use_cases.host, LIMITS, compiled=False)
    monkeypatch.setattr(ordinary, "_shared_stream", not_shared)
    ways: list[bool] = []
    follow = SharedEvents.follow

    def counted(self: SharedEvents, *given: Any) -> Any:
        stream = follow(self, *given)
        ways.append(stream is not None)
        return stream

    monkeypatch.setattr(SharedEvents, "follow", counted)
    for name, (document, variables) in DOCUMENTS.items():
        values = {"i": image_id, **variables}
        ways.clear()
        found = await answers(shared, context, document, values)
        assert found == await answers(ordinary, context, document, values), name
        assert len(found) == (1 if name.startswith(REFUSED) else 3), (name, found)
        assert any(ways) is not name.startswith(REFUSED), name


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.asyncio(loop_scope="function")
async def test_who_is_overtaken_is_told_and_misses_nothing(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    monkeypatch.setattr(event_hub, "KEPT_EVENTS", 4)
    use_cases, principal = parts.use_cases, await parts.use_cases.access.local()
    image_id = await image_of_three_events(parts, principal)
    schema = build_schema(use_cases.host, LIMITS)
    if not is_shared:
        monkeypatch.setattr(schema, "_shared_stream", not_shared)
    document = """subscription($i: ID) { analysisEvents(imageId: $i, after: "0") {
      cursor kind status text analysisId analysis { id } } }"""
    context = Context(use_cases, principal, "http://localhost", 1000)
    stream = await schema.stream(document, variable_values={"i": image_id}, context_value=context)
    async with aclosing(stream):
        seen = [event_of(await anext(stream)) for _ in range(3)]
        waiting = asyncio.ensure_future(anext(stream))
        new = NewExternalAnalysis(image_id, "their-model", "1")
        await asyncio.sleep(0.2)  # it is live, and waits
        told = [await use_cases.analyses.tell(principal, new)]
        seen.append(event_of(await waiting))
        # Now it is busy elsewhere, while another follower keeps the reader of the log going.
        other = use_cases.events.follow(wanted_events(context, image_id=image_id), after=None)
        begun = asyncio.ensure_future(anext(other))
        await asyncio.sleep(0.2)
        told += [await use_cases.analyses.tell(principal, new) for _ in range(9)]
        await begun
        last = await use_cases.events.position()

        async def overtaken() -> bool:
            hub = use_cases.events._hub
            return hub is not None and hub.position >= last

        await until(overtaken)
        resync = event_of(await anext(stream))
        rest = [event_of(await anext(stream)) for _ in range(9)]
    assert resync == {
        "cursor": seen[-1]["cursor"],
        "kind": "RESYNC",
        "status": None,
        "text": None,
        "analysisId": None,
        "analysis": None,
    }
    assert [event["analysisId"] for event in seen[3:] + rest] == [one.id for one in told]
    cursors = [event["cursor"] for event in seen + rest]
    assert cursors == sorted(set(cursors))


def event_of(result: ExecutionResult) -> dict[str, Any]:
    answer = sent(result)
    assert answer["errors"] == []
    event: dict[str, Any] = answer["data"]["analysisEvents"]
    return event


async def not_shared(*_: object) -> None:
    return None


async def image_of_three_events(parts: Parts, principal: Principal) -> str:
    """An image of which the log has three events, all of one analysis."""
    use_cases = parts.use_cases
    made = await use_cases.datasets.create(principal, "pictures")
    (image_id,) = await add_images(use_cases.database, Place(principal.company_id, made.id), 1)
    new = NewExternalAnalysis(image_id, "their-model", "1")
    analysis = await use_cases.analyses.tell(principal, new)
    for status in (AnalysisStatus.PROCESSING, AnalysisStatus.COMPLETED):
        await use_cases.analyses.update_status(principal, analysis.id, status)
    return image_id
