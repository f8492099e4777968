"""Bad pictures and failing stores: a clear error, nothing stored half, nothing lost."""

import asyncio
import io
from collections.abc import AsyncIterable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.assembly import Parts, image_limits
from opsin.core.access import Principal
from opsin.core.errors import BlobNotFound, InvalidImage, OpsinError, StorageError, TooLarge
from opsin.core.fetch import Fetcher
from opsin.core.images import Images, NewImage
from opsin.core.records import Dataset
from opsin.settings import Settings
from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.blobs.memory import MemoryBlobStore
from tests.core.stored import blob_store, blobs, stored
from tests.pictures import huge_png_header, noise_jpeg, solid_png, truncated


@pytest.fixture
async def dataset(parts: Parts, principal: Principal) -> Dataset:
    return await parts.use_cases.datasets.create(principal, "pictures")


def images_on(parts: Parts, settings: Settings, store: BlobStore) -> Images:
    """The images of a house, their files in another store."""
    use_cases = parts.use_cases
    limits = image_limits(settings)
    return Images(use_cases.database, store, use_cases.engine, Fetcher(), limits)


BAD: dict[str, tuple[Callable[[], bytes], type[OpsinError], str]] = {
    "no image": (lambda: b"%PDF-1.7 and so on" * 100, InvalidImage, "not an image"),
    "text": (lambda: "häßlich".encode("utf-16"), InvalidImage, "not an image"),
    "empty": (bytes, InvalidImage, "empty"),
    "truncated": (lambda: truncated(noise_jpeg(640, 480)), InvalidImage, "truncated"),
    "last byte missing": (lambda: noise_jpeg()[:-1], InvalidImage, "truncated"),
    "header alone": (lambda: noise_jpeg()[:20], InvalidImage, "JPEG"),
    "damaged": (lambda: solid_png().replace(b"IDAT", b"IDAX"), InvalidImage, "PNG"),
    "60,000 x 60,000": (huge_png_header, InvalidImage, "100,000,000 pixels"),
    "script": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", InvalidImage, "not an image"),
}


async def test_bad_pictures_leave_nothing(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    before = await stored(parts)
    new = NewImage(dataset.id, "bad.jpg")
    for name, (picture, error, message) in BAD.items():
        with pytest.raises(error, match=message) as raised:
            await parts.use_cases.images.add(principal, new, io.BytesIO(picture()))
        assert str(settings.data_dir) not in str(raised.value), name
        assert await stored(parts) == before, name
        assert await blobs(settings) == set(), name
    # The house is as well as before.
    await parts.use_cases.images.add(principal, new, io.BytesIO(noise_jpeg()))


class CountingFile(io.BytesIO):
    """Says how much of it was read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self.taken += len(chunk)
        return chunk


async def test_a_picture_over_the_limit_is_not_read_to_its_end(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    small = settings.model_copy(update={"max_upload_bytes": 10_000})
    images = images_on(parts, small, blob_store(settings))
    file = CountingFile(noise_jpeg() + bytes(100 * 2**20))
    before = await stored(parts)
    with pytest.raises(TooLarge, match="10000"):
        await images.add(principal, NewImage(dataset.id, "big.jpg"), file)
    assert file.taken <= 2**20
    assert await stored(parts) == before
    assert await blobs(settings) == set()


async def test_the_limit_itself_is_allowed(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    picture = noise_jpeg()
    exact = settings.model_copy(update={"max_upload_bytes": len(picture)})
    images = images_on(parts, exact, blob_store(settings))
    image = await images.add(principal, NewImage(dataset.id, "a.jpg"), io.BytesIO(picture))
    assert await images.content(image) == picture


# --- failing stores -------------------------------------------------------------------------------


class FullStore(MemoryBlobStore):
    """Has no room; half of the content is read before it says so."""

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> int:
        async for _ in chunks:
            break
        raise StorageError("no space is left")


async def test_without_the_file_there_is_no_row(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    before = await stored(parts)
    with pytest.raises(StorageError, match="no space"):
        images = images_on(parts, settings, FullStore())
        await images.add(principal, NewImage(dataset.id, "a.png"), io.BytesIO(solid_png()))
    assert await stored(parts) == before


async def test_without_the_row_the_file_is_swept(
    parts: Parts,
    principal: Principal,
    dataset: Dataset,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = await stored(parts)

    async def fail(connection: AsyncConnection, *told: object) -> None:
        raise OSError("the connection was lost")

    images = parts.use_cases.images
    with monkeypatch.context() as failing, pytest.raises(StorageError):
        failing.setattr("opsin.storage.database.append_events", fail)
        await images.add(principal, NewImage(dataset.id, "a.png"), io.BytesIO(solid_png()))
    assert await stored(parts) == before
    assert len(await blobs(settings)) == 1
    later = datetime.now(UTC) + timedelta(hours=3)
    assert await parts.sweep.run(older_than=timedelta(hours=1), now=later) == 1
    assert await blobs(settings) == set()


async def test_a_caller_that_leaves_leaves_all_or_nothing(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    """Cancelled at many moments between the first byte read and the commit."""
    images = parts.use_cases.images
    new = NewImage(dataset.id, "a.jpg")
    kept = 0
    for number in range(60):
        before = await stored(parts)
        picture = noise_jpeg(seed=number)
        adding = asyncio.create_task(images.add(principal, new, io.BytesIO(picture)))
        await asyncio.sleep(number * 0.0005)
        adding.cancel()
        (answer,) = await asyncio.gather(adding, return_exceptions=True)
        after = await stored(parts)
        added = after.images - before.images
        assert added == after.events - before.events
        assert added in ((0, 1) if isinstance(answer, BaseException) else (1,))
        kept += added
    assert kept < 60  # some were stopped in the middle
    # The connections are in order: the next one does the same in peace.
    image = await images.add(principal, new, io.BytesIO(noise_jpeg()))
    assert await images.content(image) == noise_jpeg()


# --- files lost or damaged after they were taken in -----------------------------------------------


async def test_a_file_that_is_gone_or_damaged_is_told_apart_from_a_picture(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    images, store = parts.use_cases.images, blob_store(settings)
    for picture in (noise_jpeg(), noise_jpeg(300, 300)):  # short and long ones are checked apart
        image = await images.add(principal, NewImage(dataset.id, "a"), io.BytesIO(picture))
        changed = bytearray(picture)
        changed[len(changed) // 2] ^= 1  # still a whole picture, of other pixels
        await store.put_file(content_key(image.sha256), io.BytesIO(changed))
        with pytest.raises(BlobNotFound, match="damaged"):
            await images.content(image)
        await store.delete(content_key(image.sha256))
        with pytest.raises(BlobNotFound, match="no such"):
            await images.content(image)
        # Sent again, it is there again, also for the first image.
        await images.add(principal, NewImage(dataset.id, "b"), io.BytesIO(picture))
        assert await images.content(image) == picture
