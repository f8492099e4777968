"""Filters of images: names, senders, metadata, classes, deletion, and what was found in them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from opsin.core.conditions import LONGEST_SUBSTRING
from tests.conftest import LiveServer
from tests.graphql.asking import (
    ADD_ANNOTATIONS,
    CREATE_DATASET,
    NO_SUCH_ID,
    SOFT_DELETE,
    box,
    classification,
    codes,
    dataset,
    external,
    image,
    image_class,
    set_status,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGES = """query($filter: ImageFilter) { images(filter: $filter) {
  totalCount nodes { filename } } }"""
CHILDREN = """query($id: ID!, $filter: ImageFilter) { dataset(id: $id) {
  images(filter: $filter, first: 1) { totalCount nodes { filename } } } }"""
SEA, LAND, GONE, PLAIN = "Sea_1.png", "LÄND 100%.png", "gone.png", "plain.png"
Named = dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(any_door: LiveServer) -> AsyncIterator[Named]:
    """Four images by name, and a class and a dataset by `class` and `dataset`."""
    dataset_id = await dataset(any_door)
    metadata: dict[str, Any] = {
        SEA: {"place": "Bergen", "depth": 40},
        LAND: {"place": "Oslo", "tags": ["Fjord", None]},
    }
    ids = {
        name: await image(any_door, dataset_id, filename=name, metadata=metadata.get(name, {}))
        for name in (SEA, LAND, GONE, PLAIN)
    }
    ids |= {"dataset": dataset_id, "class": await image_class(any_door, dataset_id)}
    for name in (SEA, GONE):
        await classification(any_door, ids[name], ids["class"])
    await any_door.data(SOFT_DELETE, id=ids[GONE])
    first = await external(any_door, ids[SEA], modelName="detector", modelVersion="2")
    found = [box(className="whale", confidence=0.9), box(className="boat", confidence=0.4)]
    await any_door.data(ADD_ANNOTATIONS, id=first, found=found)
    second = await external(any_door, ids[SEA], modelName="trial")
    await any_door.data(ADD_ANNOTATIONS, id=second, found=[box(className="boat", confidence=1)])
    third = await external(any_door, ids[LAND], modelName="detector")
    await set_status(any_door, third, "PROCESSING")
    yield ids


def of(ids: Named, **given: Any) -> dict[str, Any]:
    return {"datasetId": ids["dataset"]} | given


CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {SEA, LAND, PLAIN}),
    ({"filenameContains": "sea"}, {SEA}),
    ({"filenameContains": "_"}, {SEA}),
    ({"filenameContains": "%"}, {LAND}),
    ({"filenameContains": "äN"}, {LAND}),
    ({"filenameContains": ""}, {SEA, LAND, PLAIN}),
    ({"filenameContains": None}, {SEA, LAND, PLAIN}),
    ({"filenameContains": "gone"}, set()),
    ({"contentType": "PNG"}, {SEA, LAND, PLAIN}),
    ({"contentType": "jpeg"}, set()),
    ({"uploadedBy": "LOCAL"}, {SEA, LAND, PLAIN}),
    ({"uploadedBy": "somebody"}, set()),
    ({"metadata": {"contains": "BERG"}}, {SEA}),
    ({"metadata": {"contains": "place"}}, set()),
    ({"metadata": {"key": "place"}}, {SEA, LAND}),
    ({"metadata": {"key": "place", "contains": "o"}}, {LAND}),
    ({"metadata": {"key": "Place"}}, set()),
    ({"metadata": {"key": "depth", "contains": "40"}}, {SEA}),
    ({"metadata": {"key": "tags", "contains": '"fjord",null'}}, {LAND}),
    ({"metadata": {}}, {SEA, LAND, PLAIN}),
    ({"deleted": "EXCLUDED"}, {SEA, LAND, PLAIN}),
    ({"deleted": None}, {SEA, LAND, PLAIN}),
    ({"deleted": "INCLUDED"}, {SEA, LAND, PLAIN, GONE}),
    ({"deleted": "ONLY"}, {GONE}),
    ({"deleted": "ONLY", "filenameContains": "sea"}, set()),
    ({"analysis": {}}, {SEA, LAND}),
    ({"analysis": {"status": ["QUEUED"]}}, {SEA}),
    ({"analysis": {"status": ["QUEUED", "PROCESSING"]}}, {SEA, LAND}),
    ({"analysis": {"status": []}}, set()),
    ({"analysis": {"operation": "detect_bounding_box"}}, set()),
    ({"analysis": {"modelName": "detector"}}, {SEA, LAND}),
    ({"analysis": {"modelName": "detector", "modelVersion": "2"}}, {SEA}),
    ({"analysis": {"className": "boat"}}, {SEA}),
    ({"analysis": {"className": ["walrus", "whale"]}}, {SEA}),
    ({"analysis": {"confidenceFrom": 0.95}}, {SEA}),
    # Of one annotation, and of one analysis: not each of another.
    ({"analysis": {"className": "whale", "confidenceFrom": 0.95}}, set()),
    ({"analysis": {"modelName": "trial", "className": "whale"}}, set()),
    ({"analysis": {"modelName": "trial", "className": "boat", "confidenceFrom": 1}}, {SEA}),
    ({"classId": NO_SUCH_ID}, set()),
    ({"classId": "no id"}, set()),
]


@pytest.mark.parametrize(("given", "expected"), CASES)
async def test_what_is_found(
    any_door: LiveServer, stored: Named, given: dict[str, Any], expected: set[str]
) -> None:
    found = (await any_door.data(IMAGES, filter=of(stored, **given)))["images"]
    assert {node["filename"] for node in found["nodes"]} == expected
    assert found["totalCount"] == len(expected)
    answer = await any_door.data(CHILDREN, id=stored["dataset"], filter=given)
    children = answer["dataset"]["images"]
    assert children["totalCount"] == len(expected)
    assert len(children["nodes"]) == min(1, len(expected))


async def test_the_newest_first(any_door: LiveServer, stored: Named) -> None:
    query = """query($id: ID!, $after: String) { dataset(id: $id) {
      images(orderBy: CREATED_DESC, first: 2, after: $after, filter: {deleted: INCLUDED}) {
        nodes { filename } pageInfo { endCursor hasNextPage } } } }"""
    found: list[str] = []
    after = None
    for more in (True, False):
        answer = await any_door.data(query, id=stored["dataset"], after=after)
        page = answer["dataset"]["images"]
        found += [node["filename"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasNextPage"] is more
    assert found == [PLAIN, GONE, LAND, SEA]
    wrong = await any_door.graphql(
        "query($a: String) { images(after: $a) { totalCount } }", a=after
    )
    assert codes(wrong) == ["INVALID_INPUT"]


async def test_images_of_a_class(any_door: LiveServer, stored: Named) -> None:
    for deleted, expected in (("EXCLUDED", [SEA]), ("INCLUDED", [SEA, GONE]), ("ONLY", [GONE])):
        given = {"classId": stored["class"], "deleted": deleted}
        found = (await any_door.data(IMAGES, filter=given))["images"]["nodes"]
        assert [node["filename"] for node in found] == expected


@pytest.mark.parametrize(
    "given",
    [
        {"filenameContains": "a\x00"},
        {"uploadedBy": "\x00"},
        {"contentType": "x" * (LONGEST_SUBSTRING + 1)},
        {"metadata": {"key": "\x00"}},
        {"metadata": {"contains": "x" * (LONGEST_SUBSTRING + 1)}},
        {"analysis": {"className": ["\x00"]}},
        {"analysis": {"modelName": "\x00"}},
    ],
)
async def test_what_is_refused(any_door: LiveServer, given: dict[str, Any]) -> None:
    refused = await any_door.graphql(IMAGES, filter=given)
    assert codes(refused) == ["INVALID_INPUT"]


async def test_datasets_by_a_part_of_their_name(any_door: LiveServer) -> None:
    for name in ("Humpback Whales 50%", "BLÅVAL", "seals"):
        await any_door.data(CREATE_DATASET, name=name)
    query = """query($part: String!, $name: String) {
      datasets(filter: {nameContains: $part, name: $name}) { totalCount nodes { name } } }"""
    for part, expected in (
        ("WHALES", ["Humpback Whales 50%"]),
        ("0%", ["Humpback Whales 50%"]),
        ("blåv", ["BLÅVAL"]),
        ("whales_", []),
    ):
        found = (await any_door.data(query, part=part))["datasets"]
        assert [node["name"] for node in found["nodes"]] == expected
        assert found["totalCount"] == len(expected)
    both = await any_door.data(query, part="sea", name="seals")
    assert both["datasets"]["totalCount"] == 1
    assert (await any_door.data(query, part="seals", name="BLÅVAL"))["datasets"]["totalCount"] == 0
