"""Subscribers lose nothing and see nothing twice, however often they come and go."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import dataset, external, image, set_status
from tests.graphql.sockets import started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = """subscription($dataset: ID!, $after: Cursor) {
  analysisEvents(datasetId: $dataset, after: $after) { cursor kind analysisId } }"""
ANALYSES, STEPS = 100, ("QUEUED", "PROCESSING", "COMPLETED")
EVENTS = ANALYSES * len(STEPS)


async def write_events(live: LiveServer, image_id: str) -> None:
    """Three events each of a hundred analyses, by ten writers."""

    async def write() -> None:
        for _ in range(ANALYSES // 10):
            analysis_id = await external(live, image_id)
            for status in STEPS[1:]:
                await set_status(live, analysis_id, status)

    await asyncio.gather(*(write() for _ in range(10)))


async def read_some(
    live: LiveServer, dataset_id: str, after: str | None, most: int
) -> list[dict[str, Any]]:
    """Up to `most` events past the cursor over a connection that is then cut."""
    async with started_socket(live) as socket:
        await socket.subscribe("1", FOLLOW, dataset=dataset_id, after=after)
        found = [(await socket.next())["data"]["analysisEvents"] for _ in range(most)]
        socket.vanish()
    return found


async def test_a_reader_who_keeps_reconnecting_sees_each_event_once(any_door: LiveServer) -> None:
    chance = random.Random(7)
    dataset_id = await dataset(any_door)
    image_id = await image(any_door, dataset_id)
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(write_events(any_door, image_id))
        after = "0"
        while len(seen) < EVENTS:
            most = min(chance.randint(1, 25), EVENTS - len(seen))
            seen += await read_some(any_door, dataset_id, after, most)
            after = seen[-1]["cursor"]
    cursors = [event["cursor"] for event in seen]
    assert cursors == sorted(set(cursors))
    by_analysis: dict[str, list[str]] = {}
    for event in seen:
        by_analysis.setdefault(event["analysisId"], []).append(event["kind"])
    assert Counter(map(tuple, by_analysis.values())) == {STEPS: ANALYSES}
    # And again from anywhere, now that all is written.
    for start in chance.sample(range(EVENTS), 5):
        rest = await read_some(any_door, dataset_id, cursors[start], EVENTS - start - 1)
        assert [event["cursor"] for event in rest] == cursors[start + 1 :]


async def test_without_a_cursor_only_what_is_new_comes(any_door: LiveServer) -> None:
    dataset_id = await dataset(any_door)
    image_id = await image(any_door, dataset_id)
    old = await external(any_door, image_id)
    async with started_socket(any_door) as socket:
        await socket.subscribe("1", FOLLOW, dataset=dataset_id)
        first = asyncio.create_task(socket.next())
        new: list[str] = []
        while not first.done():  # nothing tells when the subscription has begun
            new.append(await external(any_door, image_id))
            await asyncio.wait({first}, timeout=0.2)
        event = first.result()["data"]["analysisEvents"]
        assert event["analysisId"] in new
        assert old not in new
