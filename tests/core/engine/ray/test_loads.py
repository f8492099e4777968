"""A load that comes to no end in the cluster ends its process, and is tried again later."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from opsin.core.engine.ray import growth
from opsin.core.errors import PluginError
from tests.chaos.forms import long_form
from tests.core.engine.ray.conftest import Bench, MakeBench
from tests.core.engine.ray.local_cluster import LocalCluster
from tests.core.engine.ray.remote_fakes import Told
from tests.core.engine.ray.test_crews import until

ENOUGH = 10.0
"""Seconds in which a fake loads; if not, it is tried again."""
PAUSE = 12.0
"""Seconds until then, far more than it takes to ask again."""


def statistics(bench: Bench) -> Any:
    return {one.name: one for one in bench.engine.statistics()}["operation 'held'"]


def loading(folder: Path) -> list[int]:
    """The processes that have begun to load for ever, in their order."""
    file = folder / "loading"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def goes_on(bench: Bench) -> Told:
    """What the operation tells once it can be loaded again."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        (told,) = await bench.told(bench.task(4, "held"), seconds=110)
        if isinstance(told, Told):
            return told
        await asyncio.sleep(0.5)
    raise AssertionError("it was never loaded")


async def test_a_load_that_hangs_ends_its_process_and_is_tried_again(
    over_ray: MakeBench, tmp_path: Path, cluster: LocalCluster
) -> None:
    held = tmp_path / "held"
    held.touch()
    bench, other = (over_ray(tmp_path, load_seconds=ENOUGH, load_pause=PAUSE) for _ in range(2))
    for one in (bench, other):  # connected, they ask at the same time
        await one.told(one.task(0, "told_first"))
    answers = await asyncio.gather(
        bench.told(bench.task(1, "held"), bench.task(2, "held"), seconds=110),
        other.told(other.task(3, "held"), seconds=110),
    )
    for error in (*answers[0], *answers[1]):
        assert isinstance(error, PluginError), error
        assert error.message == (
            "plugin 'fakes': operation 'held' was not loaded after 10 seconds, and its process was "
            "ended; Ray's log of it says where it stood, OPSIN_RAY_LOAD_SECONDS gives it more time"
        )
    (first,) = loading(tmp_path)  # one for both engines
    assert "in _hold" in cluster.log_of(first)  # where it stood
    # For a while nothing is tried again, and who asks is told why.
    (again,) = await bench.told(bench.task(3, "held"))
    assert isinstance(again, PluginError) and statistics(bench).loads == 1
    await until(lambda: is_gone(first))
    held.unlink()
    told = await goes_on(bench)
    assert told.process != first
    assert statistics(bench).running == statistics(bench).queued == 0


@pytest.mark.chaos
@long_form
async def test_a_process_that_came_back_and_hangs_while_it_loads_keeps_nobody(
    over_ray: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_PAUSE", PAUSE)
    bench = over_ray(tmp_path, load_seconds=ENOUGH, idle_seconds=1.0)
    await goes_on(bench)
    await until(lambda: statistics(bench).replicas == 0)  # it had nothing to do
    held = tmp_path / "held"
    held.touch()
    (error,) = await bench.told(bench.task(1, "held"), seconds=110)
    assert isinstance(error, PluginError), error
    # The pause holds here as well: who asks now does not wait for another load.
    (error,) = await bench.told(bench.task(2, "held"), seconds=110)
    assert isinstance(error, PluginError) and len(loading(tmp_path)) == 1
    held.unlink()
    await goes_on(bench)


@pytest.mark.chaos
@long_form
async def test_a_load_that_never_gives_the_interpreter_back(
    over_ray: MakeBench, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    held.write_text("in C")
    bench = over_ray(tmp_path, load_seconds=ENOUGH)
    (error,) = await bench.told(bench.task(1, "held"), seconds=110)
    assert isinstance(error, PluginError), error
    first = loading(tmp_path)[0]
    await until(lambda: is_gone(first))
    held.unlink()
    assert (await goes_on(bench)).process != first
