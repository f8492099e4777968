"""Images: every way in, what is kept of them, and names, groups and metadata."""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.errors import AddressNotAllowed, FetchFailed, InvalidInput, NotFound, TooLarge
from opsin.core.images import NewImage, clean_filename, decode_base64
from opsin.core.records import Dataset
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from opsin.storage.ids import new_id
from opsin.storage.tables import batches, events, images, subjects
from tests.conftest import other_company
from tests.core.loopback import Server, answer, running
from tests.core.stored import blobs, stored
from tests.pictures import noise_jpeg, portrait, solid_png


@pytest.fixture
async def dataset(parts: Parts, principal: Principal) -> Dataset:
    return await parts.use_cases.datasets.create(principal, "pictures")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, server: Server) -> Settings:
    """A house that may fetch from the test's own server."""
    return settings.model_copy(update={"fetch_allow": (f"127.0.0.1:{server.port}",)})


async def add(parts: Parts, principal: Principal, new: NewImage, picture: bytes) -> Any:
    return await parts.use_cases.images.add(principal, new, io.BytesIO(picture))


# --- ways in --------------------------------------------------------------------------------------


async def test_an_upload_is_kept_as_it_came(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    picture = portrait()
    new = NewImage(dataset.id, "grace hopper.jpg", metadata={"rank": "admiral", "n": [1, None]})
    image = await add(parts, principal, new, picture)
    assert (image.width, image.height, image.content_type) == (512, 600, "image/jpeg")
    assert (image.filename, image.size_bytes) == ("grace hopper.jpg", len(picture))
    assert image.sha256 == hashlib.sha256(picture).hexdigest()
    assert (image.orientation, image.frames, image.notes) == (1, 1, [])
    assert image.metadata == {"rank": "admiral", "n": [1, None]}
    found = await parts.use_cases.images.get(principal, image.id)
    assert found == image
    assert await parts.use_cases.images.content(found) == picture
    assert b"".join([chunk async for chunk in parts.use_cases.images.stream(found)]) == picture
    assert await blobs(settings) == {content_key(image.sha256)}
    async with parts.use_cases.database.read() as connection:
        told = (await connection.execute(select(events).where(events.c.image_id == image.id))).all()
    assert [(event.kind, event.dataset_id) for event in told] == [("image.created", dataset.id)]


async def test_the_same_bytes_twice_are_two_images_and_one_blob(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    first = await add(parts, principal, NewImage(dataset.id, "a.png"), solid_png())
    second = await add(parts, principal, NewImage(dataset.id, "b.png"), solid_png())
    assert first.id != second.id and first.sha256 == second.sha256
    assert (await stored(parts)).images == 2
    assert len(await blobs(settings)) == 1
    await parts.use_cases.images.delete(principal, first.id)
    assert await parts.use_cases.images.content(second) == solid_png()


@pytest.mark.parametrize(
    "before", ["", "data:image/png;base64,", "  DATA:image/png;charset=x;BASE64,"]
)
async def test_base64_text(before: str) -> None:
    text = base64.encodebytes(noise_jpeg()).decode()  # with line breaks, as mail programs write it
    assert decode_base64(f"{before} \t{text}\r\n", 10_000) == noise_jpeg()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("data:image/png,%89PNG", InvalidInput),
        ("data:image/png;base64", InvalidInput),
        ("iVBORw0KGgo*", InvalidInput),
        ("iVBOR", InvalidInput),
        ("ïVBO", InvalidInput),
        ("AAAA" * 40, TooLarge),
        ("AA" + " " * 10_000 + "AA", TooLarge),
    ],
)
async def test_text_that_is_no_base64(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode_base64(text, 100)


async def test_an_image_from_base64_text(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    text = base64.b64encode(noise_jpeg()).decode()
    new = NewImage(dataset.id, "noise.jpg")
    image = await parts.use_cases.images.import_base64(principal, new, text)
    assert await parts.use_cases.images.content(image) == noise_jpeg()


async def test_an_image_from_a_url(
    parts: Parts, principal: Principal, dataset: Dataset, server: Server
) -> None:
    server.answers["/a/noise%20one.jpg?size=1"] = answer(noise_jpeg(), "Content-Type: image/jpeg")
    images_ = parts.use_cases.images
    url = f"{server.url}/a/noise%20one.jpg?size=1"
    image = await images_.import_url(principal, NewImage(dataset.id, ""), url)
    assert image.filename == "noise one.jpg"
    assert await images_.content(image) == noise_jpeg()
    named = await images_.import_url(principal, NewImage(dataset.id, "mine.jpg"), url)
    assert named.filename == "mine.jpg"


async def test_urls_that_give_no_image_store_nothing(
    parts: Parts, principal: Principal, dataset: Dataset, server: Server, settings: Settings
) -> None:
    server.answers |= {
        "/page": answer(b"<html>", "Content-Type: text/html"),
        "/lie": answer(b"<html>", "Content-Type: image/png"),
        "/away": answer(b"", f"Location: http://127.0.0.1:{server.port + 1}/", status="302 Found"),
    }
    before = await stored(parts)
    for path, error in {
        "/page": FetchFailed,
        "/lie": InvalidInput,
        "/missing": FetchFailed,
        "/away": AddressNotAllowed,
    }.items():
        with pytest.raises(error):
            new = NewImage(dataset.id, "x")
            await parts.use_cases.images.import_url(principal, new, server.url + path)
    assert await stored(parts) == before
    assert await blobs(settings) == set()


async def test_fifty_uploads_at_once(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    pictures = [noise_jpeg(seed=number % 25) for number in range(50)]  # each of them twice
    before = await stored(parts)
    made = await asyncio.gather(
        *(
            add(parts, principal, NewImage(dataset.id, f"{number}.jpg"), picture)
            for number, picture in enumerate(pictures)
        )
    )
    after = await stored(parts)
    assert (after.images - before.images, after.events - before.events) == (50, 50)
    assert len(await blobs(settings)) == 25
    for image, picture in zip(made, pictures, strict=True):
        assert await parts.use_cases.images.content(image) == picture


async def test_an_image_deleted_while_it_is_asked_about_is_not_found(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    """The deletion is under way, and not committed, when the analysis is asked for."""
    image = await add(parts, principal, NewImage(dataset.id, "a"), solid_png())
    tasks = [make_task(parts.use_cases.host, "1", "detect_bounding_box")]
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(delete(images).where(images.c.id == image.id))
        asking = asyncio.create_task(parts.use_cases.analyses.ask(principal, image.id, tasks))
        await asyncio.sleep(0.2)
    with pytest.raises(NotFound, match="Image not found"):
        await asking


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("photo.png", "photo.png"),
        ("/etc/passwd", "passwd"),
        ("../../up.png", "up.png"),
        ("C:\\Users\\me\\photo.png", "photo.png"),
        ("a\x00b\r\nc\x1b[31m.png", "abc[31m.png"),
        ("\u202egnp.exe", "gnp.exe"),  # would be shown from right to left
        ("\ud800.png", ".png"),  # half a character cannot be stored
        ("👩\u200d🔬 at work 📷.jpg", "👩\u200d🔬 at work 📷.jpg"),
        ("\U0001fae9.jpg", "\U0001fae9.jpg"),  # newer than the Unicode of Python 3.11
        ("..", "image"),
        (".", "image"),
        ("", "image"),
        ("   ", "image"),
        ("folder/", "folder"),
        ("x" * 300 + ".jpeg", "x" * 250 + ".jpeg"),
        ("é" * 300 + ".jpeg", "é" * 250 + ".jpeg"),
    ],
)
def test_file_names(given: str, kept: str) -> None:
    assert clean_filename(given) == kept


async def test_a_long_and_colourful_name_is_stored(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    image = await add(parts, principal, NewImage(dataset.id, "📷" * 300), solid_png())
    assert (await parts.use_cases.images.get(principal, image.id)).filename == "📷" * 255


# --- datasets, subjects, batches, metadata --------------------------------------------------------


async def test_subject_and_batch_are_those_of_the_dataset(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    elsewhere = await parts.use_cases.datasets.create(principal, "elsewhere")
    groups: dict[tuple[str, str], str] = {}
    async with parts.use_cases.database.write() as transaction:
        for table, name in ((subjects, "subject_id"), (batches, "batch_id")):
            for place in (dataset, elsewhere):
                values = {
                    "id": new_id(),
                    "company_id": principal.company_id,
                    "dataset_id": place.id,
                    "name": name,
                    "created_at": place.created_at,
                }
                await transaction.connection.execute(insert(table).values(values))
                groups[name, place.name] = str(values["id"])
    mine: dict[str, Any] = {name: groups[name, "pictures"] for name in ("subject_id", "batch_id")}
    image = await add(parts, principal, NewImage(dataset.id, "a", **mine), solid_png())
    assert (image.subject_id, image.batch_id) == (mine["subject_id"], mine["batch_id"])
    upper: dict[str, Any] = {name: value.upper() for name, value in mine.items()}
    again = await add(parts, principal, NewImage(dataset.id.upper(), "b", **upper), solid_png())
    assert (again.subject_id, again.dataset_id) == (image.subject_id, dataset.id)
    before = await stored(parts)
    for name in ("subject_id", "batch_id"):
        for bad in (groups[name, "elsewhere"], new_id(), "nonsense", ""):
            wrong: dict[str, Any] = {name: bad}
            with pytest.raises(NotFound):
                await add(parts, principal, NewImage(dataset.id, "a", **wrong), noise_jpeg())
    assert await stored(parts) == before


async def test_an_unknown_dataset(parts: Parts, principal: Principal, settings: Settings) -> None:
    for dataset_id in ("", "nonsense", "00000000-0000-7000-8000-000000000000"):
        with pytest.raises(NotFound):
            await add(parts, principal, NewImage(dataset_id, "a"), solid_png())
    assert await blobs(settings) == set()


async def test_another_companys_dataset_and_image_are_not_there(
    parts: Parts, principal: Principal, dataset: Dataset, settings: Settings
) -> None:
    image = await add(parts, principal, NewImage(dataset.id, "a"), solid_png())
    stranger = await other_company(parts)
    before = await stored(parts)
    with pytest.raises(NotFound):
        await add(parts, stranger, NewImage(dataset.id, "a"), noise_jpeg())
    with pytest.raises(NotFound):
        await parts.use_cases.images.get(stranger, image.id)
    with pytest.raises(NotFound):
        await parts.use_cases.images.delete(stranger, image.id)
    assert await parts.use_cases.images.find(stranger, image.id) is None
    assert await stored(parts) == before
    assert len(await blobs(settings)) == 1


BAD_METADATA: list[Any] = [
    {"a": float("nan")},
    {"a": [{"b": float("-inf")}]},
    {"a": "nul \x00"},
    {"nul \x00": 1},
    {"a": "half \ud800 a character"},
    {"a": b"bytes"},
    {1: "a"},
    ["a", "list"],
]


async def test_metadata_that_json_cannot_hold(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    before = await stored(parts)
    for metadata in BAD_METADATA:
        with pytest.raises(InvalidInput, match="metadata"):
            await add(parts, principal, NewImage(dataset.id, "a", metadata=metadata), solid_png())
    assert await stored(parts) == before


async def test_metadata_comes_back_as_it_went_in(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    metadata = {"z": 1, "a": 2**63, "é": "\u2028 \\u0000", "x": 0.1, "deep": deep, "none": None}
    image = await add(parts, principal, NewImage(dataset.id, "a", metadata=metadata), solid_png())
    found = await parts.use_cases.images.get(principal, image.id)
    assert found.metadata == metadata and list(found.metadata) == list(metadata)
