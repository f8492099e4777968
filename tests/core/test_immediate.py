"""Ask and wait: every source of a picture, one outcome a task, and nothing stored."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import Analyzed, TaskStatus, make_task
from opsin.core.errors import (
    AddressNotAllowed,
    BlobNotFound,
    DeadlineExceeded,
    FetchFailed,
    InvalidImage,
    InvalidInput,
    NotFound,
    OpsinError,
    Overloaded,
    TooLarge,
)
from opsin.core.imaging import ImageLimits, decode
from opsin.core.immediate import KnownPixels, PictureSource
from opsin.core.testing import FakeOperation, FakeResult, Script
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from tests.conftest import other_company
from tests.core.given_plugins import house_of
from tests.core.house import add_image
from tests.core.loopback import Server, answer, running
from tests.core.stored import blob_store, blobs, stored
from tests.pictures import huge_png_header, noise_jpeg, solid_png, truncated

PICTURE = solid_png(40, 30)


@pytest.fixture
def script() -> Script:
    return Script(uses_device=False)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        yield server


@pytest.fixture
async def parts(settings: Settings, server: Server, script: Script) -> AsyncIterator[Parts]:
    """A house with the operation `fake` and small limits, on SQLite."""
    async with house_of(
        settings,
        FakeOperation(script=script),
        max_upload_bytes=100_000,
        max_tasks=5,
        queue_limit=4,
        fetch_allow=(f"127.0.0.1:{server.port}",),
    ) as parts:
        yield parts


async def analyze(
    parts: Parts, principal: Principal, source: PictureSource, marks: int = 1
) -> Analyzed:
    tasks = [make_task(parts.use_cases.host, str(n), "fake", {"mark": n}) for n in range(marks)]
    return await parts.use_cases.immediate.analyze(principal, source, tasks)


async def test_every_source_gives_the_same_and_nothing_is_stored(
    parts: Parts, principal: Principal, server: Server, settings: Settings
) -> None:
    server.answers["/a.png"] = answer(PICTURE, "Content-Type: image/png")
    image = await add_image(parts, principal, PICTURE)
    before = await stored(parts)
    for source in (
        PictureSource(file=io.BytesIO(PICTURE)),
        PictureSource(content=PICTURE),
        PictureSource(pixels=await parts.use_cases.immediate.decode(principal, PICTURE)),
        PictureSource(pixels=KnownPixels(decode(PICTURE, ImageLimits()))),
        PictureSource(url=f"{server.url}/a.png"),
        PictureSource(base64=base64.b64encode(PICTURE).decode()),
        PictureSource(image_id=image.id),
        PictureSource(image_id=image.id.upper()),
    ):
        analyzed = await analyze(parts, principal, source, marks=3)
        assert (analyzed.info.width, analyzed.info.height) == (40, 30)
        results = [outcome.result for outcome in analyzed.outcomes]
        assert [r.mark for r in results if isinstance(r, FakeResult)] == [0, 1, 2]
    assert await stored(parts) == before
    assert len(await blobs(settings)) == 1


async def test_pixels_with_a_name_are_known_again(settings: Settings, script: Script) -> None:
    """Whoever needs the pixels as well asks with them: nothing is computed or decoded twice."""
    async with house_of(settings, FakeOperation(script=script, deterministic=True)) as parts:
        principal = await parts.use_cases.access.local()
        immediate, counts = parts.use_cases.immediate, parts.use_cases.answers.counts
        known = await immediate.decode(principal, PICTURE)
        for source in (
            PictureSource(pixels=known),
            PictureSource(content=PICTURE),
            PictureSource(pixels=await immediate.decode(principal, PICTURE)),
        ):
            await analyze(parts, principal, source)
        assert (counts.computed, counts.memory) == (1, 2)
        assert parts.use_cases.engine.picture_counts.misses == 1
        for _ in range(2):  # pixels without a name were never seen before
            await analyze(parts, principal, PictureSource(pixels=KnownPixels(known.image)))
        assert counts.memory == 2 and len(script.batches) == 3


async def test_a_failing_task_does_not_fail_the_others(
    parts: Parts, principal: Principal, script: Script
) -> None:
    script.fails = lambda item: ValueError("no") if item.params.mark == 1 else None
    analyzed = await analyze(parts, principal, PictureSource(file=io.BytesIO(PICTURE)), marks=3)
    success, error = TaskStatus.SUCCESS, TaskStatus.ERROR
    assert [outcome.status for outcome in analyzed.outcomes] == [success, error, success]


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (b"", InvalidImage),
        (b"not a picture", InvalidImage),
        (truncated(noise_jpeg()), InvalidImage),
        (huge_png_header(60_000, 6_000), InvalidImage),
        (PICTURE + bytes(100_000), TooLarge),
    ],
    ids=["empty", "text", "truncated", "huge", "long"],
)
async def test_bad_pictures_from_every_source(
    parts: Parts, principal: Principal, server: Server, picture: bytes, error: type[OpsinError]
) -> None:
    server.answers["/bad"] = answer(picture, "Content-Type: image/png")
    file = io.BytesIO(picture)
    for source in (
        PictureSource(file=file),
        PictureSource(url=f"{server.url}/bad"),
        PictureSource(base64=base64.b64encode(picture).decode()),
    ):
        with pytest.raises(error):
            await analyze(parts, principal, source)
    assert not file.closed  # it is the caller's


async def test_sources_that_give_no_picture(
    parts: Parts, principal: Principal, server: Server, settings: Settings
) -> None:
    image = await add_image(parts, principal, PICTURE)
    stranger = await other_company(parts)
    cases: list[tuple[Principal, PictureSource, type[OpsinError]]] = [
        (principal, PictureSource(), InvalidInput),
        (principal, PictureSource(url="http://example.org", base64="AAAA"), InvalidInput),
        (principal, PictureSource(url="file:///etc/passwd"), InvalidInput),
        (principal, PictureSource(url="http://127.0.0.1:1/"), AddressNotAllowed),
        (principal, PictureSource(url=f"{server.url}/missing"), FetchFailed),
        (principal, PictureSource(base64="&"), InvalidInput),
        (principal, PictureSource(image_id="nonsense"), NotFound),
        (stranger, PictureSource(image_id=image.id), NotFound),
    ]
    for caller, source, error in cases:
        with pytest.raises(error):
            await analyze(parts, caller, source)
    await blob_store(settings).delete(content_key(image.sha256))
    with pytest.raises(BlobNotFound):
        await analyze(parts, principal, PictureSource(image_id=image.id))


async def test_too_many_tasks_are_refused_unread(parts: Parts, principal: Principal) -> None:
    with pytest.raises(TooLarge, match="5 tasks"):
        source = PictureSource(url="http://example.org/never-asked.png")
        await analyze(parts, principal, source, marks=6)


async def test_a_full_engine_and_a_deadline_are_told(
    parts: Parts, principal: Principal, script: Script
) -> None:
    script.running.close()
    source = PictureSource(base64=base64.b64encode(PICTURE).decode())
    asking = [asyncio.create_task(analyze(parts, principal, source, marks=4))]
    await script.running.arrival()  # no longer waiting: there is room for four more
    asking.append(asyncio.create_task(analyze(parts, principal, source, marks=4)))
    await asyncio.sleep(0.1)
    with pytest.raises(Overloaded):
        await analyze(parts, principal, source, marks=4)
    script.running.open()
    await asyncio.gather(*asking)
    script.latency = 1.0
    task = make_task(parts.use_cases.host, "1", "fake")
    with pytest.raises(DeadlineExceeded):
        soon = asyncio.get_running_loop().time() + 0.1
        await parts.use_cases.immediate.analyze(principal, source, [task], deadline=soon)


async def test_a_caller_that_leaves_may_close_its_file_and_makes_room(
    parts: Parts, principal: Principal, script: Script
) -> None:
    script.running.close()
    for _ in range(10):
        with SpooledTemporaryFile(max_size=10) as file:  # rolled over to a real one
            file.write(PICTURE)
            source = PictureSource(file=file)
            asking = asyncio.create_task(analyze(parts, principal, source, marks=4))
            await asyncio.sleep(0.02)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
    script.running.open()
    analyzed = await analyze(parts, principal, PictureSource(file=io.BytesIO(PICTURE)), marks=4)
    assert len(analyzed.outcomes) == 4
