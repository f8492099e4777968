"""Filters and cursors that are made to cost: they are answered soon, or refused in words."""

import time

import pytest

from opsin.core.conditions import LONGEST_SUBSTRING
from tests.conftest import LiveServer
from tests.graphql import asking
from tests.graphql.asking import codes

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30
"""Each took minutes once, in which the process did nothing else; now it is less than one."""
_SET = """mutation($id: ID!, $entries: JSON!) {
  setMetadata(input: {imageId: $id, entries: $entries}) { image { id } } }"""
_FIND = "query($text: String) { images(filter: {metadata: {contains: $text}}) { nodes { id } } }"


async def test_nothing_is_looked_for_at_the_cost_of_its_length_at_each_place(
    any_door: LiveServer,
) -> None:
    image = await asking.image(any_door)
    await any_door.data(_SET, id=image, entries={"a": "a" * 1_000_000, "b": "Sought*" * 200})
    letters = LONGEST_SUBSTRING - 1
    for text in ("a" * letters + "b", "A" * letters + "B", "a" * 200 + "?" + "a" * 700, "[a" * 400):
        started = time.perf_counter()
        assert await any_door.data(_FIND, text=text) == {"images": {"nodes": []}}
        assert time.perf_counter() - started < SECONDS, text[:9]
    for text in ("a" * letters, "sOUGHT*" * 100):
        assert (await any_door.data(_FIND, text=text))["images"]["nodes"] == [{"id": image}]


@pytest.mark.parametrize(
    "cursor",
    ["", "id>", "a" * 1_000_000, "id>\x00", "id>' OR 1=1 --", "created_at<9999-12-31T23:59:59Z|x",
     "created_at>" + "9" * 10_000 + "|", "id>\ud7ff", "%00", "id>" + "0" * 36],
)  # fmt: skip
async def test_a_cursor_that_was_made_up_is_refused(any_door: LiveServer, cursor: str) -> None:
    query = "query($after: String) { images(after: $after) { nodes { id } } }"
    answer = await any_door.graphql(query, after=cursor)
    assert codes(answer) == ["INVALID_INPUT"], answer
    events = (
        "query($after: String) { analyses(after: $after, orderBy: CREATED_DESC) { nodes { id } } }"
    )
    assert codes(await any_door.graphql(events, after=cursor)) == ["INVALID_INPUT"]


async def test_variables_of_the_wrong_shape_are_refused(any_door: LiveServer) -> None:
    query = "query($f: ImageFilter) { images(filter: $f) { nodes { id } } }"
    deep: object = {}
    for _ in range(200):
        deep = {"metadata": deep}
    for given in (deep, [deep] * 50, {"metadata": {"contains": "x" * 10_000}}, {"createdFrom": {}},
                  {"datasetId": ["x"] * 10_000}, {str(n): n for n in range(20_000)}):  # fmt: skip
        started = time.perf_counter()
        answer = await any_door.graphql(query, f=given)
        assert time.perf_counter() - started < SECONDS, str(given)[:20]
        assert answer["errors"] and len(str(answer)) < 200_000
        assert "INTERNAL" not in codes(answer)
