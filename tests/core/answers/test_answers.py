"""What was computed once is not computed again: kept, stored, shared while it is computed."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.contract import Target
from opsin.core.engine import Analyzed, Outcome, Task, TaskStatus, make_task
from opsin.core.errors import DeadlineExceeded, InvalidImage
from opsin.core.imaging import DecodeOptions
from opsin.core.immediate import PictureSource
from opsin.core.records import Image
from opsin.core.testing import FakeFinder, FakeOperation, FakeResult, Script
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from tests.conftest import other_company
from tests.core.answers.lendings import Lendings
from tests.core.answers.test_result_keys import weights
from tests.core.engine.workbench import until
from tests.core.given_plugins import given, house_of
from tests.core.house import add_image, ask
from tests.core.stored import blob_store
from tests.core.working import found
from tests.pictures import rotated_jpeg, solid_png

PICTURE = solid_png(40, 30)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def parts(settings: Settings, any_database_url: str, script: Script) -> AsyncIterator[Parts]:
    async with house(settings, any_database_url, script) as parts:
        yield parts


def house(settings: Settings, url: str, script: Script, **changes: Any) -> Any:
    """A house whose operation `fake` may be answered without being run."""
    version = changes.pop("version", "1")
    operation = FakeOperation(script=script, deterministic=True, version=version)
    return house_of(settings, operation, database_url=url, **changes)


def task(parts: Parts, task_id: str = "mine", **params: Any) -> Task:
    return make_task(parts.use_cases.host, task_id, "fake", params)


async def now(
    parts: Parts,
    principal: Principal,
    source: PictureSource | bytes = PICTURE,
    *tasks: Task,
    **options: Any,
) -> Analyzed:
    if isinstance(source, bytes):
        source = PictureSource(base64=base64.b64encode(source).decode())
    asked = tasks or (task(parts),)
    return await parts.use_cases.immediate.analyze(principal, source, asked, **options)


def only(analyzed: Analyzed) -> Outcome:
    (outcome,) = analyzed.outcomes
    assert outcome.status is TaskStatus.SUCCESS, outcome.error
    return outcome


def runs(script: Script) -> int:
    return sum(len(batch) for batch in script.batches)


async def drained(parts: Parts, principal: Principal, image: Image, **params: Any) -> Any:
    """The analysis of one task, run by the worker."""
    (asked,) = await ask(parts, principal, image, "fake", **params)
    assert await parts.worker.drain() == 1
    (analysis,) = await found(parts, principal, [asked])
    return analysis


# --- found again ----------------------------------------------------------------------------------


async def test_the_second_answer_is_the_first_one_again(
    parts: Parts, principal: Principal, script: Script
) -> None:
    first = await now(parts, principal)
    again = await now(parts, principal, PICTURE, task(parts, "another"))
    assert runs(script) == 1
    assert only(again).result == only(first).result
    assert again.info == first.info
    assert only(again).task.task_id == "another"
    assert (only(first).provenance.cached, only(again).provenance.cached) == (False, True)
    assert only(again).provenance == replace(only(first).provenance, cached=True)
    counts = parts.use_cases.answers.counts
    assert (counts.computed, counts.memory, counts.stored, counts.shared) == (1, 1, 0, 0)


async def test_every_way_in_leads_to_the_same_answer(
    parts: Parts, principal: Principal, script: Script
) -> None:
    image = await add_image(parts, principal, PICTURE)
    first = await drained(parts, principal, image)
    assert first.provenance["cached"] is False
    for source in (
        PictureSource(image_id=image.id),
        PictureSource(file=io.BytesIO(PICTURE)),
        PictureSource(base64=base64.b64encode(PICTURE).decode()),
    ):
        analyzed = await now(parts, principal, source)
        assert only(analyzed).provenance.cached
        assert (analyzed.info.width, analyzed.info.height, analyzed.info.format) == (40, 30, "PNG")
    again = await drained(parts, principal, await add_image(parts, principal, PICTURE))
    assert again.result == first.result and again.provenance["cached"] is True
    assert runs(script) == 1


async def test_what_is_stored_outlives_the_process(
    settings: Settings, any_database_url: str
) -> None:
    first, second = Script(), Script()
    async with house(settings, any_database_url, first) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal, PICTURE)
        made = await drained(parts, principal, image)
    async with house(settings, any_database_url, second, result_cache_bytes=0) as parts:
        await blob_store(settings).delete(content_key(image.sha256))  # nobody reads it again
        again = await drained(parts, principal, image)
        assert again.result == made.result
        assert again.id != made.id
        analyzed = await now(parts, principal, PictureSource(image_id=image.id))
        assert only(analyzed).result == FakeResult.model_validate(made.result)
        assert parts.use_cases.engine.picture_counts.misses == 0
        assert parts.use_cases.answers.counts.stored == 2
    assert (runs(first), runs(second)) == (1, 0)


async def test_many_tasks_take_one_read_and_the_rest_is_computed_together(
    parts: Parts, principal: Principal, script: Script
) -> None:
    image = await add_image(parts, principal, PICTURE)
    for mark in range(3):
        await drained(parts, principal, image, mark=mark)
    parts.use_cases.answers.memory._kept.shrink(0)
    heard: list[int] = []
    tasks = [task(parts, str(n), mark=n) for n in range(6)]
    answers = parts.use_cases.answers
    analyzed = await answers.analyze(
        PICTURE,
        tasks,
        company_id=principal.company_id,
        on_outcome=lambda number, outcome: heard.append(number),
    )
    results = [outcome.result for outcome in analyzed.outcomes]
    assert [r.mark for r in results if isinstance(r, FakeResult)] == list(range(6))
    assert [outcome.provenance.cached for outcome in analyzed.outcomes] == [True] * 3 + [False] * 3
    assert sorted(heard) == list(range(6)) and heard[:3] == [0, 1, 2]
    assert runs(script) == 6
    assert (answers.counts.stored, answers.counts.computed) == (3, 6)


async def test_whoever_wants_it_computed_anew_has_it_so_and_later_askers_get_that(
    parts: Parts, principal: Principal, script: Script
) -> None:
    image = await add_image(parts, principal, PICTURE)
    await drained(parts, principal, image)
    fresh = replace(task(parts), reuse=False)
    assert not only(await now(parts, principal, PICTURE, fresh)).provenance.cached
    assert runs(script) == 2
    asked = await parts.use_cases.analyses.ask(principal, image.id, [fresh])
    await parts.worker.drain()
    (analysis,) = await found(parts, principal, asked)
    assert analysis.provenance is not None and analysis.provenance["cached"] is False
    assert runs(script) == 3
    assert only(await now(parts, principal)).provenance.cached
    assert runs(script) == 3


# --- what makes another answer --------------------------------------------------------------------


async def test_what_differs_is_computed(parts: Parts, principal: Principal, script: Script) -> None:
    turned = rotated_jpeg(6)
    await now(parts, principal, turned)
    await now(parts, principal, turned, task(parts, mark=2))
    stored = await now(parts, principal, turned, options=DecodeOptions(apply_orientation=False))
    result = only(stored).result
    assert isinstance(result, FakeResult) and (result.width, result.height) == (64, 48)
    await now(parts, principal, turned + b"\n")
    assert runs(script) == 4
    # Said in other words it is the same.
    await now(parts, principal, turned, task(parts, target="whole_image", mark=0))
    await now(parts, principal, turned, task(parts, face_context="whole_image"))
    assert runs(script) == 4


async def test_another_version_of_the_operation_is_another_answer(
    settings: Settings, any_database_url: str
) -> None:
    for version, run in (("1", 1), ("2", 1), ("1", 0)):
        script = Script()
        async with house(settings, any_database_url, script, version=version) as parts:
            principal = await parts.use_cases.access.local()
            await drained(parts, principal, await add_image(parts, principal, PICTURE))
        assert runs(script) == run


async def test_what_older_weights_gave_is_not_kept_for_the_new_ones(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    """The files were replaced under a runner that is in memory; a restart loads the new ones."""
    model = weights(tmp_path, "encoder")
    for restarted in (False, True):
        script = Script()
        operation = FakeOperation(script=script, deterministic=True, models=(model,))
        async with house_of(settings, operation, database_url=any_database_url) as parts:
            principal = await parts.use_cases.access.local()
            if not restarted:
                await now(parts, principal)
                await now(parts, principal)
                assert runs(script) == 1
                weights(tmp_path, "encoder", 2)
                parts.use_cases.answers._keys._identities._seen.clear()
            image = await add_image(parts, principal, PICTURE)
            for _ in range(2):
                await drained(parts, principal, image)
        assert runs(script) == (1 if restarted else 3)


async def test_what_may_answer_otherwise_is_always_run(
    settings: Settings, any_database_url: str
) -> None:
    script = Script()
    async with house_of(
        settings, FakeOperation(script=script), database_url=any_database_url
    ) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal, PICTURE)
        for _ in range(2):
            await drained(parts, principal, image)
            await now(parts, principal)
    assert runs(script) == 4


# --- other companies ------------------------------------------------------------------------------


async def test_another_companys_numbers_are_lent_and_nothing_else(
    settings: Settings, any_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not whose they are, not that they were there: it takes as long as computing them did."""
    script = Script(latency=0.3)
    async with house(settings, any_database_url, script) as parts:
        principal = await parts.use_cases.access.local()
        stranger = await other_company(parts)
        theirs = await drained(parts, principal, await add_image(parts, principal, PICTURE))
    lendings = Lendings(monkeypatch)
    async with house(settings, any_database_url, Script()) as parts:
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcome = only(await now(parts, stranger))
        assert loop.time() - began >= 0.3
        assert not outcome.provenance.cached
        assert lendings.operations == ["fake"]
        # By now it is an answer of the company's own, for which nobody waits.
        assert only(await now(parts, stranger)).provenance.cached
        mine = await drained(parts, stranger, await add_image(parts, stranger, PICTURE))
        assert mine.result == theirs.result
        assert lendings.operations == ["fake"]
        third = await other_company(parts, "third")
        lent = await drained(parts, third, await add_image(parts, third, PICTURE))
        assert (lent.completed_at - lent.started_at).total_seconds() >= 0.3
        assert lendings.operations == ["fake", "fake"]
        assert steps(lent) == steps(theirs) and lent.provenance["cached"] is False
        # Its timings fit the time that it took, not what theirs had to wait for.
        took = (lent.completed_at - lent.started_at).total_seconds() * 1000
        assert sum(lent.provenance["timings_ms"].values()) <= took
        told = str((lent, mine.provenance, outcome))
        for secret in (theirs.id, theirs.image_id, theirs.company_id, theirs.dataset_id):
            assert secret not in told
        assert runs(script) == 1


def steps(analysis: Any) -> Any:
    """All of its provenance but the waiting."""
    timings = {**analysis.provenance["timings_ms"], "queued": None}
    return {**analysis.provenance, "timings_ms": timings}


# --- at the same moment ---------------------------------------------------------------------------


async def test_simultaneous_askers_wait_for_one_computation(
    parts: Parts, principal: Principal, script: Script
) -> None:
    image = await add_image(parts, principal, PICTURE)
    await ask(parts, principal, image, "fake", count=5)
    script.running.close()
    draining = asyncio.create_task(parts.worker.drain())
    asking = [asyncio.create_task(now(parts, principal)) for _ in range(20)]
    await script.running.arrival()
    asking += [asyncio.create_task(now(parts, principal)) for _ in range(20)]
    counts = parts.use_cases.answers.counts
    await until(lambda: counts.shared == 44)
    script.running.open()
    results = [only(analyzed).result for analyzed in await asyncio.gather(*asking)]
    assert await draining == 5
    assert all(result == results[0] for result in results)
    assert runs(script) == counts.computed == 1


@pytest.mark.parametrize("as_file", [False, True])
async def test_the_first_asker_may_leave(
    parts: Parts, principal: Principal, script: Script, as_file: bool
) -> None:
    """Also when the picture goes with it: then another one's is taken."""
    script.running.close()
    file = io.BytesIO(PICTURE)
    source: Any = PictureSource(file=file) if as_file else PICTURE
    first = asyncio.create_task(now(parts, principal, source))
    await script.running.arrival()
    others = [asyncio.create_task(now(parts, principal)) for _ in range(9)]
    await until(lambda: parts.use_cases.answers.counts.shared == 9)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    file.close()
    script.running.open()
    for analyzed in await asyncio.gather(*others):
        assert only(analyzed).result is not None
    assert runs(script) == (2 if as_file else 1)
    assert parts.use_cases.answers.flights == {}


async def test_when_everybody_leaves_it_is_dropped(
    parts: Parts, principal: Principal, script: Script
) -> None:
    script.running.close()
    busy = asyncio.create_task(now(parts, principal, PICTURE, task(parts, mark=9)))
    await script.running.arrival()
    asking = [asyncio.create_task(now(parts, principal)) for _ in range(5)]
    await until(lambda: parts.use_cases.answers.counts.shared == 4)
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert len(parts.use_cases.answers.flights) == 1
    script.running.open()
    await busy
    await until(lambda: not parts.use_cases.answers.flights)
    assert script.marks == [[9]]


async def test_each_asker_has_a_deadline_of_its_own(
    parts: Parts, principal: Principal, script: Script
) -> None:
    script.running.close()
    soon = asyncio.get_running_loop().time() + 2  # but not before the first is under way
    first = asyncio.create_task(now(parts, principal, deadline=soon))
    await script.running.arrival()
    later = asyncio.create_task(now(parts, principal))
    impatient = asyncio.create_task(now(parts, principal, deadline=soon))
    for late in (first, impatient):
        with pytest.raises(DeadlineExceeded):
            await late
    script.running.open()
    assert only(await later).result is not None
    assert runs(script) == 1


async def test_what_fails_is_not_held_against_the_next_asker(
    parts: Parts, principal: Principal, script: Script
) -> None:
    """Nor against those who waited: they try for themselves."""
    failing = True
    script.fails = lambda item: ValueError("no") if failing else None
    assert (await now(parts, principal)).outcomes[0].status is TaskStatus.ERROR
    script.running.close()
    asking = [asyncio.create_task(now(parts, principal)) for _ in range(5)]
    await script.running.arrival()
    await until(lambda: parts.use_cases.answers.counts.shared == 4)
    script.running.open()
    statuses = [(await one).outcomes[0].status for one in asking]
    assert statuses == [TaskStatus.ERROR] * 5
    failing = False
    assert only(await now(parts, principal)).result is not None
    counts = parts.use_cases.answers.counts
    assert (counts.memory, counts.stored) == (0, 0)


async def test_a_bad_picture_is_everybodys_own_error(
    parts: Parts, principal: Principal, script: Script
) -> None:
    asking = [asyncio.create_task(now(parts, principal, b"no picture")) for _ in range(5)]
    for one in asking:
        with pytest.raises(InvalidImage):
            await one
    assert parts.use_cases.answers.flights == {}


async def test_followers_of_a_shared_task_hear_its_text(
    parts: Parts, principal: Principal, script: Script
) -> None:
    """Those of the same company: when text comes would tell another one of theirs."""
    stranger = await other_company(parts)
    script.fails = lambda item: item.progress("so far")  # on its way through the runner
    heard: dict[str, list[str]] = {"first": [], "second": [], "left": [], "stranger": []}
    asking: dict[str, asyncio.Task[Analyzed]] = {}
    script.running.close()
    for name, texts in heard.items():
        caller = stranger if name == "stranger" else principal
        followed = replace(task(parts), progress=texts.append)
        asking[name] = asyncio.create_task(now(parts, caller, PICTURE, followed))
        if name == "first":
            await script.running.arrival()
    await until(lambda: parts.use_cases.answers.counts.shared == 3)
    asking.pop("left").cancel()
    await asyncio.sleep(0)
    script.running.open()
    await asyncio.gather(*asking.values())
    assert heard == {"first": ["so far"], "second": ["so far"], "left": [], "stranger": []}
    assert runs(script) == 1


async def test_a_picture_without_what_is_looked_for_is_told_of_to_each_in_its_own_words(
    settings: Settings, any_database_url: str
) -> None:
    script = Script()
    finder = FakeFinder(Target.PROMINENT_FACE, None, script)
    plugin = given(FakeOperation(deterministic=True), finders=[finder])
    changes = {"database_url": any_database_url, "disabled_plugins": ("bbox",)}
    p = assemble(settings.model_copy(update=changes), [plugin])
    async with p.running():
        principal = await p.use_cases.access.local()
        script.running.close()
        asked = [task(p, name, target="prominent_face") for name in ("one", "two")]
        asking = [asyncio.create_task(now(p, principal, PICTURE, each)) for each in asked]
        await script.running.arrival()
        await until(lambda: p.use_cases.answers.counts.shared == 1)
        script.running.open()
        for name, one in zip(("one", "two"), asking, strict=True):
            (outcome,) = (await one).outcomes
            assert outcome.status is TaskStatus.SKIPPED and outcome.error is not None
            assert outcome.error.message.endswith(f"operation '{name}'.")
    assert runs(script) == 1
