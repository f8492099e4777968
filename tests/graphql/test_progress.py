"""Text that arrives over a socket while an operation writes it, and again when it is replayed."""

from collections.abc import AsyncIterator, Sequence
from threading import Semaphore
from typing import Any

import pytest
import pytest_asyncio

from opsin.core.contract import Item, Runner
from opsin.core.testing import FakeOperation, FakeResult
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.core.given_plugins import given
from tests.graphql.asking import ANALYZE, image
from tests.graphql.sockets import Socket, started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = """subscription($id: ID, $after: Cursor) {
  analysisEvents(analysisId: $id, after: $after) { cursor kind status text } }"""
WORDS = ("a", "grey", "whale", "dives")


class Writer(Runner[Any, FakeResult]):
    """Writes a word whenever it may."""

    uses_device = False

    def __init__(self, permits: Semaphore) -> None:
        self._permits = permits

    def run(self, batch: Sequence[Item[Any]]) -> Sequence[FakeResult]:
        for count in range(1, len(WORDS) + 1):
            assert self._permits.acquire(timeout=20)
            for item in batch:
                item.progress(" ".join(WORDS[:count]))
        assert self._permits.acquire(timeout=20)
        return [FakeResult(mark=0, width=0, height=0, batch_size=len(batch)) for _ in batch]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def writer(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[LiveServer, Semaphore]]:
    """A server with a worker and the operation `write`, whose words need permits."""
    permits = Semaphore(0)
    folder = tmp_path_factory.mktemp("writing")
    settings = module_settings.model_copy(update={"data_dir": folder, "worker": True})
    operation = FakeOperation("write", runner=lambda script: Writer(permits))
    async with serve(settings, more_plugins=[given(operation)]) as live:
        yield live, permits


async def event(socket: Socket) -> dict[str, Any]:
    told: dict[str, Any] = (await socket.next())["data"]["analysisEvents"]
    return told


async def test_words_arrive_while_they_are_written_and_again_in_a_replay(
    writer: tuple[LiveServer, Semaphore],
) -> None:
    live, permits = writer
    asked = {"imageId": await image(live), "tasks": [{"operation": "write"}]}
    analysis_id = (await live.data(ANALYZE, input=asked))["analyze"][0]["id"]
    async with started_socket(live) as socket:
        await socket.subscribe("1", FOLLOW, id=analysis_id, after="0")
        seen = [await event(socket) for _ in range(2)]
        assert [told["kind"] for told in seen] == ["QUEUED", "PROCESSING"]
        assert [told["text"] for told in seen] == [None, None]
        for count in range(1, len(WORDS) + 1):
            permits.release()  # one word, which arrives before the next may be written
            told = await event(socket)
            assert (told["kind"], told["status"]) == ("PROGRESS", "PROCESSING")
            assert told["text"] == " ".join(WORDS[:count])
            seen.append(told)
        permits.release()
        seen.append(await event(socket))
        assert (seen[-1]["kind"], seen[-1]["status"]) == ("COMPLETED", "COMPLETED")
        assert seen[-1]["text"] is None
    for start in (1, 3):
        async with started_socket(live) as socket:
            await socket.subscribe("1", FOLLOW, id=analysis_id, after=seen[start]["cursor"])
            rest = seen[start + 1 :]
            assert [await event(socket) for _ in rest] == rest
