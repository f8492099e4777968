"""What the engine promises holds the same in this process and in a cluster."""

import asyncio
import dataclasses
from typing import Any

import numpy as np
import pytest

from opsin.core.engine import RunnerStatistics
from opsin.core.errors import (
    InvalidImage,
    OperationFailed,
    OperationUnavailable,
    OpsinError,
    PluginError,
    RegionNotFound,
)
from tests.core.engine.ray.conftest import Bench, picture
from tests.core.engine.ray.remote_fakes import Told

pytestmark = pytest.mark.asyncio(loop_scope="module")


def counted(bench: Bench) -> RunnerStatistics:
    return {one.name: one for one in bench.engine.statistics()}["operation 'tell'"]


async def test_every_item_gets_its_own_answer(bench: Bench) -> None:
    pictures = [picture(value=mark) for mark in range(20)]
    analyzed = await asyncio.gather(
        *(bench.run(bench.task(mark), source=one) for mark, one in enumerate(pictures))
    )
    told: list[Any] = [one.outcomes[0].result for one in analyzed]
    assert [one.mark for one in told] == list(range(20))
    assert [one.pixels for one in told] == [8 * 6 * 3 * mark for mark in range(20)]
    assert all(one.shape == (6, 8, 3) and not one.writeable for one in told)
    assert max(len(one.batch) for one in told) > 1


async def test_large_pictures_arrive_whole_also_in_several_tasks(bench: Bench) -> None:
    values = np.random.default_rng(3).integers(0, 255, (1300, 1400, 3), np.uint8)
    values.flags.writeable = False
    source = picture(1400, 1300)
    source = type(source)(values, source.info)
    for _ in range(2):  # the second time it is there already
        told = await bench.told(bench.task(1), bench.task(2, key=1), source=source)
        assert [one.pixels for one in told] == [int(values.astype(int).sum())] * 2


async def test_items_of_different_keys_share_no_batch(bench: Bench) -> None:
    told = await bench.told(*(bench.task(mark, key=mark % 2) for mark in range(10)))
    assert all(len({mark % 2 for mark in one.batch}) == 1 for one in told)


@pytest.mark.parametrize(
    ("does", "kind", "text"),
    [
        ("fails", OperationFailed, "operation 'tell' failed: ValueError: bad item"),
        ("exits", OperationFailed, "operation 'tell' failed: SystemExit: 1"),
        ("fails to prepare", InvalidImage, "this one cannot be prepared"),
        ("plugin error", PluginError, "plugin 'fakes': of its own"),
        ("finds nothing", RegionNotFound, "No prominent person found for operation '7'."),
    ],
)
async def test_a_bad_item_fails_alone(
    bench: Bench, does: str, kind: type[OpsinError], text: str
) -> None:
    told = await bench.told(*(bench.task(m, does=does if m == 3 else "") for m in range(6)))
    error = told.pop(3)
    assert type(error) is kind and error.message == text
    assert [one.mark for one in told] == [0, 1, 2, 4, 5]


async def test_regions_are_found_and_cut_out(bench: Bench) -> None:
    (told,) = await bench.told(bench.task(1, target="prominent_person"))
    assert told.shape == (6, 4, 3) and told.region.x_max == 4
    analyzed = await bench.run(bench.task(2, target="prominent_person"), source=picture(value=0))
    assert analyzed.outcomes[0].result is not None  # the whole image, as the operation says
    assert "no prominent person" in (analyzed.outcomes[0].result.note or "")


async def test_inputs_are_computed_first_and_handed_over(bench: Bench) -> None:
    (told,) = await bench.told(bench.task(5, does="asks"))
    assert told.inputs == (5,)


async def test_texts_are_embedded(bench: Bench) -> None:
    found = await bench.engine.embed_texts("tell", ["a", "abc"])
    assert [one.vector[0] for one in found] == [1.0, 3.0]


async def test_what_is_written_is_heard_before_the_end(bench: Bench) -> None:
    heard: list[str] = []
    task = bench.task(1, does="writes")
    task = type(task)(**{**_fields(task), "progress": heard.append})
    (told,) = await bench.told(task)
    assert isinstance(told, Told)
    assert heard and heard[0] in {"a", "a b"} and heard == sorted(heard, key=len)


async def test_what_cannot_be_loaded_says_why(bench: Bench) -> None:
    (error,) = await bench.told(bench.task(1, "unloadable"))
    assert isinstance(error, OperationUnavailable)
    assert error.message == "unloadable cannot be loaded on this machine"
    (again,) = await bench.told(bench.task(1))
    assert isinstance(again, Told)


async def test_provenance_tells_of_the_batch(bench: Bench) -> None:
    before = counted(bench)
    analyzed = await bench.run(bench.task(1), bench.task(2))
    made = analyzed.outcomes[0].provenance
    assert (made.device, made.batch_size, made.operation_version) == ("cpu", 2, "1")
    assert made.timings.queued >= 0 and made.timings.run >= 0
    after = counted(bench)
    assert (after.items - before.items, after.batches - before.batches, after.running) == (2, 1, 0)


async def test_a_cancelled_caller_disturbs_nobody(bench: Bench) -> None:
    await bench.told(bench.task(1))
    gone = asyncio.ensure_future(bench.run(bench.task(2, seconds=0.5)))
    await asyncio.sleep(0.1)
    gone.cancel()
    (told,) = await bench.told(bench.task(3))
    assert told.mark == 3
    await asyncio.sleep(0.6)
    assert counted(bench).running == 0


def _fields(task: Any) -> dict[str, Any]:
    return {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
