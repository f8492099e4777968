"""The sweep: removes what no row names and is old, never what somebody is about to name."""

import asyncio
import io
import os
from datetime import UTC, datetime, timedelta

import pytest

from opsin.assembly import Parts, assemble, image_limits
from opsin.core.access import Principal
from opsin.core.blob_sweep import BlobSweep
from opsin.core.errors import StorageError
from opsin.core.fetch import Fetcher
from opsin.core.images import Images, NewImage
from opsin.core.records import Dataset, Image
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from opsin.storage.blobs.memory import MemoryBlobStore
from tests.core.stored import blob_store, blobs
from tests.pictures import noise_jpeg, solid_png

HOUR = timedelta(hours=1)


@pytest.fixture
async def dataset(parts: Parts, principal: Principal) -> Dataset:
    return await parts.use_cases.datasets.create(principal, "pictures")


async def add(parts: Parts, principal: Principal, dataset: Dataset, picture: bytes) -> Image:
    return await parts.use_cases.images.add(
        principal, NewImage(dataset.id, "a.jpg"), io.BytesIO(picture)
    )


async def test_only_what_is_unnamed_and_old_goes(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    named = await add(parts, principal, dataset, noise_jpeg())
    deleted = await add(parts, principal, dataset, solid_png())
    await parts.use_cases.images.delete(principal, deleted.id)
    store = blob_store(settings)
    await store.put_file("models/kept", io.BytesIO(b"not ours to judge"))
    assert await parts.sweep.run(older_than=HOUR) == 0  # all of it is young
    later = datetime.now(UTC) + 2 * HOUR
    assert await parts.sweep.run(older_than=HOUR, now=later) == 1
    assert await blobs(settings) == {content_key(named.sha256), "models/kept"}
    assert await parts.sweep.run(older_than=HOUR, now=later) == 0


async def test_a_blob_that_two_images_name_goes_with_the_second(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    first = await add(parts, principal, dataset, solid_png())
    second = await add(parts, principal, dataset, solid_png())
    later = datetime.now(UTC) + 2 * HOUR
    for image, swept in ((first, 0), (second, 1)):
        await parts.use_cases.images.delete(principal, image.id)
        assert await parts.sweep.run(older_than=HOUR, now=later) == swept


async def test_many_are_swept_in_groups(parts: Parts, settings: Settings) -> None:
    store = blob_store(settings)
    for number in range(120):
        await store.put_file(content_key(f"{number:064x}"), io.BytesIO(b"x"))
    assert await parts.sweep.run(older_than=HOUR, now=datetime.now(UTC) + 2 * HOUR) == 120
    assert await blobs(settings) == set()


async def test_half_written_files_of_a_killed_process_go_too(
    parts: Parts, settings: Settings
) -> None:
    incoming = settings.data_dir / "blobs" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "half").write_bytes(b"x")
    await parts.sweep.run(older_than=HOUR)
    assert (incoming / "half").exists()
    old = (datetime.now(UTC) - 2 * HOUR).timestamp()
    os.utime(incoming / "half", (old, old))
    await parts.sweep.run(older_than=HOUR)
    assert list(incoming.iterdir()) == []


class StickyStore(MemoryBlobStore):
    """Cannot delete one of its blobs."""

    async def delete(self, key: str) -> None:
        if key.endswith("1"):
            raise StorageError("this one stays")
        await super().delete(key)


async def test_one_that_cannot_be_deleted_does_not_keep_the_others(parts: Parts) -> None:
    store = StickyStore()
    for number in range(5):
        await store.put_file(content_key(f"{number:064x}"), io.BytesIO(b"x"))
    sweep = BlobSweep(parts.use_cases.database, store)
    assert await sweep.run(older_than=HOUR, now=datetime.now(UTC) + 2 * HOUR) == 4
    assert [blob.key async for blob in store.list()] == [content_key(f"{1:064x}")]


# --- races ----------------------------------------------------------------------------------------


class SlowStore(MemoryBlobStore):
    """Gives others their turn around each of its steps, as a store over the network does."""

    async def stat(self, key: str):  # type: ignore[no-untyped-def]  # as the base class
        found = await super().stat(key)
        await asyncio.sleep(0.001)
        return found

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0.001)
        await super().delete(key)


async def test_an_upload_beside_a_sweep_never_names_a_missing_blob(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    """Every blob is old to this sweep: whatever is unnamed at that moment goes."""
    store = SlowStore()
    use_cases = parts.use_cases
    limits = image_limits(settings)
    images = Images(use_cases.database, store, use_cases.engine, Fetcher(), limits)
    sweep = BlobSweep(use_cases.database, store)
    busy, swept = True, 0

    async def upload(seed: int) -> None:
        picture = noise_jpeg(seed=seed % 3)
        for _ in range(6):
            new = NewImage(dataset.id, "a.jpg")
            image = await images.add(principal, new, io.BytesIO(picture))
            assert await images.content(image) == picture
            await asyncio.sleep(0.001)
            assert await images.content(image) == picture
            if seed < 3:
                await images.delete(principal, image.id)

    async def sweep_all() -> None:
        nonlocal swept
        while busy:
            swept += await sweep.run(older_than=-HOUR)
            await asyncio.sleep(0)

    sweeping = [asyncio.create_task(sweep_all()) for _ in range(2)]
    for _ in range(5):
        await asyncio.gather(*(upload(seed) for seed in range(3)))
        await asyncio.sleep(0.01)
    await asyncio.gather(*(upload(seed) for seed in range(6)))
    busy = False
    await asyncio.gather(*sweeping)
    assert swept > 3


async def test_a_sweep_of_another_process_is_kept_apart_too(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    """Two houses, one database and one folder of files."""
    other = assemble(settings.model_copy(update={"database_url": parts.database_url}))
    sweeps = 0

    async def sweep_all() -> None:
        nonlocal sweeps
        while True:
            await other.sweep.run(older_than=-HOUR)
            sweeps += 1

    async with other.running():
        sweeping = asyncio.create_task(sweep_all())
        for number in range(40):
            image = await add(parts, principal, dataset, noise_jpeg(seed=number % 2))
            assert await parts.use_cases.images.content(image)
            if number % 4 < 3:
                await parts.use_cases.images.delete(principal, image.id)
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
    assert sweeps > 3
