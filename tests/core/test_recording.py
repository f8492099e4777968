"""Recording: calls that were answered become stored images with analyses, behind the answers."""

import asyncio
import base64
import io
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Any

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import Analyzed, make_task
from opsin.core.errors import InvalidInput, Overloaded, StorageError
from opsin.core.imaging import ImageInfo, decode
from opsin.core.immediate import KnownPixels, PictureSource
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.recording import Call, OpenedAgain, Recorder, kept
from opsin.core.testing import FakeOperation, Script
from opsin.settings import Settings
from opsin.storage.tables import analyses, annotations, artifacts, datasets, images
from tests.conftest import other_company
from tests.core.given_plugins import house_of
from tests.core.house import add_image
from tests.core.stored import count, stored, tell_of
from tests.pictures import noise_jpeg, solid_png

PICTURE = solid_png(40, 30)
INFO = ImageInfo("PNG", "image/png", 40, 30, "RGB", 1, 1, False, ())


@asynccontextmanager
async def recording(parts: Parts) -> AsyncIterator[Recorder]:
    """The recorder at work; in the end all calls are written."""
    recorder = parts.use_cases.recorder
    assert recorder is not None
    running = asyncio.create_task(recorder.run())
    await asyncio.sleep(0)
    yield recorder
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def script() -> Script:
    return Script(uses_device=False)


@pytest.fixture
async def parts(settings: Settings, any_database_url: str, script: Script) -> AsyncIterator[Parts]:
    """A house that records, with the operation `fake`, on each kind of database."""
    async with house_of(
        settings, FakeOperation(script=script), record_stateless=True, database_url=any_database_url
    ) as parts:
        yield parts


async def rows(parts: Parts, table: Any) -> list[Any]:
    async with parts.use_cases.database.read() as connection:
        return list(await connection.execute(table.select().order_by(table.c.id)))


def tasks(parts: Parts, *names: str) -> list[Any]:
    return [make_task(parts.use_cases.host, name, name) for name in names]


async def test_every_source_of_a_picture_is_recorded(parts: Parts, principal: Principal) -> None:
    immediate = parts.use_cases.immediate.of_api("some API")
    with (
        SpooledTemporaryFile(max_size=1 << 20) as spooled,
        SpooledTemporaryFile(max_size=1) as on_disk,
    ):
        for file in (spooled, on_disk):
            file.write(PICTURE)
            file.seek(0)
        async with recording(parts):
            for source in (
                PictureSource(content=PICTURE, filename="sent.png"),
                PictureSource(base64=base64.b64encode(PICTURE).decode()),
                PictureSource(file=io.BytesIO(PICTURE)),
                PictureSource(file=spooled),
                PictureSource(file=on_disk),
                PictureSource(pixels=await immediate.decode(principal, PICTURE)),
            ):
                await immediate.analyze(principal, source, tasks(parts, "fake", "perceptual_hash"))
            spooled.close()
            on_disk.close()
    [dataset] = await rows(parts, datasets)
    assert dataset.name == "Recorded from some API"
    found = await rows(parts, images)
    assert [image.dataset_id for image in found] == [dataset.id] * 6
    assert len({image.sha256 for image in found}) == 1
    assert found[0].filename == "sent.png" and found[1].filename.endswith(".png")
    for image in found:
        assert (image.width, image.height, image.content_type) == (40, 30, "image/png")
        record = await parts.use_cases.images.get(principal, image.id)
        assert await parts.use_cases.images.content(record) == PICTURE
    for analysis in await rows(parts, analyses):
        assert (analysis.status, analysis.external, analysis.attempts) == ("COMPLETED", False, 1)
        assert analysis.created_at <= analysis.completed_at
        assert await tell_of(parts.use_cases.database, analysis.id) == ["completed"]
    assert [a.operation for a in await rows(parts, analyses)] == ["fake", "perceptual_hash"] * 6


async def test_pixels_without_a_file_are_kept_as_png(parts: Parts, principal: Principal) -> None:
    limits = parts.use_cases.answers.limits
    image = decode(noise_jpeg(64, 48), limits)
    async with recording(parts):
        await parts.use_cases.immediate.analyze(
            principal, PictureSource(pixels=KnownPixels(image)), tasks(parts, "fake")
        )
    [row] = await rows(parts, images)
    content = await parts.use_cases.images.content(
        await parts.use_cases.images.get(principal, row.id)
    )
    assert row.content_type == "image/png" and content.startswith(b"\x89PNG")
    again = decode(content, limits)
    assert (again.pixels == image.pixels).all()


async def test_a_stored_image_gets_the_analyses_itself(parts: Parts, principal: Principal) -> None:
    image = await add_image(parts, principal)
    async with recording(parts):
        await parts.use_cases.immediate.analyze(
            principal, PictureSource(image_id=image.id), tasks(parts, "fake")
        )
    assert [row.image_id for row in await rows(parts, analyses)] == [image.id]
    assert await count(parts.use_cases.database, images) == 1


async def test_of_an_image_that_was_deleted_nothing_is_recorded(
    parts: Parts, principal: Principal
) -> None:
    image = await add_image(parts, principal)
    immediate = parts.use_cases.immediate
    for source in (PictureSource(image_id=image.id), PictureSource(content=PICTURE)):
        await immediate.analyze(principal, source, tasks(parts, "fake"))
    await parts.use_cases.images.delete(principal, image.id)
    async with recording(parts) as recorder:
        pass
    assert (recorder.counts.recorded, recorder.counts.failed) == (1, 0)
    assert await count(parts.use_cases.database, analyses) == 1


async def test_findings_files_and_failures_are_recorded(
    parts: Parts, principal: Principal, script: Script
) -> None:
    """What a worker would try again has failed here, and is nobody's work."""
    script.fails = lambda item: Overloaded("no room") if item.params.mark else None
    fake = make_task(parts.use_cases.host, "busy", "fake", {"mark": 1})
    asked = [*tasks(parts, "saliency", "detect_bounding_box"), fake]
    async with recording(parts):
        analyzed = await parts.use_cases.immediate.analyze(
            principal, PictureSource(content=noise_jpeg(64, 48)), asked
        )
    found = {row.task_id: row for row in await rows(parts, analyses)}
    assert found["saliency"].status == "COMPLETED"
    assert await count(parts.use_cases.database, annotations) > 0
    assert await count(parts.use_cases.database, artifacts) > 0
    for outcome in analyzed.outcomes[1:]:
        row = found[outcome.task.task_id]
        assert outcome.error is not None
        assert (row.status, row.error_code) == ("FAILED", outcome.error.code)
    artifacts_of = parts.use_cases.artifacts
    queue = AnalysisQueue(
        parts.use_cases.database, artifacts_of, lease=timedelta(seconds=60), max_attempts=3
    )
    assert not (await queue.claim(10)).analyses


async def test_what_is_recorded_is_of_the_company_that_called(
    parts: Parts, principal: Principal
) -> None:
    other = await other_company(parts)
    async with recording(parts):
        for caller in (principal, other, principal):
            await parts.use_cases.immediate.analyze(
                caller, PictureSource(content=PICTURE), tasks(parts, "fake")
            )
    companies = [row.company_id for row in await rows(parts, images)]
    assert companies == [principal.company_id, other.company_id, principal.company_id]
    assert len(await rows(parts, datasets)) == 2
    mine = [row for row in await rows(parts, images) if row.company_id == principal.company_id]
    assert await parts.use_cases.images.find(other, mine[0].id) is None


async def test_a_recorded_result_answers_who_asks_again(settings: Settings, script: Script) -> None:
    async with house_of(
        settings,
        FakeOperation(script=script, deterministic=True),
        record_stateless=True,
        result_cache_bytes=0,
    ) as parts:
        caller = await parts.use_cases.access.local()
        for _ in range(2):
            async with recording(parts):
                await parts.use_cases.immediate.analyze(
                    caller, PictureSource(content=PICTURE), tasks(parts, "fake")
                )
        assert await count(parts.use_cases.database, analyses) == 2
    assert len(script.batches) == 1


async def test_names_that_cannot_be_stored_are_made_storable(
    parts: Parts, principal: Principal
) -> None:
    names = ["\x00\ud800", "x" * 300, ""]
    asked = [make_task(parts.use_cases.host, name, "fake") for name in names]
    async with recording(parts) as recorder:
        await parts.use_cases.immediate.analyze(
            principal, PictureSource(content=PICTURE, filename="\x00/../a\u202eb.png"), asked
        )
    assert recorder.counts.recorded == 1
    assert [row.task_id for row in await rows(parts, analyses)] == ["?", "x" * 255, ""]
    assert (await rows(parts, images))[0].filename == "ab.png"


async def test_nothing_is_recorded_unless_it_is_asked_for(
    settings: Settings, script: Script
) -> None:
    async with house_of(settings, FakeOperation(script=script)) as parts:
        assert parts.use_cases.recorder is None
        caller = await parts.use_cases.access.local()
        before = await stored(parts)
        await parts.use_cases.immediate.analyze(
            caller, PictureSource(content=PICTURE), tasks(parts, "fake")
        )
        assert await stored(parts) == before


async def test_a_call_of_the_server_s_own_is_not_recorded(
    parts: Parts, principal: Principal
) -> None:
    async with recording(parts) as recorder:
        await parts.use_cases.immediate.analyze(
            principal, PictureSource(content=PICTURE), tasks(parts, "fake"), record=False
        )
    assert recorder.counts.recorded == 0


class Slow:
    """A writer that waits until it is let go, or fails."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.written: list[Call] = []
        self.tries = 0
        self.trying = asyncio.Event()
        self.failing: list[Exception] = []
        self.refuses: set[str] = set()

    async def write(self, calls: Sequence[Call]) -> int:
        self.tries += 1
        self.trying.set()
        await self.go.wait()
        if self.failing:
            raise self.failing.pop(0)
        for call in calls:
            if call.api in self.refuses:
                raise InvalidInput("unfit")
        self.written += calls
        return len(calls)


def call(picture: bytes | None = PICTURE, api: str = "an API") -> Call:
    now = datetime.now(UTC)
    return Call(Principal("company", "name"), api, now, now, Analyzed(INFO, ()), None, picture)


async def ended(running: "asyncio.Task[None]") -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_full_queue_drops_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    writer = Slow()
    recorder = Recorder(writer, max_bytes=300_000)
    for _ in range(5):
        recorder.add(call(bytes(100_000)))
    assert (recorder.waiting, recorder.counts.dropped) == (3, 2)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    writer.go.set()
    await ended_after_all(recorder)
    assert (recorder.counts.recorded, recorder.counts.dropped) == (3, 2)
    recorder.add(call(bytes(100_000)))
    assert recorder.waiting == 1  # what was written has made room


async def ended_after_all(recorder: Recorder) -> None:
    """Whoever stops writes what waits."""
    running = asyncio.create_task(recorder.run())
    await asyncio.sleep(0)
    await ended(running)


async def test_one_call_larger_than_the_queue_is_recorded() -> None:
    writer = Slow()
    writer.go.set()
    recorder = Recorder(writer, max_bytes=1)
    recorder.add(call(bytes(100_000)))
    recorder.add(call(bytes(100_000)))
    await ended_after_all(recorder)
    assert (recorder.counts.recorded, recorder.counts.dropped) == (1, 1)


async def test_a_stop_in_mid_write_neither_loses_nor_repeats_a_call() -> None:
    writer = Slow()
    recorder = Recorder(writer, max_bytes=10**6)
    recorder.add(call())
    running = asyncio.create_task(recorder.run())
    await writer.trying.wait()
    running.cancel()
    await asyncio.sleep(0.01)
    writer.go.set()
    await asyncio.gather(running, return_exceptions=True)
    assert (writer.tries, len(writer.written), recorder.counts.recorded) == (1, 1, 1)


async def test_one_that_cannot_be_stored_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    writer = Slow()
    writer.go.set()
    writer.refuses = {"unfit"}
    recorder = Recorder(writer, max_bytes=10**9)
    for api in ("one", "unfit", "two"):
        recorder.add(call(api=api))
    await ended_after_all(recorder)
    assert (recorder.counts.recorded, recorder.counts.failed) == (2, 1)
    assert [one.api for one in writer.written] == ["one", "two"]
    assert "unfit" in caplog.text


async def test_a_database_that_is_down_is_tried_again_and_in_the_end_given_up() -> None:
    writer = Slow()
    writer.go.set()
    writer.failing = [StorageError("down")]
    recorder = Recorder(writer, max_bytes=10**9)
    recorder.add(call())
    await ended_after_all(recorder)  # a stop does not wait for a database
    assert (recorder.counts.recorded, recorder.counts.dropped) == (0, 1)
    recorder.add(call())
    await ended_after_all(recorder)
    assert (recorder.counts.recorded, recorder.counts.dropped) == (1, 1)


def test_a_file_on_the_disk_is_read_later_whatever_its_owner_does() -> None:
    with TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        file.seek(4)
        again = kept(file)
        assert file.tell() == 4
    assert isinstance(again, OpenedAgain)
    assert (len(again), again.read(), again.read()) == (10, b"0123456789", b"0123456789")
    again.close()


def test_a_file_that_cannot_be_read_again_is_none() -> None:
    closed: IO[bytes] = io.BytesIO(b"gone")
    closed.close()
    assert kept(closed) is None
