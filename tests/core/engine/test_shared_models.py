"""One model for several runners: built once, counted once, gone with the last of them."""

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from opsin.core.engine.device import bytes_of
from opsin.core.engine.shared_models import Share, SharedPool
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.sized import SharedWeights, SharingOperation, SizedOperation
from tests.core.engine.workbench import marks_of, until


class Build:
    """Builds networks of 400 kB, and counts."""

    def __init__(self) -> None:
        self.built: list[weakref.ref[torch.nn.Module]] = []
        self.__module__ = "plugin.runner"

    def __call__(self) -> torch.nn.Module:
        network = torch.nn.Linear(1000, 100, bias=False)
        self.built.append(weakref.ref(network))
        return network


def sharing(build: Any, tmp_path: Path, *names: str, **declared: Any) -> list[SharingOperation]:
    """Operations with the same model; its file has 400 kB, too."""
    first = SharingOperation("first", tmp_path, 400)
    return [
        SharingOperation(name, tmp_path, 1, build=build, **{"models": first.models, **declared})
        for name in names
    ]


async def test_two_operations_on_one_model(workbench: MakeWorkbench, tmp_path: Path) -> None:
    build = Build()
    one, two = sharing(build, tmp_path, "one", "two")
    bench = workbench(one, two, SizedOperation("third", tmp_path, 300), device_memory="500kB")
    for n, name in enumerate(("one", "two")):
        assert marks_of(await bench.run(bench.task(name, mark=n))) == [n]
    assert len(build.built) == 1
    assert build.built[0]() is not None
    (memory,) = bench.engine.memory_statistics()
    assert memory.used_bytes == 400_000, "counted once"
    for name in ("one", "two"):
        assert bench.statistics(f"operation '{name}'").bytes == 400_000, "but each needs it"
    # Both have to go to make room: one alone would free nothing.
    await bench.run(bench.task("third"))
    assert (one.script.closes, two.script.closes) == (1, 1)
    assert build.built[0]() is None
    assert len(bench.engine._loader.shared) == 0
    await bench.run(bench.task("two"))
    assert len(build.built) == 2


async def test_the_model_outlives_one_of_them(workbench: MakeWorkbench, tmp_path: Path) -> None:
    build = Build()
    one, two = sharing(build, tmp_path, "one", "two")
    bench = workbench(one, two, device_memory="500kB", pinned=["two"])
    for name in ("one", "two"):
        await bench.run(bench.task(name))
    for slot in bench.engine.runners:
        if slot.loadable is one:
            assert slot.evict()
    await until(lambda: one.script.closes == 1)
    gc.collect()
    assert build.built[0]() is not None
    await bench.run(bench.task("one"))
    assert len(build.built) == 1


async def test_who_shares_a_model_that_is_there_needs_no_room(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    build = Build()
    one, two = sharing(build, tmp_path, "one", "two")
    bench = workbench(one, two, device_memory="500kB")
    first = await bench.occupy(one.script, bench.task("one"))  # it cannot be evicted
    waiting = bench.begin(bench.task("two", mark=2))
    await until(lambda: two.script.loads == 1)
    one.script.running.open()
    await first
    assert marks_of(await waiting) == [2]
    assert one.script.closes == 0


async def test_racing_loads_build_once(workbench: MakeWorkbench, tmp_path: Path) -> None:
    build, begun, go_on = Build(), threading.Event(), threading.Event()

    def slow() -> torch.nn.Module:
        begun.set()
        assert go_on.wait(30)
        return build()

    operations = sharing(slow, tmp_path, "one", "two", "three")
    bench = workbench(*operations)
    requests = [bench.begin(bench.task(o.name, mark=n)) for n, o in enumerate(operations)]
    await asyncio.to_thread(begun.wait, 30)
    await until(lambda: all(o.script.loads for o in operations))
    go_on.set()
    for n, request in enumerate(requests):
        assert marks_of(await request) == [n]
    assert len(build.built) == 1


async def test_other_plugins_and_other_models_share_nothing(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    ours, theirs = Build(), Build()
    theirs.__module__ = "other.runner"
    (one,) = sharing(ours, tmp_path, "one")
    (two,) = sharing(theirs, tmp_path, "two")
    three = SharingOperation("three", tmp_path, 400, build=ours)
    bench = workbench(one, two, three)
    for name in ("one", "two", "three"):
        await bench.run(bench.task(name))
    assert (len(ours.built), len(theirs.built)) == (2, 1)
    assert bench.engine.memory_statistics()[0].used_bytes == 1_200_000


async def test_a_build_that_fails_is_tried_by_the_next(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    build = Build()
    fails = [ValueError("no weights")]

    def moody() -> torch.nn.Module:
        if fails:
            raise fails.pop()
        return build()

    operations = sharing(moody, tmp_path, "one", "two")
    bench = workbench(*operations, load_pause=0.0)
    (outcome,) = (await bench.run(bench.task("one"))).outcomes
    assert "ValueError: no weights" in str(outcome.error)
    assert len(bench.engine._loader.shared) == 0
    for n, name in enumerate(("two", "one")):
        assert marks_of(await bench.run(bench.task(name, mark=n))) == [n]
    assert len(build.built) == 1


async def test_a_load_that_fails_after_it_shared_holds_nothing(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    build = Build()

    class Failing(SharingOperation):
        def load(self, context: Any) -> Any:
            super().load(context)
            raise ValueError("later")

    model = SharingOperation("first", tmp_path, 400).models
    bench = workbench(Failing("one", tmp_path, 1, build=build, models=model))
    await bench.run(bench.task("one"))
    assert len(bench.engine._loader.shared) == 0
    gc.collect()
    assert build.built[0]() is None


def test_sharing_is_for_loads() -> None:
    pool = SharedPool()
    share, other = Share(pool), Share(pool)
    weights = share.get("key", SharedWeights)
    assert share.get("key", SharedWeights) is other.get("key", SharedWeights) is weights
    share.release()
    share.release()
    assert len(pool) == 1
    with pytest.raises(RuntimeError, match="while a runner is loaded"):
        share.get("key", SharedWeights)
    other.release()
    assert len(pool) == 0
    gone = weakref.ref(weights)
    del weights
    assert gone() is None


def test_bytes_of_whatever_is_shared() -> None:
    network = torch.nn.Linear(10, 10)  # 110 numbers
    network.register_buffer("mean", torch.zeros(5, dtype=torch.float64))
    size = 110 * 4 + 5 * 8
    assert bytes_of(network) == size
    assert bytes_of((network, "tokenizer", [network])) == size, "what is there twice counts once"
    assert bytes_of({"a": network, "b": torch.zeros(3)}) == size + 12

    class Pair:
        def __init__(self) -> None:
            self.networks = (network,)

    assert bytes_of(Pair()) == size
    assert bytes_of("text") == bytes_of(None) == 0
    half = torch.zeros(100)[:50]
    assert bytes_of(half) == 400, "a view keeps the whole"
