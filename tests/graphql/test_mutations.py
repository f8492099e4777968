"""Datasets, keys and images: what their mutations do, and the code of what may be wrong."""

import base64
from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import (
    CREATE_DATASET,
    IMPORT_IMAGE,
    NO_SUCH_ID,
    codes,
    dataset,
    external,
    image,
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


async def test_create_dataset(any_door: LiveServer) -> None:
    query = """mutation { createDataset(input: {name: " birds ", description: "of the bay"}) {
      name description createdAt images { totalCount } } }"""
    made = (await any_door.data(query))["createDataset"]
    assert made["createdAt"].endswith("+00:00")
    assert (made["name"], made["description"]) == ("birds", "of the bay")
    assert made["images"]["totalCount"] == 0


@pytest.mark.parametrize("name", ["", "   ", "x" * 513, "a\x00b"])
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
