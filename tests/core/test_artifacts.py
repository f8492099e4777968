"""Files of results: stored whole with the result or not at all, swept when nothing names them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import PrivateAttr
from sqlalchemy import select

from opsin import Annotation, Item, LoadContext, Operation, Params, ProducedArtifact, Result, Runner
from opsin.assembly import Parts
from opsin.core import artifacts as core
from opsin.core.access import Principal
from opsin.core.artifacts import Artifacts, validate_artifacts
from opsin.core.blob_sweep import BlobSweep
from opsin.core.errors import BlobNotFound, InvalidInput, NotFound, StorageError
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.endings import ending_of
from opsin.core.queue.finished import Finished
from opsin.core.records import Analysis, Artifact, Image, columns_of, to_record
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from opsin.storage.blobs.memory import MemoryBlobStore
from opsin.storage.database import Database
from opsin.storage.tables import annotations, artifacts
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.core.stored import blobs
from tests.core.working import found

COMPLETED, FAILED = AnalysisStatus.COMPLETED, AnalysisStatus.FAILED
HOUR = timedelta(hours=1)
LATER = datetime.now(UTC) + 2 * HOUR
PNG = ProducedArtifact("map.png", "image/png", b"\x89PNG")
LOG = ProducedArtifact("log", "text/plain; charset=utf-8", b"a line")


class DrawParams(Params):
    bad: str = ""
    content: str = "content"


class Drawing(Result):
    """Whatever files a test wants."""

    size: int
    _files: tuple[ProducedArtifact, ...] = PrivateAttr(default=())

    def annotations(self) -> Sequence[Annotation]:
        named = [Annotation(annotation_type="heatmap", data={}, storage_path="map.png")]
        return [*named, Annotation(annotation_type="tag", data={}, storage_path="elsewhere.png")]

    def artifacts(self) -> Sequence[ProducedArtifact]:
        return self._files


class DrawRunner(Runner[DrawParams, Drawing]):
    uses_device = False

    def run(self, batch: Sequence[Item[DrawParams]]) -> Sequence[Drawing]:
        return [draw(item.params) for item in batch]


def draw(params: DrawParams) -> Drawing:
    name = params.bad or "map.png"
    file = ProducedArtifact(name, "image/png", params.content.encode())
    result = Drawing(size=len(file.content))
    result._files = (file, LOG)
    return result


class Draw(Operation[DrawParams, Drawing]):
    name = "draw"
    version = "1"
    description = "Draws."
    params = DrawParams
    result = Drawing

    def load(self, context: LoadContext) -> DrawRunner:
        return DrawRunner()


@pytest.fixture
async def parts(settings: Settings, any_database_url: str) -> AsyncIterator[Parts]:
    async with house_of(settings, Draw(), database_url=any_database_url) as parts:
        yield parts


@pytest.fixture
async def image(parts: Parts, principal: Principal) -> Image:
    return await add_image(parts, principal)


async def rows(database: Database, analysis_id: str | None = None) -> list[Artifact]:
    statement = select(*columns_of(artifacts, Artifact)).order_by(artifacts.c.id)
    if analysis_id is not None:
        statement = statement.where(artifacts.c.analysis_id == analysis_id)
    async with database.read() as connection:
        return [to_record(Artifact, row) for row in await connection.execute(statement)]


async def content(store: Artifacts, artifact: Artifact) -> bytes:
    return b"".join([chunk async for chunk in store.stream(artifact)])


# --- what a result may declare --------------------------------------------------------------------


def test_good_ones_are_taken_as_they_are() -> None:
    assert validate_artifacts([PNG, LOG]) == (PNG, LOG)
    assert validate_artifacts([]) == ()
    longest = ProducedArtifact("." + "a" * 254, "application/vnd.opsin-1+json", b"")
    assert validate_artifacts([longest]) == (longest,)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", "a/b", "a\\b", "a b", "\u00e4", "a\n", "a" * 256, 1]
)
def test_names_are_plain(name: Any) -> None:
    with pytest.raises(InvalidInput, match="an artifact's name"):
        validate_artifacts([ProducedArtifact(name, "image/png", b"")])


@pytest.mark.parametrize(
    "content_type", ["", "image", "image/", "a/b\r\nx: y", "a/b; c", "\u00e4/b", None, "a" * 99]
)
def test_content_types_are_types(content_type: Any) -> None:
    with pytest.raises(InvalidInput, match="artifact 'a': its content type"):
        validate_artifacts([ProducedArtifact("a", content_type, b"")])


@pytest.mark.parametrize("other", [None, b"bytes", ProducedArtifact("a", "a/b", "text")])  # type: ignore[arg-type]  # that is the mistake
def test_files_are_bytes(other: Any) -> None:
    with pytest.raises(InvalidInput, match="ProducedArtifact whose content is bytes"):
        validate_artifacts([other])


def test_number_and_size_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def files(count: int) -> list[ProducedArtifact]:
        return [ProducedArtifact(str(number), "a/b", b"12345") for number in range(count)]

    assert len(validate_artifacts(files(32))) == 32
    with pytest.raises(InvalidInput, match="more than 32 artifacts"):
        validate_artifacts(files(33))
    with pytest.raises(InvalidInput, match="two artifacts are called '1'"):
        validate_artifacts([*files(2), *files(2)[1:]])
    monkeypatch.setattr(core, "MAX_ARTIFACT_BYTES", 10)
    assert len(validate_artifacts(files(2))) == 2
    with pytest.raises(InvalidInput, match="more than 10 bytes in all"):
        validate_artifacts(files(3))


# --- with the result ------------------------------------------------------------------------------


async def test_a_finished_analysis_has_its_files(
    parts: Parts, principal: Principal, image: Image, settings: Settings
) -> None:
    (asked,) = await ask(parts, principal, image, "draw")
    assert await parts.worker.drain() == 1
    (analysis,) = await found(parts, principal, [asked])
    assert (analysis.status, analysis.result) == (
        COMPLETED,
        {"region": None, "note": None, "size": 7},
    )
    drawn, log = await rows(parts.use_cases.database, asked.id)
    assert (drawn.name, drawn.content_type, drawn.size_bytes) == ("map.png", "image/png", 7)
    assert (drawn.company_id, drawn.storage_path) == (
        principal.company_id,
        f"ml_outputs/{asked.id}/map.png",
    )
    assert drawn.stored_at is not None and drawn.sha256 is not None
    assert (log.name, log.content_type) == (LOG.name, LOG.content_type)
    store = parts.use_cases.artifacts
    assert await content(store, drawn) == b"content" and await content(store, log) == LOG.content
    assert [c async for c in store.stream(drawn, 2, 4)] == [b"nt"]
    assert await store.by_id(drawn.id) == drawn
    assert content_key(drawn.sha256) in await blobs(settings)
    statement = select(annotations.c.storage_path).order_by(annotations.c.id)
    async with parts.use_cases.database.read() as connection:
        paths = list((await connection.execute(statement)).scalars())
    assert paths == [drawn.storage_path, "elsewhere.png"]


@pytest.mark.parametrize("bad", ["../escape", "log"])
async def test_what_cannot_be_stored_fails_with_the_reason(
    parts: Parts, principal: Principal, image: Image, bad: str
) -> None:
    wrong = await ask(parts, principal, image, "draw", bad=bad)
    right = await ask(parts, principal, image, "draw")
    assert await parts.worker.drain() == 2
    failed, done = await found(parts, principal, [*wrong, *right])
    assert (failed.status, failed.error_code) == (FAILED, "OPERATION_FAILED")
    reason = {"log": "two artifacts are called 'log'"}.get(bad, "an artifact's name has 1 to 255")
    assert f"The result cannot be stored: {reason}" in (failed.error_message or "")
    assert failed.result is None and await rows(parts.use_cases.database, failed.id) == []
    assert done.status is COMPLETED and len(await rows(parts.use_cases.database, done.id)) == 2


async def test_equal_files_are_one_blob_that_goes_with_the_last(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    one, two = await add_image(parts, principal), await add_image(parts, principal)
    for picture in (one, two):
        await ask(parts, principal, picture, "draw", count=2)
    assert await parts.worker.drain() == 4
    found = await rows(parts.use_cases.database)
    assert len(found) == 8 and len({row.sha256 for row in found}) == 2
    kept = {content_key(row.sha256 or "") for row in found} | {content_key(one.sha256)}
    assert await blobs(settings) == kept
    await parts.use_cases.images.delete(principal, one.id)
    assert len(await rows(parts.use_cases.database)) == 4
    assert await parts.sweep.run(older_than=HOUR, now=LATER) == 0
    await parts.use_cases.images.delete(principal, two.id)
    assert await rows(parts.use_cases.database) == []
    assert await parts.sweep.run(older_than=HOUR) == 0  # they are young
    assert await parts.sweep.run(older_than=HOUR, now=LATER) == 3
    assert await blobs(settings) == set()


async def test_an_artifact_that_is_not_there(parts: Parts, principal: Principal) -> None:
    store = parts.use_cases.artifacts
    with pytest.raises(NotFound):
        await store.by_id("01890000-0000-7000-8000-000000000000")
    now = datetime.now(UTC)
    promised = Artifact("", "", "", "a", "a/b", "ml_outputs/x/a", None, None, now, None)
    with pytest.raises(BlobNotFound):
        store.stream(promised)


# --- when things go wrong -------------------------------------------------------------------------


def queue_of(parts: Parts, store: Artifacts | None = None) -> AnalysisQueue:
    use_cases, lease = parts.use_cases, timedelta(seconds=60)
    return AnalysisQueue(
        use_cases.database, store or use_cases.artifacts, lease=lease, max_attempts=3
    )


async def drawn(parts: Parts, analysis: Analysis, content: str = "content") -> Finished:
    """The ending that a worker would write."""
    from opsin.core.engine import make_task

    task = make_task(parts.use_cases.host, "0", "draw", {"content": content})
    picture = await parts.use_cases.images.content(
        await parts.use_cases.images.by_id(analysis.image_id)
    )
    (outcome,) = (await parts.use_cases.engine.analyze(picture, [task])).outcomes
    return ending_of(analysis, outcome)


async def test_what_a_late_worker_wrote_changes_nothing_and_is_swept(
    parts: Parts, principal: Principal, image: Image, settings: Settings
) -> None:
    """Its lease is over and another has finished: with other bytes, as a model on a GPU may."""
    await ask(parts, principal, image, "draw")
    queue = queue_of(parts)
    claim = await queue.claim(1)
    ours = await drawn(parts, claim.analyses[0])
    assert await queue.finish(claim.lease_id, [ours]) == 1
    before = await rows(parts.use_cases.database)
    late = await drawn(parts, claim.analyses[0], "other content")
    assert await queue.finish(claim.lease_id, [late]) == 0
    assert await rows(parts.use_cases.database) == before
    assert await content(parts.use_cases.artifacts, before[0]) == b"content"
    assert len(await blobs(settings)) == 4
    assert await parts.sweep.run(older_than=HOUR, now=LATER) == 1
    assert await content(parts.use_cases.artifacts, before[0]) == b"content"


class FailingStore(MemoryBlobStore):
    """Is down for its first so many writes."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def put(self, key: str, chunks: Any, *, content_type: str | None = None) -> int:
        if self.failures:
            self.failures -= 1
            raise StorageError("the store is down")
        return await super().put(key, chunks, content_type=content_type)


async def test_nothing_is_written_while_the_files_cannot_be(
    parts: Parts, principal: Principal, image: Image
) -> None:
    (asked,) = await ask(parts, principal, image, "draw")
    store = FailingStore(failures=1)
    queue = queue_of(parts, Artifacts(parts.use_cases.database, store))
    claim = await queue.claim(1)
    ending = await drawn(parts, claim.analyses[0])
    with pytest.raises(StorageError):
        await queue.finish(claim.lease_id, [ending])
    (analysis,) = await found(parts, principal, [asked])
    assert analysis.status is AnalysisStatus.PROCESSING
    assert await rows(parts.use_cases.database) == []
    assert await queue.finish(claim.lease_id, [ending]) == 1
    assert len(await rows(parts.use_cases.database)) == 2


async def test_the_worker_waits_for_a_store_that_is_down(
    parts: Parts, principal: Principal, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FailingStore(failures=3)
    monkeypatch.setattr(parts.use_cases.artifacts, "_blobs", store)
    asked = await ask(parts, principal, image, "draw", count=2)
    assert await parts.worker.drain() == 2
    assert [a.status for a in await found(parts, principal, asked)] == [COMPLETED] * 2
    assert {a.attempts for a in await found(parts, principal, asked)} == {1}


async def test_a_file_swept_before_it_was_named_is_written_again(
    parts: Parts, principal: Principal, image: Image, settings: Settings
) -> None:
    """Whatever is unnamed at any moment goes: the sweep runs all the time, and waits for nobody."""
    asked = await ask(parts, principal, image, "draw", count=20)
    store = MemoryBlobStore()
    files = Artifacts(parts.use_cases.database, store)
    sweep = BlobSweep(parts.use_cases.database, store)
    queue = queue_of(parts, files)
    swept = 0

    async def sweep_all() -> None:
        nonlocal swept
        while True:
            swept += await sweep.run(older_than=-HOUR)
            await asyncio.sleep(0)

    sweeping = asyncio.create_task(sweep_all())
    claim = await queue.claim(20)
    for number, analysis in enumerate(claim.analyses):
        ending = await drawn(parts, analysis, f"content {number}")
        new = await files.put([(analysis, file) for file in ending.artifacts])
        await asyncio.sleep(0.01)
        assert new and await queue.finish(claim.lease_id, [ending]) == 1
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    assert swept >= 20
    stored = await rows(parts.use_cases.database)
    assert len(stored) == 2 * len(asked)
    for row in stored:
        assert len(await content(files, row)) == row.size_bytes
