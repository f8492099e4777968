"""Inputs of operations are found again as results are: kept, stored, shared while under way."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.contract import Input, Target
from opsin.core.engine import Analyzed, Outcome, Provenance, Task, TaskStatus, make_task
from opsin.core.immediate import PictureSource
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.testing import FakeFinder, FakeOperation, FakeResult, Script
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from tests.core.answers.test_answers import PICTURE, now, only, runs
from tests.core.engine.workbench import until
from tests.core.given_plugins import given, house_of
from tests.core.house import add_image, ask
from tests.core.stored import blob_store
from tests.core.working import found, until_all

FACE = Target.PROMINENT_FACE


def fake(name: str, *inputs: str, **declared: Any) -> FakeOperation:
    """An operation that may be answered without being run, and needs these others first."""

    def needed(params: Any, reference: Any) -> list[Input]:
        return [Input(name, params={"mark": params.mark}) for name in inputs]

    more: dict[str, Any] = {"inputs": needed, "uses_picture": False} if inputs else {}
    return FakeOperation(name, **{"deterministic": True, **more, **declared})


class House:
    """A running house whose `one` and `two` need `see`, and `three` needs `one`."""

    def __init__(self, parts: Parts, *operations: FakeOperation) -> None:
        self.parts = parts
        self.counts = parts.use_cases.answers.counts
        self.flights = parts.use_cases.answers.flights
        self._scripts = {operation.name: operation.script for operation in operations}

    def __getitem__(self, name: str) -> Script:
        return self._scripts[name]

    @property
    def runs(self) -> dict[str, int]:
        """How often each operation was run, of those that were."""
        return {name: n for name, script in self._scripts.items() if (n := runs(script))}

    def task(self, name: str, **params: Any) -> Task:
        return make_task(self.parts.use_cases.host, name, name, params)

    async def now(self, principal: Principal, *names: str, **options: Any) -> list[Outcome]:
        tasks = [self.task(name) for name in names]
        return list((await now(self.parts, principal, PICTURE, *tasks, **options)).outcomes)

    async def waited_for_by(self, askers: int) -> None:
        """Until so many wait for one computation."""

        def joined() -> bool:
            under_way = {flight.computation for flight in self.flights.values()}
            return any(one is not None and one._askers == askers for one in under_way)

        await until(joined)

    async def drained(self, principal: Principal, *names: str) -> list[Any]:
        """Stored analyses of a new image, run by the worker together."""
        image = await add_image(self.parts, principal, PICTURE)
        asked = [(await ask(self.parts, principal, image, name))[0] for name in names]
        await self.parts.worker.drain()
        return await found(self.parts, principal, asked)


@asynccontextmanager
async def house(settings: Settings, url: str, **changes: Any) -> AsyncIterator[House]:
    """`changes` are settings, and by operation what its fake declares."""
    declared = {name: changes.pop(name, {}) for name in ("see", "one", "two", "three")}
    operations = (
        fake("see", **declared["see"]),
        fake("one", "see", **declared["one"]),
        fake("two", "see", **declared["two"]),
        fake("three", "one", **declared["three"]),
    )
    async with house_of(settings, *operations, database_url=url, **changes) as parts:
        yield House(parts, *operations)


@pytest.fixture
async def fakes(settings: Settings, any_database_url: str) -> AsyncIterator[House]:
    async with house(settings, any_database_url) as fakes:
        yield fakes


def seen(outcome: Outcome) -> tuple[int, ...]:
    assert isinstance(outcome.result, FakeResult), outcome
    return outcome.result.seen_inputs


# --- found again ----------------------------------------------------------------------------------


async def test_an_input_that_was_asked_for_is_not_computed_again(
    fakes: House, principal: Principal
) -> None:
    await fakes.now(principal, "see")
    (one,) = await fakes.now(principal, "one")
    assert seen(one) == (0,)
    assert fakes.runs == {"see": 1, "one": 1}
    assert (one.provenance.cached, one.provenance.inputs_reused) == (False, True)
    counts = fakes.counts
    assert (counts.computed, counts.inputs, counts.memory, counts.shared) == (2, 1, 0, 0)
    (again,) = await fakes.now(principal, "one")
    assert again.result == one.result
    assert again.provenance == replace(one.provenance, cached=True)


async def test_an_input_that_was_computed_is_kept_for_whoever_asks_later(
    fakes: House, principal: Principal
) -> None:
    (one,) = await fakes.now(principal, "one")
    assert not one.provenance.inputs_reused
    (see,) = await fakes.now(principal, "see")
    assert see.provenance.cached
    (two,) = await fakes.now(principal, "two")
    assert seen(two) == (0,)
    assert fakes.runs == {"see": 1, "one": 1, "two": 1}
    (three,) = await fakes.now(principal, "three")
    assert seen(three) == (0,) and three.provenance.inputs_reused
    assert fakes.runs == {"see": 1, "one": 1, "two": 1, "three": 1}


async def test_a_stored_input_needs_neither_runner_nor_picture(
    settings: Settings, any_database_url: str
) -> None:
    async with house(settings, any_database_url) as before:
        principal = await before.parts.use_cases.access.local()
        (made,) = await before.drained(principal, "see")
    async with house(settings, any_database_url, result_cache_bytes=0) as after:
        image = await after.parts.use_cases.images.get(principal, made.image_id)
        await blob_store(settings).delete(content_key(image.sha256))  # nobody reads it again
        (asked,) = await ask(after.parts, principal, image, "three")
        assert await after.parts.worker.drain() == 1
        (three,) = await found(after.parts, principal, [asked])
        assert three.status is AnalysisStatus.COMPLETED, three.error_message
        result = FakeResult.model_validate(three.result)
        assert (result.width, result.height) == (40, 30)
        source = PictureSource(image_id=image.id)
        two = only(await now(after.parts, principal, source, after.task("two")))
        assert seen(two) == (0,)
        assert after.runs == {"one": 1, "two": 1, "three": 1}
        assert after.counts.inputs == 2
        assert three.provenance is not None
        for provenance in (Provenance.from_json(three.provenance), two.provenance):
            assert provenance.inputs_reused and not provenance.cached
            assert provenance.timings.decode == 0


async def test_a_stored_input_is_kept_in_memory_from_then_on(
    fakes: House, principal: Principal
) -> None:
    await fakes.drained(principal, "see")
    memory = fakes.parts.use_cases.answers.memory
    memory._kept.shrink(0)
    await fakes.now(principal, "one")
    (see,) = await fakes.now(principal, "see")
    assert see.provenance.cached
    assert (fakes.counts.memory, fakes.counts.stored, fakes.counts.inputs) == (1, 0, 1)


async def test_a_task_and_another_that_needs_it(fakes: House, principal: Principal) -> None:
    see, one, three = await fakes.now(principal, "see", "one", "three")
    assert fakes.runs == {"see": 1, "one": 1, "three": 1}
    assert not any(outcome.provenance.inputs_reused for outcome in (see, one, three))
    two, see = await fakes.now(principal, "two", "see")
    assert see.provenance.cached and two.provenance.inputs_reused
    assert fakes.runs == {"see": 1, "one": 1, "two": 1, "three": 1}


async def test_other_params_are_another_input(fakes: House, principal: Principal) -> None:
    await fakes.now(principal, "see")
    outcome = only(await now(fakes.parts, principal, PICTURE, fakes.task("one", mark=5)))
    assert seen(outcome) == (5,)
    assert fakes.runs == {"see": 2, "one": 1}


async def test_what_may_answer_otherwise_is_always_run(
    settings: Settings, any_database_url: str
) -> None:
    """As an input; as what needs one it may have it from earlier."""
    changes: dict[str, Any] = {"see": {"deterministic": False}}
    async with house(settings, any_database_url, **changes) as fakes:
        principal = await fakes.parts.use_cases.access.local()
        for _ in range(2):
            await fakes.now(principal, "see")
            await fakes.now(principal, "one")
        assert fakes.runs == {"see": 4, "one": 2}
    async with house(settings, any_database_url, one={"deterministic": False}) as fakes:
        for _ in range(2):
            await fakes.now(principal, "one")
            await fakes.now(principal, "three")
        assert fakes.runs == {"see": 1, "one": 4, "three": 2}


async def test_whoever_wants_it_computed_anew_has_its_inputs_so(
    fakes: House, principal: Principal
) -> None:
    await fakes.drained(principal, "see", "one")
    fresh = replace(fakes.task("three"), reuse=False)
    three = only(await now(fakes.parts, principal, PICTURE, fresh))
    assert fakes.runs == {"see": 2, "one": 2, "three": 1}
    assert not three.provenance.inputs_reused
    # What it computed is what later askers get.
    (see,) = await fakes.now(principal, "see")
    assert see.provenance.cached
    # And beside somebody who takes what there is.
    tasks = [fresh, fakes.task("two")]
    await now(fakes.parts, principal, PICTURE, *tasks)
    assert fakes.runs == {"see": 3, "one": 3, "two": 1, "three": 2}


# --- under way ------------------------------------------------------------------------------------


async def test_simultaneous_askers_share_an_input(fakes: House, principal: Principal) -> None:
    fakes["see"].running.close()
    first = asyncio.create_task(fakes.now(principal, "one"))
    await fakes["see"].running.arrival()
    asking = [asyncio.create_task(fakes.now(principal, name)) for name in ("two", "see", "three")]
    await fakes.waited_for_by(4)
    fakes["see"].running.open()
    (one,), (two,), (see,), (three,) = await asyncio.gather(first, *asking)
    assert fakes.runs == {"see": 1, "one": 1, "two": 1, "three": 1}
    assert [seen(outcome) for outcome in (one, two, see, three)] == [(0,), (0,), (), (0,)]
    assert not one.provenance.inputs_reused and not see.provenance.cached
    assert two.provenance.inputs_reused
    # It was waited for, which is told as the time that its inputs took.
    assert two.provenance.timings.inputs > 0
    assert not fakes.flights


@pytest.mark.parametrize("as_file", [False, True])
async def test_who_computes_the_input_may_leave(
    fakes: House, principal: Principal, as_file: bool
) -> None:
    """Also when the picture goes with it: then the input is computed for who waits."""
    fakes["see"].running.close()
    file = io.BytesIO(PICTURE)
    source: Any = PictureSource(file=file) if as_file else PICTURE
    first = asyncio.create_task(now(fakes.parts, principal, source, fakes.task("one")))
    await fakes["see"].running.arrival()
    second = asyncio.create_task(fakes.now(principal, "two"))
    await fakes.waited_for_by(2)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    file.close()
    fakes["see"].running.open()
    (two,) = await second
    assert seen(two) == (0,)
    assert fakes.runs["see"] == (2 if as_file else 1)
    await until(lambda: not fakes.flights)


async def test_who_waits_for_an_input_may_leave(fakes: House, principal: Principal) -> None:
    fakes["see"].running.close()
    first = asyncio.create_task(fakes.now(principal, "see"))
    await fakes["see"].running.arrival()
    second = asyncio.create_task(fakes.now(principal, "one"))
    await fakes.waited_for_by(2)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    fakes["see"].running.open()
    await first
    assert fakes.runs == {"see": 1}
    assert not fakes.flights


async def test_an_input_that_fails_elsewhere_is_tried_for_oneself(
    fakes: House, principal: Principal
) -> None:
    failing = True
    fakes["see"].fails = lambda item: ValueError("no") if failing else None
    fakes["see"].running.close()
    first = asyncio.create_task(fakes.now(principal, "see"))
    await fakes["see"].running.arrival()
    second = asyncio.create_task(fakes.now(principal, "one"))
    await fakes.waited_for_by(2)
    fakes["see"].running.open()
    (see,), (one,) = await asyncio.gather(first, second)
    for outcome in (see, one):
        assert outcome.status is TaskStatus.ERROR and outcome.error is not None
        assert outcome.error.message == "operation 'see' failed: ValueError: no"
    assert fakes.runs == {"see": 2}
    failing = False
    (one,) = await fakes.now(principal, "one")
    assert seen(one) == (0,)
    assert fakes.counts.inputs == 0


async def test_what_is_done_does_not_wait_for_an_input_of_something_else(
    fakes: House, principal: Principal
) -> None:
    fakes["see"].running.close()
    first = asyncio.create_task(fakes.now(principal, "see"))
    await fakes["see"].running.arrival()
    image = await add_image(fakes.parts, principal, PICTURE)
    await ask(fakes.parts, principal, image, "one")
    quality = await ask(fakes.parts, principal, image, "image_quality")
    draining = asyncio.create_task(fakes.parts.worker.drain())
    await until_all(fakes.parts, principal, quality)
    assert not first.done()
    fakes["see"].running.open()
    await asyncio.gather(first, draining)
    assert fakes.runs == {"see": 1, "one": 1}


async def test_a_picture_without_what_an_input_looks_for(
    settings: Settings, any_database_url: str
) -> None:
    script = Script()
    operations = fake("see"), fake("one", "see")
    plugin = given(*operations, finders=[FakeFinder(FACE, None, script)])
    changes = {"database_url": any_database_url, "disabled_plugins": ("bbox",)}
    parts = assemble(settings.model_copy(update=changes), [plugin])
    async with parts.running():
        principal = await parts.use_cases.access.local()
        script.running.close()
        asking: list[asyncio.Task[Analyzed]] = []
        for number, name in enumerate(("see", "one")):
            task = make_task(parts.use_cases.host, str(number), name, {"target": FACE})
            asking.append(asyncio.create_task(now(parts, principal, PICTURE, task)))
            if not number:
                await script.running.arrival()
        script.running.open()
        for number, one in enumerate(asking):
            (outcome,) = (await one).outcomes
            assert outcome.status is TaskStatus.SKIPPED and outcome.error is not None
            assert outcome.error.message.endswith(f"operation '{number}'.")
