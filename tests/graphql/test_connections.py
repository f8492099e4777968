"""Lists: pages by cursor, orders, filters, totals, and how many statements they take."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import LiveServer
from tests.graphql.asking import ADD_ANNOTATIONS, box, codes, dataset, external, image, set_status
from tests.graphql.statements import statements_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

ITEMS = 137
ORDERS = ("CREATED_ASC", "CREATED_DESC", "UPDATED_ASC", "UPDATED_DESC")
PAGE = """query($image: ID!, $first: Int!, $after: String, $order: AnalysisOrder!) {
  analyses(first: $first, after: $after, orderBy: $order, filter: {imageId: $image}) {
    nodes { id updatedAt } edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@dataclass(frozen=True, slots=True)
class Stock:
    """An image with many analyses; `ids` in the order in which they were made."""

    live: LiveServer
    image_id: str
    ids: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stock(any_door: LiveServer) -> AsyncIterator[Stock]:
    image_id = await image(any_door)
    made = await asyncio.gather(*(external(any_door, image_id) for _ in range(ITEMS)))
    ids = sorted(made)
    # Changed in another order than made, so that the two orders differ.
    await asyncio.gather(*(set_status(any_door, i, "PROCESSING") for i in ids[::3]))
    yield Stock(any_door, image_id, ids)


async def page(stock: Stock, first: int, after: str | None, order: str) -> dict[str, Any]:
    found = await stock.live.data(PAGE, image=stock.image_id, first=first, after=after, order=order)
    connection: dict[str, Any] = found["analyses"]
    return connection


async def walk(stock: Stock, first: int, order: str) -> list[dict[str, Any]]:
    """Every node, page by page."""
    nodes: list[dict[str, Any]] = []
    after = None
    while True:
        found = await page(stock, first, after, order)
        info = found["pageInfo"]
        assert [edge["node"]["id"] for edge in found["edges"]] == [n["id"] for n in found["nodes"]]
        assert info["hasPreviousPage"] is (after is not None)
        assert info["startCursor"] == found["edges"][0]["cursor"]
        assert info["endCursor"] == found["edges"][-1]["cursor"]
        nodes += found["nodes"]
        if not info["hasNextPage"]:
            return nodes
        assert len(found["nodes"]) == first
        after = info["endCursor"]


@pytest.mark.parametrize("first", [1, 10, 50, ITEMS - 1, ITEMS, 1000])
async def test_pages_of_any_size_give_every_item_once(stock: Stock, first: int) -> None:
    assert [node["id"] for node in await walk(stock, first, "CREATED_ASC")] == stock.ids


@pytest.mark.parametrize("order", ORDERS)
async def test_every_order_can_be_paged(stock: Stock, order: str) -> None:
    nodes = await walk(stock, 20, order)
    assert sorted(node["id"] for node in nodes) == stock.ids
    key = "id" if order.startswith("CREATED") else "updatedAt"
    values = [(node[key], node["id"]) for node in nodes]
    assert values == sorted(values, reverse=order.endswith("DESC"))


async def test_pages_stay_put_while_items_are_added(stock: Stock) -> None:
    image_id = await image(stock.live)
    ids = sorted([await external(stock.live, image_id) for _ in range(4)])
    other = Stock(stock.live, image_id, ids)
    newest = await page(other, 2, None, "CREATED_DESC")
    await external(stock.live, image_id)
    older = await page(other, 2, newest["pageInfo"]["endCursor"], "CREATED_DESC")
    assert [n["id"] for n in newest["nodes"] + older["nodes"]] == ids[::-1]


async def test_first_0_asks_only_whether_there_is_something(stock: Stock) -> None:
    assert await page(stock, 0, None, "CREATED_ASC") == {
        "nodes": [],
        "edges": [],
        "pageInfo": {
            "hasNextPage": True,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
        },
    }


def crafted(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()


ID = "01890000-0000-7000-8000-000000000000"
BAD_CURSORS = [
    "",
    "x",
    "%%%",
    "\u00e9",
    "e30",
    crafted("id", False, ID),
    crafted("id", True, ID, ID),
    crafted("id", False, ID, "not an id"),
    crafted("id", False, [], ID),
    crafted("status", False, "QUEUED", ID),
    crafted("updated_at", False, "2024-01-01T00:00:00+00:00", ID),
]
BAD_TIMES = [
    crafted("updated_at", False, moment, ID)
    for moment in ("2024-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "yesterday", 1, None)
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
async def test_a_cursor_that_is_none_is_refused(stock: Stock, cursor: str) -> None:
    answer = await stock.live.graphql(
        PAGE, image=stock.image_id, first=1, after=cursor, order="CREATED_ASC"
    )
    assert codes(answer) == ["INVALID_INPUT"]


@pytest.mark.parametrize("cursor", BAD_TIMES)
async def test_a_crafted_time_is_refused(stock: Stock, cursor: str) -> None:
    answer = await stock.live.graphql(
        PAGE, image=stock.image_id, first=1, after=cursor, order="UPDATED_ASC"
    )
    assert codes(answer) == ["INVALID_INPUT"]


@pytest.mark.parametrize("order", ORDERS)
async def test_a_cursor_of_another_order_is_refused(stock: Stock, order: str) -> None:
    cursor = (await page(stock, 1, None, order))["pageInfo"]["endCursor"]
    for other in ORDERS:
        answer = await stock.live.graphql(
            PAGE, image=stock.image_id, first=1, after=cursor, order=other
        )
        assert codes(answer) == ([] if other == order else ["INVALID_INPUT"])


@pytest.mark.parametrize("first", [-1, 10_001, 2**31 - 1])
@pytest.mark.parametrize("place", ["analyses", "datasets", "images"])
async def test_a_page_of_a_wrong_size_is_refused(
    any_door: LiveServer, first: int, place: str
) -> None:
    assert codes(await any_door.graphql(f"{{ {place}(first: {first}) {{ totalCount }} }}")) == [
        "INVALID_INPUT"
    ]


async def test_a_total_is_counted_only_when_asked_for(stock: Stock) -> None:
    query = "query($id: ID!) { analyses(first: 2, filter: {imageId: $id}) { nodes { id } %s } }"
    with statements_of("analyses") as without:
        await stock.live.data(query % "", id=stock.image_id)
    with statements_of("analyses") as counting:
        found = await stock.live.data(query % "totalCount", id=stock.image_id)
    assert found["analyses"]["totalCount"] == ITEMS
    assert ["count(*)" in statement for statement in without] == [False]
    assert ["count(*)" in statement for statement in counting] == [True]


@dataclass(frozen=True, slots=True)
class Nested:
    """A dataset with three images, of which each has two analyses of two annotations."""

    live: LiveServer
    dataset_id: str
    images: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nested(any_door: LiveServer) -> AsyncIterator[Nested]:
    dataset_id = await dataset(any_door)
    images = sorted([await image(any_door, dataset_id, filename=f"{n}.png") for n in range(3)])
    for image_id in images:
        for model in ("one", "two"):
            analysis_id = await external(any_door, image_id, modelName=model)
            found = [box(className=model, confidence=n / 4) for n in (1, 3)]
            await any_door.data(ADD_ANNOTATIONS, id=analysis_id, found=found)
    yield Nested(any_door, dataset_id, images)


NESTED = """query($id: ID!) { dataset(id: $id) { name
  images { totalCount nodes { filename dataset { name } subject { name } batch { name }
    analyses { totalCount nodes { modelName image { filename } artifacts { name }
      annotations { totalCount nodes { className confidence } } } } } } } }"""


async def test_nested_lists_take_one_statement(nested: Nested) -> None:
    await nested.live.data(NESTED, id=nested.dataset_id)
    with statements_of() as statements:
        found = await nested.live.data(NESTED, id=nested.dataset_id)
    images = found["dataset"]["images"]
    assert [node["filename"] for node in images["nodes"]] == ["0.png", "1.png", "2.png"]
    for node in images["nodes"]:
        assert node["dataset"] == {"name": "pictures"}
        assert [a["modelName"] for a in node["analyses"]["nodes"]] == ["one", "two"]
        for analysis in node["analyses"]["nodes"]:
            assert analysis["image"] == {"filename": node["filename"]}
            assert analysis["annotations"] == {
                "totalCount": 2,
                "nodes": [
                    {"className": analysis["modelName"], "confidence": 0.25},
                    {"className": analysis["modelName"], "confidence": 0.75},
                ],
            }
    assert len(statements) == 1


async def test_one_field_may_be_asked_twice_with_other_arguments(nested: Nested) -> None:
    query = """query($id: ID!) { dataset(id: $id) { images { nodes {
      one: analyses(filter: {modelName: "one"}) { totalCount nodes { modelName } }
      two: analyses(filter: {modelName: "two"}) { nodes { modelName
        sure: annotations(filter: {confidenceFrom: 0.5}) { totalCount nodes { confidence } }
        unsure: annotations(filter: {confidenceTo: 0.5}) { nodes { confidence } } } }
      newest: analyses(first: 1, orderBy: CREATED_DESC) { nodes { modelName } } } } } }"""
    found = await nested.live.data(query, id=nested.dataset_id)
    for node in found["dataset"]["images"]["nodes"]:
        assert node == {
            "one": {"totalCount": 1, "nodes": [{"modelName": "one"}]},
            "two": {
                "nodes": [
                    {
                        "modelName": "two",
                        "sure": {"totalCount": 1, "nodes": [{"confidence": 0.75}]},
                        "unsure": {"nodes": [{"confidence": 0.25}]},
                    }
                ]
            },
            "newest": {"nodes": [{"modelName": "two"}]},
        }


async def test_nested_pages_go_on_after_their_cursor(nested: Nested) -> None:
    query = """query($id: ID!, $after: String) { dataset(id: $id) {
      images(first: 2, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } } }"""
    one = (await nested.live.data(query, id=nested.dataset_id))["dataset"]["images"]
    after = one["pageInfo"]["endCursor"]
    two = (await nested.live.data(query, id=nested.dataset_id, after=after))["dataset"]["images"]
    assert one["pageInfo"]["hasNextPage"] and not two["pageInfo"]["hasNextPage"]
    assert [node["id"] for node in one["nodes"] + two["nodes"]] == nested.images
