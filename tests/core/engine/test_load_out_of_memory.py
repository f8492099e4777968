"""A load that runs out of memory: idle models make way, and it is tried once more."""

import asyncio
import weakref
from pathlib import Path
from typing import Any

import pytest

from opsin.core.contract import LoadContext
from opsin.core.errors import Cancelled, PluginError
from opsin.core.testing import FakeOperation, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.sized import SharedWeights, SharingOperation, SizedOperation
from tests.core.engine.test_device_memory import loaded, use, used
from tests.core.engine.workbench import marks_of, message_of, until


class OutOfMemoryError(RuntimeError):
    """As torch's is called, which is told by its name."""


def out_of_memory(times: int = 1) -> Script:
    return Script(load_fails=[OutOfMemoryError("CUDA out of memory.") for _ in range(times)])


class Watching(SizedOperation):
    """Notes how often the runners of another had been closed at each of its own loads."""

    def __init__(self, *args: Any, other: FakeOperation, **declared: Any) -> None:
        super().__init__(*args, **declared)
        self.other = other
        self.closes: list[int] = []

    def load(self, context: LoadContext) -> Any:
        self.closes.append(self.other.script.closes)
        return super().load(context)


async def test_idle_models_are_gone_before_it_is_tried_once_more(
    workbench: MakeWorkbench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    idle, light = SizedOperation("idle", tmp_path, 100), SizedOperation("light", tmp_path, 50)
    new = Watching("new", tmp_path, 100, out_of_memory(), other=idle)
    bench = workbench(idle, light, new, device_memory="500kB")
    await use(bench, "idle", "light", "new")
    assert new.closes == [0, 1]
    assert loaded(bench) == {"new"}
    await until(lambda: used(bench) == 100)
    statistics = bench.statistics("operation 'new'")
    assert (statistics.loads, new.script.loads) == (1, 2)
    assert bench.host.failures == ()
    assert "operation 'new' did not fit into memory" in caplog.text
    await use(bench, "idle", "light", "new")
    assert loaded(bench) == {"idle", "light", "new"}


async def test_with_nothing_idle_it_is_tried_all_the_same(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    """torch keeps freed memory for itself, which is given back before."""
    pinned, busy = SizedOperation("pinned", tmp_path, 100), SizedOperation("busy", tmp_path, 100)
    new = SizedOperation("new", tmp_path, 100, out_of_memory())
    # Light work, so that it need not wait for the one that is held.
    new.script.uses_device = False
    bench = workbench(pinned, busy, new, device_memory="500kB", pinned=["pinned"])
    await use(bench, "pinned")
    held = await bench.occupy(busy.script, bench.task("busy", mark=3))
    await use(bench, "new")
    assert loaded(bench) == {"pinned", "busy", "new"}
    assert new.script.loads == 2
    busy.script.running.open()
    assert marks_of(await held) == [3]


async def test_what_does_not_fit_then_either_fails_and_leaves_its_room(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    new = SizedOperation("new", tmp_path, 100, out_of_memory(2))
    bench = workbench(SizedOperation("idle", tmp_path, 100), new, load_pause=0.0)
    await use(bench, "idle")
    (outcome,) = (await bench.run(bench.task("new"))).outcomes
    assert type(outcome.error) is PluginError
    assert message_of(outcome).endswith("OutOfMemoryError: CUDA out of memory.")
    assert new.script.loads == 2
    await until(lambda: used(bench) == 0)
    await use(bench, "new", "idle")


async def test_what_it_had_shared_is_let_go_in_between(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    built: list[weakref.ref[SharedWeights]] = []
    alive: list[int] = []

    def build() -> SharedWeights:
        alive.append(sum(weights() is not None for weights in built))
        weights = SharedWeights()
        built.append(weakref.ref(weights))
        return weights

    class Failing(SharingOperation):
        def load(self, context: LoadContext) -> Any:
            runner = super().load(context)
            if len(built) == 1:
                raise OutOfMemoryError("CUDA out of memory.")
            return runner

    bench = workbench(Failing("new", tmp_path, 100, build=build))
    await use(bench, "new")
    assert alive == [0, 0]


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("out of luck")])
async def test_other_failures_cost_nobody_anything(
    workbench: MakeWorkbench, tmp_path: Path, error: Exception
) -> None:
    new = SizedOperation("new", tmp_path, 100, Script(load_fails=[error]))
    bench = workbench(SizedOperation("idle", tmp_path, 100), new, load_pause=0.0)
    await use(bench, "idle")
    await bench.run(bench.task("new"))
    assert new.script.loads == 1
    assert loaded(bench) == {"idle"}


async def test_an_engine_that_closes_meanwhile(workbench: MakeWorkbench, tmp_path: Path) -> None:
    """The idle one cannot be closed yet: the device's thread is busy with another."""
    idle, busy = SizedOperation("idle", tmp_path, 100), FakeOperation("busy")
    new = SizedOperation("new", tmp_path, 100, out_of_memory())
    bench = workbench(idle, busy, new)
    await use(bench, "idle", "busy")
    held = await bench.occupy(busy.script, bench.task("busy"))
    waiting = bench.begin(bench.task("new"))
    await until(lambda: bench.statistics("operation 'idle'").evictions == 1)
    closing = asyncio.ensure_future(bench.engine.close())
    for request in (held, waiting):
        with pytest.raises(Cancelled):
            await request
    busy.script.running.open()
    await closing
    assert (new.script.loads, idle.script.closes) == (1, 1)
    assert bench.host.failures == ()
