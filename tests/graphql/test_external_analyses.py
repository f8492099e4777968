"""Analyses told from outside and run here: their life, and who may change what."""

from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import (
    CREATE_ANALYSIS,
    FINALIZE,
    NO_SUCH_ID,
    SET_STATUS,
    codes,
    external,
    image,
    queued,
    set_status,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANCEL = "mutation($id: ID!) { cancelAnalysis(id: $id) { id status completedAt } }"
RETRY = "mutation($id: ID!) { retryAnalysis(id: $id) { id status attempts completedAt } }"


async def test_create_analysis(any_door: LiveServer) -> None:
    image_id = await image(any_door)
    analysis_id = await external(
        any_door, image_id, parameters={"t": 0.5}, provenance={"host": "a"}, priority=7
    )
    query = """query($id: ID!) { analysis(id: $id) { status external operation modelName
      modelVersion parameters provenance priority result { __typename } image { id } } }"""
    assert (await any_door.data(query, id=analysis_id))["analysis"] == {
        "status": "QUEUED",
        "external": True,
        "operation": None,
        "modelName": "their-model",
        "modelVersion": "1",
        "parameters": {"t": 0.5},
        "provenance": {"host": "a"},
        "priority": 7,
        "result": None,
        "image": {"id": image_id},
    }


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"imageId": NO_SUCH_ID}, "NOT_FOUND"),
        ({"imageId": "nothing"}, "NOT_FOUND"),
        ({"modelName": " "}, "INVALID_INPUT"),
        ({"modelName": "x" * 256}, "INVALID_INPUT"),
        ({"modelVersion": "x" * 101}, "INVALID_INPUT"),
        ({"modelVersion": "\x00"}, "INVALID_INPUT"),
        ({"priority": 101}, "INVALID_INPUT"),
        ({"priority": -101}, "INVALID_INPUT"),
        ({"priority": 2**40}, "GRAPHQL_VALIDATION_FAILED"),
        ({"parameters": [1]}, "INVALID_INPUT"),
        ({"provenance": "text"}, "INVALID_INPUT"),
        ({"provenance": {"a": {"b\x00": 1}}}, "INVALID_INPUT"),
        ({"modelName": None}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_what_is_no_analysis(any_door: LiveServer, given: dict[str, Any], code: str) -> None:
    right = {"imageId": await image(any_door), "modelName": "m", "modelVersion": "1"}
    assert codes(await any_door.graphql(CREATE_ANALYSIS, input=right | given)) == [code]


async def test_the_life_of_an_external_analysis(any_door: LiveServer) -> None:
    analysis_id = await external(any_door)
    begun = await set_status(any_door, analysis_id, "PROCESSING")
    assert begun["startedAt"] and not begun["completedAt"]
    assert await set_status(any_door, analysis_id, "PROCESSING") == begun
    summary = {"count": 3}
    ended = await any_door.data(FINALIZE, input={"analysisId": analysis_id, "summary": summary})
    assert ended["finalizeAnalysis"]["status"] == "COMPLETED"
    assert ended["finalizeAnalysis"]["summary"] == summary
    assert ended["finalizeAnalysis"]["completedAt"]
    # Twice the same end changes nothing; another end is refused.
    again = await any_door.data(FINALIZE, input={"analysisId": analysis_id, "summary": {"n": 9}})
    assert again == ended
    failed = {"analysisId": analysis_id, "status": "FAILED"}
    assert codes(await any_door.graphql(FINALIZE, input=failed)) == ["ILLEGAL_TRANSITION"]


LEGAL = {
    ("QUEUED", "PROCESSING"),
    ("QUEUED", "CANCELLED"),
    ("PROCESSING", "COMPLETED"),
    ("PROCESSING", "FAILED"),
    ("PROCESSING", "CANCELLED"),
}
STATUSES = ("QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED")


@pytest.mark.parametrize("current", STATUSES)
async def test_which_status_follows_which(any_door: LiveServer, current: str) -> None:
    image_id = await image(any_door)
    for wanted in STATUSES:
        analysis_id = await external(any_door, image_id)
        if current != "QUEUED":
            await set_status(any_door, analysis_id, "PROCESSING")
        await set_status(any_door, analysis_id, current)
        answer = await any_door.graphql(SET_STATUS, id=analysis_id, status=wanted)
        legal = current == wanted or (current, wanted) in LEGAL
        assert codes(answer) == ([] if legal else ["ILLEGAL_TRANSITION"]), (current, wanted)


@pytest.mark.parametrize("status", STATUSES)
async def test_finalize_may_skip_the_beginning(any_door: LiveServer, status: str) -> None:
    given = {
        "analysisId": await external(any_door),
        "status": status,
        "errorMessage": "it broke" if status == "FAILED" else None,
    }
    answer = await any_door.graphql(FINALIZE, input=given)
    final = status in ("COMPLETED", "FAILED", "CANCELLED")
    assert codes(answer) == ([] if final else ["INVALID_INPUT"])
    if final:
        assert answer["data"]["finalizeAnalysis"]["errorMessage"] == given["errorMessage"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"analysisId": NO_SUCH_ID}, "NOT_FOUND"),
        ({"summary": []}, "INVALID_INPUT"),
        ({"summary": {"a": "\x00"}}, "INVALID_INPUT"),
        ({"errorMessage": "a\x00b"}, "INVALID_INPUT"),
        ({"status": "DONE"}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_what_cannot_be_finalized(
    any_door: LiveServer, given: dict[str, Any], code: str
) -> None:
    right = {"analysisId": await external(any_door)}
    assert codes(await any_door.graphql(FINALIZE, input=right | given)) == [code]


async def test_an_error_message_needs_whole_characters(any_door: LiveServer) -> None:
    analysis_id = await external(any_door)
    answer = await any_door.graphql(
        SET_STATUS, id=analysis_id, status="PROCESSING", message="a\x00b"
    )
    assert codes(answer) == ["INVALID_INPUT"]


async def test_what_opsin_runs_is_not_told_from_outside(any_door: LiveServer) -> None:
    analysis_id = await queued(any_door)
    add = """mutation($id: ID!) { addAnnotations(input: {analysisId: $id, annotations: [
      {annotationType: "tag", data: {}}]}) { createdCount } }"""
    for answer in (
        await any_door.graphql(SET_STATUS, id=analysis_id, status="PROCESSING"),
        await any_door.graphql(FINALIZE, input={"analysisId": analysis_id}),
        await any_door.graphql(add, id=analysis_id),
    ):
        assert codes(answer) == ["CONFLICT"]
    answer = await any_door.graphql(RETRY, id=await external(any_door))
    assert codes(answer) == ["CONFLICT"]


async def test_cancel_and_retry(any_door: LiveServer) -> None:
    analysis_id = await queued(any_door)
    assert codes(await any_door.graphql(RETRY, id=analysis_id)) == ["ILLEGAL_TRANSITION"]
    cancelled = (await any_door.data(CANCEL, id=analysis_id))["cancelAnalysis"]
    assert cancelled["status"] == "CANCELLED" and cancelled["completedAt"]
    assert (await any_door.data(CANCEL, id=analysis_id))["cancelAnalysis"] == cancelled
    retried = (await any_door.data(RETRY, id=analysis_id))["retryAnalysis"]
    assert (retried["status"], retried["completedAt"]) == ("QUEUED", None)
    finished = await external(any_door)
    await any_door.data(FINALIZE, input={"analysisId": finished})
    assert codes(await any_door.graphql(CANCEL, id=finished)) == ["ILLEGAL_TRANSITION"]
