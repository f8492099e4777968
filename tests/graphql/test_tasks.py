"""Asking for operations: tasks in order, and the code of each thing that may be wrong with one."""

import base64
from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import (
    ANALYZE,
    NO_SUCH_ID,
    codes,
    image,
)
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = base64.b64encode(solid_png()).decode()
NOT_PICTURES = base64.b64encode(b"not an image").decode()


def message(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["message"])


async def test_analyze_answers_in_the_order_of_its_tasks(any_door: LiveServer) -> None:
    tasks: list[dict[str, Any]] = [
        {"taskId": "a", "operation": "detect_bounding_box"},
        {"run": {"detectBoundingBox": {"target": "PROMINENT_FACE"}}},
        {"run": {"detectBoundingBox": {}}},
    ]
    query = """mutation($input: AnalyzeInput!) { analyze(input: $input) {
      taskId operation operationVersion parameters status priority } }"""
    given = {"imageId": await image(any_door), "tasks": tasks, "priority": -3}
    made = (await any_door.data(query, input=given))["analyze"]
    assert [(a["taskId"], a["parameters"]["target"]) for a in made] == [
        ("a", "prominent_person"),
        ("1", "prominent_face"),
        ("2", "prominent_person"),
    ]
    for analysis in made:
        assert (analysis["status"], analysis["priority"]) == ("QUEUED", -3)
        assert analysis["parameters"]["face_context"] == "prominent_person"


TYPED: dict[str, Any] = {"detectBoundingBox": {}}


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ({}, "INVALID_INPUT"),
        ({"params": {}}, "INVALID_INPUT"),
        ({"run": TYPED, "operation": "detect_bounding_box"}, "INVALID_INPUT"),
        ({"run": TYPED, "params": {}}, "INVALID_INPUT"),
        ({"run": {}}, "GRAPHQL_VALIDATION_FAILED"),
        ({"run": {"detectBoundingBox": None}}, "GRAPHQL_VALIDATION_FAILED"),
        ({"run": {"sing": {}}}, "GRAPHQL_VALIDATION_FAILED"),
        ({"run": TYPED, "taskId": ""}, "INVALID_INPUT"),
        ({"run": TYPED, "taskId": "x" * 256}, "INVALID_INPUT"),
        ({"run": TYPED, "taskId": "\x00"}, "INVALID_INPUT"),
        ({"run": {"detectBoundingBox": {"target": "WHOLE_IMAGE"}}}, "TARGET_NOT_SUPPORTED"),
        ({"run": {"detectBoundingBox": {"target": "FOOT"}}}, "GRAPHQL_VALIDATION_FAILED"),
        ({"operation": "sing"}, "UNKNOWN_OPERATION"),
        ({"operation": ""}, "UNKNOWN_OPERATION"),
        ({"operation": "detect_bounding_box", "params": []}, "INVALID_PARAMS"),
        ({"operation": "detect_bounding_box", "params": {"size": 1}}, "INVALID_PARAMS"),
        ({"operation": "detect_bounding_box", "params": {"face_context": 1}}, "INVALID_PARAMS"),
        ({"operation": "detect_bounding_box", "params": {"target": "a"}}, "TARGET_NOT_SUPPORTED"),
        ({"operation": "detect_bounding_box", "params": {"target": []}}, "TARGET_NOT_SUPPORTED"),
    ],
)
async def test_what_is_no_task(door: LiveServer, task: dict[str, Any], code: str) -> None:
    given = {"imageId": await image(door), "tasks": [task]}
    assert codes(await door.graphql(ANALYZE, input=given)) == [code]
    immediate = """mutation($tasks: [TaskInput!]!, $picture: String!) {
      analyzeImage(input: {base64: $picture, tasks: $tasks}) { outcomes { status } } }"""
    assert codes(await door.graphql(immediate, tasks=[task], picture=PNG)) == [code]


async def test_an_unknown_operation_comes_with_a_close_match(door: LiveServer) -> None:
    given = {"imageId": await image(door), "tasks": [{"operation": "detect_bounding_boxes"}]}
    answer = await door.graphql(ANALYZE, input=given)
    assert "did you mean 'detect_bounding_box'" in message(answer)
    written = """mutation { analyze(input: {imageId: "x", tasks: [
      {run: {detectBoundingBoxes: {}}}]}) { id } }"""
    assert "Did you mean 'detectBoundingBox'?" in message(await door.graphql(written))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"imageId": NO_SUCH_ID}, "NOT_FOUND"),
        ({"tasks": []}, "INVALID_INPUT"),
        ({"tasks": [{"run": TYPED}] * 65}, "TOO_LARGE"),
        ({"priority": 101}, "INVALID_INPUT"),
    ],
)
async def test_what_cannot_be_analysed(
    any_door: LiveServer, changes: dict[str, Any], code: str
) -> None:
    given = {"imageId": await image(any_door), "tasks": [{"run": TYPED}]}
    assert codes(await any_door.graphql(ANALYZE, input=given | changes)) == [code]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({}, "INVALID_INPUT"),
        ({"base64": PNG, "imageId": NO_SUCH_ID}, "INVALID_INPUT"),
        ({"base64": NOT_PICTURES}, "INVALID_IMAGE"),
        ({"imageId": NO_SUCH_ID}, "NOT_FOUND"),
        ({"url": "http://localhost/a.png"}, "ADDRESS_NOT_ALLOWED"),
        ({"file": "a string"}, "INVALID_INPUT"),
        ({"file": {"name": "a"}}, "INVALID_INPUT"),
    ],
)
async def test_what_cannot_be_analysed_now(
    any_door: LiveServer, source: dict[str, Any], code: str
) -> None:
    query = """mutation($input: AnalyzeImageInput!) {
      analyzeImage(input: $input) { picture { width } } }"""
    assert codes(await any_door.graphql(query, input={"tasks": []} | source)) == [code]
