"""eventCursor and what is read with it: no event lies between the two."""

import asyncio

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import external, image

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERIES = (
    "query($id: ID!) { eventCursor image(id: $id) { analyses { totalCount } } }",
    "query($id: ID!) { image(id: $id) { analyses { totalCount } } eventCursor }",
    # Plugins are asked of a resolver, images of the database.
    "query($id: ID!) { image(id: $id) { analyses { totalCount } } plugins { name } eventCursor }",
)


@pytest.mark.parametrize("query", QUERIES)
async def test_a_list_shows_all_that_happened_before_the_cursor(
    any_door: LiveServer, query: str
) -> None:
    """Each new analysis is one event, so a cursor tells how many there must be in the list."""
    image_id = await image(any_door)
    before = int((await any_door.data("{ eventCursor }"))["eventCursor"])
    most = 0

    async def create() -> None:
        while True:
            await external(any_door, image_id)

    creating = [asyncio.create_task(create()) for _ in range(3)]
    try:
        for _ in range(30):
            seen = await any_door.data(query, id=image_id)
            events = int(seen["eventCursor"]) - before
            assert events <= seen["image"]["analyses"]["totalCount"]
            most = max(most, events)
    finally:
        for task in creating:
            task.cancel()
        await asyncio.gather(*creating, return_exceptions=True)
    assert most > 0  # something did happen meanwhile
