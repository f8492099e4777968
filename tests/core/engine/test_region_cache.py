"""Regions of one content: looked for once, shared while they are looked for, never stale."""

import asyncio
from typing import Any

import pytest

from opsin.core.contract import Box, Target
from opsin.core.engine import TaskStatus
from opsin.core.imaging import DecodeOptions
from opsin.core.testing import FakeFinder, FakeOperation, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.test_provenance import model, with_weights
from tests.core.engine.workbench import Workbench, png, result_of, until

PERSON, FACE = Target.PROMINENT_PERSON, Target.PROMINENT_FACE
SOMEWHERE = Box(x_min=2, y_min=2, x_max=6, y_max=5)


def finders(**script: Any) -> tuple[FakeFinder, FakeFinder]:
    return FakeFinder(PERSON, SOMEWHERE, Script(**script)), FakeFinder(FACE, None, Script())


def searches(finder: FakeFinder) -> int:
    return sum(len(batch) for batch in finder.script.batches)


async def run(bench: Workbench, content: str | None = "a", **params: Any) -> Any:
    options = params.pop("options", DecodeOptions())
    params.setdefault("target", PERSON)
    task = bench.task(**params)
    analyzed = await bench.run(task, source=png(), content=content, options=options)
    return analyzed.outcomes[0]


async def test_a_region_is_looked_for_once_for_all_requests(workbench: MakeWorkbench) -> None:
    person, face = finders()
    bench = workbench(person, face, FakeOperation())
    for _ in range(3):
        assert result_of(await run(bench)).region == SOMEWHERE
        assert (await run(bench, target=FACE)).status is TaskStatus.SKIPPED
    # That there is none is an answer too.
    assert (searches(person), searches(face)) == (1, 1)
    await run(bench, target=FACE, face_context="whole_image")  # another box
    assert (searches(person), searches(face)) == (1, 2)
    await run(bench, "b")
    await run(bench, None)
    await run(bench, options=DecodeOptions(apply_orientation=False))
    assert searches(person) == 4
    counts = bench.engine.regions.counts
    assert (counts.hits, counts.misses, counts.shared) == (7, 5, 0)


async def test_simultaneous_requests_wait_for_one_search(workbench: MakeWorkbench) -> None:
    person, face = finders()
    bench = workbench(person, face, FakeOperation())
    person.script.running.close()
    asking = [asyncio.create_task(run(bench, mark=n)) for n in range(8)]
    await until(lambda: bench.engine.regions.counts.shared == 7)
    person.script.running.open()
    for n, asked in enumerate(asking):
        result = result_of(await asked)
        assert (result.mark, result.region) == (n, SOMEWHERE)
    assert searches(person) == 1


@pytest.mark.parametrize("stays", [True, False])
async def test_who_began_the_search_may_leave(workbench: MakeWorkbench, stays: bool) -> None:
    person, face = finders()
    bench = workbench(person, face, FakeOperation())
    busy = asyncio.create_task(run(bench, "other"))
    person.script.running.close()
    await person.script.running.arrival()
    first = asyncio.create_task(run(bench, mark=1))
    second = asyncio.create_task(run(bench, mark=2))
    counts = bench.engine.regions.counts
    await until(lambda: counts.shared == 1)
    leaving = (first,) if stays else (first, second)
    for asked in leaving:
        asked.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    later = asyncio.create_task(run(bench, mark=3))
    await until(lambda: counts.misses + counts.shared == 4)
    person.script.running.open()
    assert result_of(await later).region == SOMEWHERE
    if stays:
        assert result_of(await second).region == SOMEWHERE
    await busy
    assert searches(person) == 2
    assert bench.engine.regions._searches == {}


async def test_a_search_that_failed_is_tried_again(workbench: MakeWorkbench) -> None:
    broken = True
    person, face = finders(fails=lambda item: ValueError("no") if broken else None)
    bench = workbench(person, face, FakeOperation())
    person.script.running.close()
    asking = [asyncio.create_task(run(bench)) for _ in range(3)]
    await until(lambda: bench.engine.regions.counts.shared == 2)
    person.script.running.open()
    assert [(await asked).status for asked in asking] == [TaskStatus.ERROR] * 3
    broken = False
    assert result_of(await run(bench)).region == SOMEWHERE


async def test_a_region_counts_for_the_weights_that_found_it(workbench: MakeWorkbench) -> None:
    person = FakeFinder(PERSON, SOMEWHERE, models=(model("person"),))
    bench = with_weights(workbench(person, FakeOperation()))
    first, again = await run(bench), await run(bench)
    assert searches(person) == 1
    assert first.provenance.models == again.provenance.models
    assert [used.role for used in again.provenance.models] == ["person"]
    slot = bench.engine.runners.finder(PERSON)
    assert slot is not None and slot.queue is not None
    loaded = slot.queue.loaded
    object.__setattr__(loaded, "models", ())  # as if others had been loaded meanwhile
    await run(bench)
    assert searches(person) == 2
