"""Collections over the wire: made, filled, trained on, asked by `classify`, emptied, deleted."""

import base64
import io
import struct
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.core.given_plugins import given
from tests.core.labelled import FINGERPRINT, ColorEmbedding
from tests.graphql import asking
from tests.graphql.asking import NO_SUCH_ID, codes
from tests.graphql.test_main_job import ended

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE = """mutation($input: CreateCollectionInput!) { createCollection(input: $input) {
  id key name description updatedAt
  inputs { operation version target faceContext params } } }"""
ADD = """mutation($input: AddCollectionMembersInput!) { addCollectionMembers(input: $input) {
  addedCount collection { key labels { label count } }
  leftOut { imageId errorCode errorMessage } } }"""
REMOVE = """mutation($input: RemoveCollectionMembersInput!) {
  removeCollectionMembers(input: $input) {
    removedCount collection { labels { label count } } } }"""
TRAIN = """mutation($key: String!) { trainClassifier(collection: $key) {
  collection { key }
  new { ...Standing } standings { ...Standing }
  members { label count } trained { label count } heldOut { label count }
  leftOut { reason count } } }
fragment Standing on ClassifierStanding {
  digest rank note isNew isBest isKept score { precision accuracy rows } }"""
CLASSIFY = """mutation($picture: String!, $tasks: [TaskInput!]!) {
  analyzeImage(input: {base64: $picture, tasks: $tasks}) { outcomes {
    status errorCode errorMessage annotations { annotationType className confidence data }
    result { ... on CollectionMembership { isInCollection probability collection classifier }
             ... on Embedding { vector } } } } }"""
READ = """query($key: String!) { collection(key: $key) {
  id key labels { label count }
  members(first: 2) { totalCount nodes { label sourceKey attributes dimensions modelFingerprints
    image { id } } pageInfo { hasNextPage endCursor } }
  classifiers { totalCount nodes { id digest isBest score metrics } } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(any_module_settings: Settings) -> AsyncIterator[LiveServer]:
    """A server with the operation `embed_color` and a worker, on each kind of database."""
    settings = any_module_settings.model_copy(update={"worker": True})
    async with serve(settings, more_plugins=[given(ColorEmbedding())]) as live:
        yield live


def png(red: int, blue: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (red, 0, blue)).save(file, "PNG")
    return file.getvalue()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def create(live: LiveServer, key: str, **more: Any) -> dict[str, Any]:
    given = {"key": key, "inputs": [{"operation": "embed_color"}]} | more
    made: dict[str, Any] = (await live.data(CREATE, input=given))["createCollection"]
    return made


async def add(live: LiveServer, **given: Any) -> dict[str, Any]:
    added: dict[str, Any] = (await live.data(ADD, input=given))["addCollectionMembers"]
    return added


async def fill(live: LiveServer, key: str, count: int = 12) -> dict[str, list[str]]:
    """Red pictures labelled true, blue ones labelled false."""
    images: dict[str, list[str]] = {"true": [], "false": []}
    dataset = await asking.dataset(live)
    for number in range(count):
        for label, picture in (("true", png(200 + number, 0)), ("false", png(0, 200 + number))):
            image = await asking.image(live, dataset, base64=encoded(picture))
            images[label].append(image)
    for label, ids in images.items():
        added = await add(live, collection=key, imageIds=ids, label=label)
        assert (added["addedCount"], added["leftOut"]) == (count, [])
    return images


async def test_from_pictures_to_an_answer(door: LiveServer) -> None:
    made = await create(door, "7", name="red things", description="as they are")
    assert made["inputs"] == [
        {
            "operation": "embed_color",
            "version": "1",
            "target": "WHOLE_IMAGE",
            "faceContext": None,
            "params": {"normalize": False},
        }
    ]
    images = await fill(door, "7")
    report = (await door.data(TRAIN, key="7"))["trainClassifier"]
    assert report["members"] == [{"label": "false", "count": 12}, {"label": "true", "count": 12}]
    assert sum(one["count"] for one in report["heldOut"]) == 5
    assert report["new"]["isBest"] and report["new"]["score"]["precision"] == 1.0
    assert report["standings"] == [report["new"]] and report["leftOut"] == []
    tasks = [
        {"run": {"classify": {"collectionId": "7"}}},
        {"operation": "classify", "params": {"collection_id": 7, "target": "whole_image"}},
        {"operation": "embed_color"},
    ]
    for picture, expected in ((png(250, 3), True), (png(3, 250), False)):
        found = await door.data(CLASSIFY, picture=encoded(picture), tasks=tasks)
        first, second, embedding = found["analyzeImage"]["outcomes"]
        assert first["status"] == "SUCCESS", first
        result = first["result"]
        assert result == second["result"]
        assert result["isInCollection"] is expected
        assert (result["collection"], result["classifier"]) == ("7", report["new"]["digest"])
        assert first["annotations"][0]["confidence"] == result["probability"]
        vector = np.array(embedding["result"]["vector"])
        assert result["probability"] == pytest.approx(probability(vector), abs=1e-12)
    # Also of a stored picture, by the worker.
    asked = await door.data(
        asking.ANALYZE, input={"imageId": images["true"][0], "tasks": [tasks[0]]}
    )
    analysis_id = asked["analyze"][0]["id"]
    assert (await ended(door, analysis_id))["status"] == "COMPLETED"
    query = """query($id: ID!) { analysis(id: $id) { result {
      ... on CollectionMembership { isInCollection } } } }"""
    stored = await door.data(query, id=analysis_id)
    assert stored["analysis"]["result"] == {"isInCollection": True}


def probability(vector: Any) -> float:
    """What scikit-learn says, trained on the same colours."""
    rows = [[(200 + n) / 255, 0, 0, 0.5] for n in range(12)]
    rows += [[0, 0, (200 + n) / 255, 0.5] for n in range(12)]
    x, y = np.array(rows, np.float32), np.array([True] * 12 + [False] * 12)
    x, _, y, _ = train_test_split(x, y, test_size=0.2, stratify=y, random_state=42)
    model = LogisticRegression(
        class_weight="balanced", C=0.1, solver="liblinear", random_state=42
    ).fit(x, y)
    return float(model.predict_proba(vector[None])[0, 1])


async def test_a_collection_is_read_with_its_members_and_classifiers(door: LiveServer) -> None:
    made = await create(door, "read")
    images = await fill(door, "read", 6)
    await door.data(TRAIN, key="read")
    found = (await door.data(READ, key=" read "))["collection"]
    assert found["id"] == made["id"]
    assert found["labels"] == [{"label": "false", "count": 6}, {"label": "true", "count": 6}]
    members = found["members"]
    assert members["totalCount"] == 12 and members["pageInfo"]["hasNextPage"]
    assert members["nodes"] == [
        {
            "label": "true",
            "sourceKey": None,
            "attributes": {},
            "dimensions": 4,
            "modelFingerprints": [FINGERPRINT],
            "image": {"id": image},
        }
        for image in images["true"][:2]
    ]
    (classifier,) = found["classifiers"]["nodes"]
    assert classifier["isBest"] and classifier["metrics"]["rank"] == 1
    filtered = """{ collection(key: "read") {
      one: members(filter: {label: "true"}) { totalCount }
      none: members(filter: {label: "true", sourceKey: "x"}) { totalCount } } }"""
    counts = (await door.data(filtered))["collection"]
    assert counts == {"one": {"totalCount": 6}, "none": {"totalCount": 0}}
    # Lists of lists come by few statements, and a deleted picture leaves its member.
    await door.data(
        "mutation($id: ID!) { deleteImage(id: $id) { deletedId } }", id=images["true"][0]
    )
    every = """{ collections { totalCount nodes { key labels { label }
      members(first: 1) { nodes { image { id } } } classifiers { totalCount } } } }"""
    listed = (await door.data(every))["collections"]
    (mine,) = [one for one in listed["nodes"] if one["key"] == "read"]
    assert listed["totalCount"] == len(listed["nodes"])
    assert mine["members"]["nodes"] == [{"image": None}]
    assert await door.data('{ collection(key: "nothing") { id } }') == {"collection": None}


async def test_vectors_come_in_and_go(door: LiveServer) -> None:
    await create(door, "gallery")
    vectors = [
        {"label": "Ada", "vectors": [[1, 2.5]], "sourceKey": "1", "attributes": {"sex": "f"}},
        {"label": "Bob", "vectors": [[3, 4]], "sourceKey": "2"},
        {"label": "Bob", "vectors": [encoded(struct.pack("<2f", 3, 5))], "sourceKey": "3"},
    ]
    added = await add(door, collection="gallery", vectors=vectors, modelFingerprints=[FINGERPRINT])
    assert added["addedCount"] == 3
    assert added["collection"]["labels"] == [
        {"label": "Ada", "count": 1},
        {"label": "Bob", "count": 2},
    ]
    removed = await door.data(REMOVE, input={"collection": "gallery", "sourceKeys": ["2", "9"]})
    assert removed["removeCollectionMembers"]["removedCount"] == 1
    removed = await door.data(REMOVE, input={"collection": "gallery", "labels": ["Bob"]})
    assert removed["removeCollectionMembers"]["collection"]["labels"] == [
        {"label": "Ada", "count": 1}
    ]
    deleted = 'mutation { deleteCollection(key: "gallery") { deletedId } }'
    await door.data(deleted)
    assert codes(await door.graphql(deleted)) == ["NOT_FOUND"]


ADDITIONS: dict[str, dict[str, Any]] = {
    "neither": {},
    "both": {"imageIds": [NO_SUCH_ID], "label": "a", "vectors": []},
    "images without a label": {"imageIds": [NO_SUCH_ID]},
    "attributes that are no object": {"imageIds": [NO_SUCH_ID], "label": "a", "attributes": [1]},
    "vectors without a model": {"vectors": [{"label": "a", "vectors": [[1]]}]},
    "two vectors for one input": {
        "vectors": [{"label": "a", "vectors": [[1], [2]]}],
        "modelFingerprints": [FINGERPRINT],
    },
    **{
        name: {"vectors": [{"label": "a", "vectors": wrong}], "modelFingerprints": [FINGERPRINT]}
        for name, wrong in {
            "no list of vectors": {"a": 1},
            "a number for a vector": [1],
            "texts for numbers": [["1"]],
            "text that is not base64": ["?"],
            "three bytes": ["AAAA"],
            "an object": [{}],
            "null": [None],
        }.items()
    },
    "a vector of zeros": {
        "vectors": [{"label": "a", "vectors": [[0]]}],
        "modelFingerprints": [FINGERPRINT],
    },
}


@pytest.mark.parametrize("name", ADDITIONS)
async def test_what_cannot_be_added_is_said(door: LiveServer, name: str) -> None:
    if (await door.data('{ collection(key: "bad") { id } }'))["collection"] is None:
        await create(door, "bad")
    answer = await door.graphql(ADD, input={"collection": "bad"} | ADDITIONS[name])
    assert codes(answer) == ["INVALID_INPUT"]
    found = await door.data('{ collection(key: "bad") { members { totalCount } } }')
    assert found["collection"]["members"]["totalCount"] == 0


async def test_mistakes_have_their_codes(door: LiveServer) -> None:
    await create(door, "twice")
    given: dict[str, Any] = {"key": "twice", "inputs": [{"operation": "embed_color"}]}
    assert codes(await door.graphql(CREATE, input=given)) == ["CONFLICT"]
    for change, code in (
        ({"key": ""}, "INVALID_INPUT"),
        ({"key": "n", "inputs": []}, "INVALID_INPUT"),
        ({"key": "n", "inputs": [{"operation": "image_quality"}]}, "INVALID_INPUT"),
        ({"key": "n", "inputs": [{"operation": "nothing"}]}, "UNKNOWN_OPERATION"),
        ({"key": "n", "inputs": [{"operation": "embed_color", "params": []}]}, "INVALID_INPUT"),
        (
            {"key": "n", "inputs": [{"operation": "embed_color", "params": {"x": 1}}]},
            "INVALID_PARAMS",
        ),
    ):
        assert codes(await door.graphql(CREATE, input=given | change)) == [code], change
    assert codes(await door.graphql(TRAIN, key="twice")) == ["CONFLICT"]
    assert codes(await door.graphql(TRAIN, key="nothing")) == ["NOT_FOUND"]
    empty = {"collection": "twice"}
    assert codes(await door.graphql(REMOVE, input=empty)) == ["INVALID_INPUT"]


async def test_classify_without_a_classifier_is_the_tasks_own_error(door: LiveServer) -> None:
    await create(door, "untrained")
    tasks = [
        {"operation": "classify", "params": {"collection_id": "untrained"}},
        {"operation": "classify", "params": {"collection_id": 404}},
        {"operation": "embed_color"},
    ]
    found = await door.data(CLASSIFY, picture=encoded(png(1, 1)), tasks=tasks)
    first, second, third = found["analyzeImage"]["outcomes"]
    assert (first["errorCode"], first["errorMessage"]) == (
        "NOT_FOUND",
        "Classifier not found for collection_id untrained.",
    )
    assert second["errorMessage"] == "Classifier not found for collection_id 404."
    assert third["status"] == "SUCCESS"
    for wrong in (True, 1.5, [1], None):
        bad = [{"operation": "classify", "params": {"collection_id": wrong}}]
        answer = await door.graphql(CLASSIFY, picture=encoded(png(1, 1)), tasks=bad)
        assert codes(answer) == ["INVALID_PARAMS"]
        assert "collection_id: should be an integer or a text" in answer["errors"][0]["message"]


async def test_retraining_counts_at_the_next_request(door: LiveServer) -> None:
    await create(door, "again")
    await fill(door, "again", 6)
    task = [{"operation": "classify", "params": {"collection_id": "again"}}]

    async def used() -> str:
        found = await door.data(CLASSIFY, picture=encoded(png(250, 0)), tasks=task)
        return str(found["analyzeImage"]["outcomes"][0]["result"]["classifier"])

    first = (await door.data(TRAIN, key="again"))["trainClassifier"]["new"]["digest"]
    assert await used() == first
    await fill(door, "again", 8)  # six of each are the same pictures
    report = (await door.data(TRAIN, key="again"))["trainClassifier"]
    assert [one["count"] for one in report["leftOut"]] == [12]
    best = next(one["digest"] for one in report["standings"] if one["isBest"])
    assert report["new"]["digest"] != first
    assert await used() == best
