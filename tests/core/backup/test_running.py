"""Backups while a server takes in, analyses and deletes; and servers on them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from opsin.core.blob_sweep import BlobSweep
from opsin.settings import Settings
from opsin.storage.blobs import open_blob_store
from opsin.storage.database import Database
from opsin.storage.tables import events
from tests.conftest import LiveServer, serve
from tests.core.backup.conftest import NewDatabase
from tests.core.backup.saving import bring_back, save
from tests.graphql.asking import ANALYZE, dataset
from tests.pictures import noise_jpeg

_ALL = """{
  datasets(first: 1) { nodes { name images(first: 200) { totalCount nodes {
    id filename sha256 width createdAt
    analyses(first: 2) { totalCount nodes {
      id operation status attempts provenance createdAt completedAt
      result { __typename ... on PerceptualHash { phash dhash } }
      annotations(first: 5) { nodes { annotationType className confidence data } }
    } }
  } } } }
  analyses(filter: {status: [COMPLETED]}) { totalCount }
}"""


_DELETE = "mutation($id: ID!) { deleteImage(id: $id) { deletedId } }"


@pytest.mark.parametrize(("kind", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
async def test_each_backup_is_one_moment_of_what_went_on(
    kind: str, other: str, settings: Settings, new_database: NewDatabase, tmp_path: Path
) -> None:
    url = await new_database(kind)
    running = settings.model_copy(update={"database_url": url, "worker": True})
    blobs = open_blob_store(settings.resolved_blob_url)
    async with serve(running) as live:
        async with _writers(live, url, settings) as written:
            await _until(lambda: len(written) >= 8)
            saved = await save(url, blobs, tmp_path / "backup-0")
            assert saved.blobs.missing == ()
            count = len(written)
            await _until(lambda: len(written) >= count + 4)
        await _until_idle(live)
        saved = await save(url, blobs, tmp_path / "backup-1")
        assert saved.blobs.missing == ()
        expected, log = await live.data(_ALL), await _log(url)
        picture = await _first_picture(live)
    assert expected["analyses"]["totalCount"] > 3

    for number in range(2):
        new_url = await new_database(other, migrated=False)
        home = tmp_path / f"data-{number}"
        new_blobs = open_blob_store(Settings(data_dir=home).resolved_blob_url)
        restored = await bring_back(tmp_path / f"backup-{number}", new_url, new_blobs, home=home)
        assert restored.missing_blobs == ()
        kept = await _log(new_url)
        # The log up to one event, and the tables as that event left them.
        assert kept == log[: len(kept)]
        assert await _images(new_url) == _images_of(kept)
        assert await _completed(new_url) == _completed_of(kept)
    assert kept == log

    again = settings.model_copy(update={"database_url": new_url, "data_dir": home})
    async with serve(again) as live:
        assert await live.data(_ALL) == expected
        assert await _first_picture(live) == picture


@contextlib.asynccontextmanager
async def _writers(live: LiveServer, url: str, settings: Settings) -> AsyncIterator[list[str]]:
    """Two who upload, analyse and delete, and one who sweeps files once nobody names them.

    Gives the images that they have dealt with so far.
    """
    database, blobs = Database(url), open_blob_store(settings.resolved_blob_url)
    sweep = BlobSweep(database, blobs)
    is_over = asyncio.Event()
    written: list[str] = []
    place = await dataset(live)

    async def write(first: int) -> None:
        number = first
        while not is_over.is_set():
            made = await live.upload(place, noise_jpeg(seed=number), f"{number}.jpg")
            identity = made["data"]["uploadImage"]["id"]
            if number % 3:
                task = {"taskId": "hash", "operation": "perceptual_hash"}
                await live.data(ANALYZE, input={"imageId": identity, "tasks": [task]})
            else:
                await live.data(
                    "mutation($id: ID!) { deleteImage(id: $id) { __typename } }", id=identity
                )
            written.append(identity)
            number += 2

    async def sweep_on() -> None:
        while not is_over.is_set():
            await sweep.run(older_than=timedelta(0))
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(work) for work in (write(1), write(2), sweep_on())]
    try:
        yield written
    finally:
        is_over.set()
        await asyncio.gather(*tasks)
        await blobs.close()
        await database.close()


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - a list tells nobody
            await asyncio.sleep(0.02)


async def _until_idle(live: LiveServer) -> None:
    waiting = "{ analyses(filter: {status: [QUEUED, PROCESSING]}) { totalCount } }"
    async with asyncio.timeout(60):
        while (await live.data(waiting))["analyses"]["totalCount"]:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.05)


async def _first_picture(live: LiveServer) -> bytes:
    found = await live.data("{ images(first: 1) { nodes { url } } }")
    answer = await live.client.get(found["images"]["nodes"][0]["url"])
    assert answer.status_code == 200
    return answer.content


async def _log(url: str) -> list[tuple[Any, ...]]:
    return await _rows(url, select(events).order_by(events.c.sequence))


async def _images(url: str) -> set[str]:
    return {str(row[0]) for row in await _rows(url, text("SELECT id FROM images"))}


async def _completed(url: str) -> set[str]:
    done = text("SELECT id FROM analyses WHERE status = 'COMPLETED'")
    return {str(row[0]) for row in await _rows(url, done)}


async def _rows(url: str, statement: Any) -> list[tuple[Any, ...]]:
    database = Database(url)
    try:
        async with database.read() as connection:
            return [tuple(row) for row in await connection.execute(statement)]
    finally:
        await database.close()


def _images_of(log: list[tuple[Any, ...]]) -> set[str]:
    """The images that there are after these events."""
    place = events.c.keys().index("image_id")
    named = {kind: {e[place] for e in log if kind in e} for kind in _KINDS}
    return named["image.created"] - named["image.deleted"]


def _completed_of(log: list[tuple[Any, ...]]) -> set[str]:
    place, there = events.c.keys().index("analysis_id"), _images_of(log)
    image = events.c.keys().index("image_id")
    return {e[place] for e in log if "analysis.completed" in e and e[image] in there}


_KINDS = ("image.created", "image.deleted")
