"""Filters of lists: status, operation, model, time, class, confidence, and what they refuse."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import LiveServer
from tests.graphql.asking import (
    ADD_ANNOTATIONS,
    box,
    codes,
    dataset,
    external,
    image,
    queued,
    set_status,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEFORE, AFTER = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00+02:00"
Named = dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(any_door: LiveServer) -> AsyncIterator[Named]:
    """Ids by name: one analysis of ours and two external ones of one image."""
    dataset_id = await dataset(any_door)
    image_id = await image(any_door, dataset_id)
    await image(any_door, dataset_id, filename="another.png")
    ids = {
        "ours": await queued(any_door, image_id),
        "theirs": await external(any_door, image_id, modelName="yolo", modelVersion="9"),
        "done": await external(any_door, image_id, modelName="yolo", modelVersion="10"),
    }
    await set_status(any_door, ids["done"], "PROCESSING")
    found = [
        box(className="cat", confidence=0.2),
        box(className="dog", confidence=0.8),
        box(className=None, confidence=None, annotationType="caption", data={"text": "a cat"}),
    ]
    await any_door.data(ADD_ANNOTATIONS, id=ids["done"], found=found)
    await set_status(any_door, ids["done"], "COMPLETED")
    yield ids | {"image": image_id, "dataset": dataset_id}


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, {"ours", "theirs", "done"}),
        ({"status": ["QUEUED"]}, {"ours", "theirs"}),
        ({"status": ["QUEUED", "COMPLETED"]}, {"ours", "theirs", "done"}),
        ({"status": []}, set()),
        ({"status": None}, {"ours", "theirs", "done"}),
        ({"operation": "detect_bounding_box"}, {"ours"}),
        ({"operation": "detect"}, set()),
        ({"modelName": "yolo"}, {"theirs", "done"}),
        ({"modelName": "yolo", "modelVersion": "10"}, {"done"}),
        ({"external": False}, {"ours"}),
        ({"external": True, "status": ["QUEUED"]}, {"theirs"}),
        ({"createdFrom": BEFORE, "createdBefore": AFTER}, {"ours", "theirs", "done"}),
        ({"createdFrom": AFTER}, set()),
        ({"createdBefore": BEFORE}, set()),
        ({"imageId": "nobody"}, set()),
        ({"datasetId": "nobody"}, set()),
    ],
)
async def test_analyses(
    any_door: LiveServer, stored: Named, wanted: dict[str, Any], names: set[str]
) -> None:
    query = """query($filter: AnalysisFilter!) {
      analyses(filter: $filter) { totalCount nodes { id } } }"""
    found = await any_door.data(query, filter={"imageId": stored["image"]} | wanted)
    ids = {node["id"] for node in found["analyses"]["nodes"]}
    assert ids == {stored[name] for name in names}
    assert found["analyses"]["totalCount"] == len(names)


@pytest.mark.parametrize(
    ("wanted", "classes"),
    [
        ({}, ["cat", "dog", None]),
        ({"annotationType": ["caption"]}, [None]),
        ({"annotationType": []}, []),
        ({"className": ["dog", "bird"]}, ["dog"]),
        ({"confidenceFrom": 0.2}, ["cat", "dog"]),
        ({"confidenceFrom": 0.20001}, ["dog"]),
        ({"confidenceTo": 0.8, "className": ["dog"]}, ["dog"]),
        ({"confidenceFrom": 0.9, "confidenceTo": 0.1}, []),
    ],
)
async def test_annotations(
    any_door: LiveServer, stored: Named, wanted: dict[str, Any], classes: list[str | None]
) -> None:
    query = """query($id: ID!, $filter: AnnotationFilter) { analysis(id: $id) {
      annotations(filter: $filter) { totalCount nodes { className } } } }"""
    found = await any_door.data(query, id=stored["done"], filter=wanted)
    annotations = found["analysis"]["annotations"]
    assert [node["className"] for node in annotations["nodes"]] == classes
    assert annotations["totalCount"] == len(classes)


async def test_images(any_door: LiveServer, stored: Named) -> None:
    query = (
        "query($filter: ImageFilter) { images(filter: $filter) { totalCount nodes { sha256 } } }"
    )

    async def count(**wanted: str) -> int:
        given = {"datasetId": stored["dataset"]} | wanted
        found = await any_door.data(query, filter=given)
        return int(found["images"]["totalCount"])

    assert await count() == 2
    nodes = (await any_door.data(query, filter={"datasetId": stored["dataset"]}))["images"]["nodes"]
    assert await count(sha256=nodes[0]["sha256"].upper()) == 2
    assert await count(sha256="0" * 64) == 0
    assert await count(createdFrom=BEFORE, createdBefore=AFTER) == 2
    # Neither image has a subject or a batch: an id that is none must not find them.
    for name in ("datasetId", "subjectId", "batchId"):
        assert await count(**{name: "nobody"}) == 0


@pytest.mark.parametrize(
    "moment", ["2024-01-01T00:00:00", "2024-01-01", "0001-01-01T00:00:00+14:00", "now", ""]
)
async def test_a_time_needs_its_zone(any_door: LiveServer, moment: str) -> None:
    query = "query($from: DateTime) { analyses(filter: {createdFrom: $from}) { totalCount } }"
    answer = await any_door.graphql(query, **{"from": moment})
    assert codes(answer) == ["INVALID_INPUT"]
    assert "time zone" in answer["errors"][0]["message"]


@pytest.mark.parametrize(
    "query",
    [
        "query($t: String!) { analyses(filter: {operation: $t}) { totalCount } }",
        "query($t: String!) { analyses(filter: {modelName: $t}) { totalCount } }",
        "query($t: String!) { analyses(filter: {modelVersion: $t}) { totalCount } }",
        "query($t: String!) { images(filter: {sha256: $t}) { totalCount } }",
        "query($t: String!) { datasets(filter: {name: $t}) { totalCount } }",
        """query($t: String!) { analyses { nodes {
          annotations(filter: {className: [$t]}) { totalCount } } } }""",
        """query($t: String!) { analyses { nodes {
          annotations(filter: {annotationType: [$t]}) { totalCount } } } }""",
    ],
)
@pytest.mark.usefixtures("stored")
async def test_a_text_that_no_database_could_hold_is_refused(
    any_door: LiveServer, query: str
) -> None:
    assert "INVALID_INPUT" in codes(await any_door.graphql(query, t="a\x00b"))
