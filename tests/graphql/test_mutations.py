"""Every mutation: what it does when all is well, and the code of each thing that may be wrong."""

import base64
from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import (
    ANALYZE,
    CREATE_ANALYSIS,
    CREATE_DATASET,
    FINALIZE,
    IMPORT_IMAGE,
    NO_SUCH_ID,
    SET_STATUS,
    codes,
    dataset,
    external,
    image,
    queued,
    set_status,
)
from tests.pictures import solid_png, truncated

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANCEL = "mutation($id: ID!) { cancelAnalysis(id: $id) { id status completedAt } }"
RETRY = "mutation($id: ID!) { retryAnalysis(id: $id) { id status attempts completedAt } }"
DELETE = "mutation($id: ID!) { deleteImage(id: $id) { deletedId } }"
NEW_KEY = """mutation($name: String!) {
  createApiKey(name: $name) { key apiKey { id name prefix revokedAt } } }"""
REVOKE = "mutation($id: ID!) { revokeApiKey(id: $id) { id revokedAt } }"
PNG = base64.b64encode(solid_png()).decode()


def message(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["message"])


async def test_create_dataset(any_door: LiveServer) -> None:
    query = """mutation { createDataset(input: {name: " birds ", description: "of the bay"}) {
      name description createdAt images { totalCount } } }"""
    made = (await any_door.data(query))["createDataset"]
    assert made["createdAt"].endswith("+00:00")
    assert (made["name"], made["description"]) == ("birds", "of the bay")
    assert made["images"]["totalCount"] == 0


@pytest.mark.parametrize("name", ["", "   ", "x" * 256, "a\x00b"])
async def test_a_dataset_needs_a_name(any_door: LiveServer, name: str) -> None:
    assert codes(await any_door.graphql(CREATE_DATASET, name=name)) == ["INVALID_INPUT"]
    assert codes(await any_door.graphql(NEW_KEY, name=name)) == ["INVALID_INPUT"]


async def test_keys_are_made_and_revoked(any_door: LiveServer) -> None:
    made = (await any_door.data(NEW_KEY, name="a pipeline"))["createApiKey"]
    assert made["key"].startswith(f"opsin_{made['apiKey']['prefix']}_")
    with_key = {"authorization": f"Bearer {made['key']}"}
    request = {"query": "{ viewer { name apiKeys { id lastUsedAt } } }"}
    answer = await any_door.client.post("/graphql", json=request, headers=with_key)
    viewer = answer.json()["data"]["viewer"]
    assert viewer["name"] == "a pipeline"
    assert {key["id"]: key["lastUsedAt"] for key in viewer["apiKeys"]}[made["apiKey"]["id"]]
    for _ in range(2):  # the second time changes nothing
        revoked = await any_door.data(REVOKE, id=made["apiKey"]["id"])
        assert revoked["revokeApiKey"]["revokedAt"]
    assert (await any_door.client.post("/graphql", json=request, headers=with_key)).is_error


@pytest.mark.parametrize("query", [REVOKE, CANCEL, RETRY, DELETE])
@pytest.mark.parametrize("identity", [NO_SUCH_ID, "nobody", "", "a\x00b"])
async def test_what_is_not_there_is_not_found(
    any_door: LiveServer, query: str, identity: str
) -> None:
    assert codes(await any_door.graphql(query, id=identity)) == ["NOT_FOUND"]


async def test_import_image(any_door: LiveServer) -> None:
    dataset_id = await dataset(any_door)
    query = """mutation($input: ImportImageInput!) { importImage(input: $input) {
      filename width height frames contentType sizeBytes metadata notes } }"""
    given = {"datasetId": dataset_id, "filename": "C:\\pictures\\red.png", "metadata": {"n": [1]}}
    made = await any_door.data(query, input=given | {"base64": f"data:image/png;base64,{PNG}"})
    assert made["importImage"] == {
        "filename": "red.png",
        "width": 32,
        "height": 24,
        "frames": 1,
        "contentType": "image/png",
        "sizeBytes": len(solid_png()),
        "metadata": {"n": [1]},
        "notes": [],
    }


NOT_PICTURES = base64.b64encode(b"not an image").decode()
BROKEN = base64.b64encode(truncated(solid_png(300, 300))).decode()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "INVALID_INPUT"),
        ({"url": "http://example.com/a.png", "base64": PNG}, "INVALID_INPUT"),
        ({"base64": "not base64"}, "INVALID_INPUT"),
        ({"base64": "data:image/png,abc"}, "INVALID_INPUT"),
        ({"base64": ""}, "INVALID_IMAGE"),
        ({"base64": NOT_PICTURES}, "INVALID_IMAGE"),
        ({"base64": BROKEN}, "INVALID_IMAGE"),
        ({"base64": PNG, "datasetId": NO_SUCH_ID}, "NOT_FOUND"),
        ({"base64": PNG, "datasetId": "nothing"}, "NOT_FOUND"),
        ({"base64": PNG, "subjectId": NO_SUCH_ID}, "NOT_FOUND"),
        ({"base64": PNG, "batchId": "nothing"}, "NOT_FOUND"),
        ({"base64": PNG, "metadata": []}, "INVALID_INPUT"),
        ({"base64": PNG, "metadata": "text"}, "INVALID_INPUT"),
        ({"base64": PNG, "metadata": {"a": "\x00"}}, "INVALID_INPUT"),
        ({"url": "http://127.0.0.1:1/a.png"}, "ADDRESS_NOT_ALLOWED"),
        ({"url": "http://[::ffff:10.0.0.1]/a.png"}, "ADDRESS_NOT_ALLOWED"),
        ({"url": "file:///etc/passwd"}, "INVALID_INPUT"),
        ({"url": "not a url\x00"}, "INVALID_INPUT"),
    ],
)
async def test_what_cannot_be_imported(
    any_door: LiveServer, given: dict[str, Any], code: str
) -> None:
    dataset_id = await dataset(any_door)
    answer = await any_door.graphql(IMPORT_IMAGE, input={"datasetId": dataset_id} | given)
    assert codes(answer) == [code]
    count = "query($id: ID!) { dataset(id: $id) { images { totalCount } } }"
    assert (await any_door.data(count, id=dataset_id))["dataset"]["images"]["totalCount"] == 0


async def test_delete_image(any_door: LiveServer) -> None:
    image_id = await image(any_door)
    analysis_id = await external(any_door, image_id)
    assert (await any_door.data(DELETE, id=image_id))["deleteImage"] == {"deletedId": image_id}
    gone = await any_door.data(
        "query($i: ID!, $a: ID!) { image(id: $i) { id } analysis(id: $a) { id } }",
        i=image_id,
        a=analysis_id,
    )
    assert gone == {"image": None, "analysis": None}
    assert codes(await any_door.graphql(DELETE, id=image_id)) == ["NOT_FOUND"]


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
    assert "did you mean 'detect_bounding_box'?" in message(answer)
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
