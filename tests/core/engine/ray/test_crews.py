"""How many processes there are, whose weights they have, and when they end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from opsin.core.engine.ray import Placements
from opsin.core.errors import ConfigurationError, OperationUnavailable
from opsin.core.testing import FakeOperation
from tests.chaos.forms import long_form
from tests.core.engine.ray.conftest import Bench, MakeBench, everywhere
from tests.core.engine.ray.remote_fakes import Told
from tests.core.engine.sized import safetensors_of

WAIT = 60  # seconds, far more than it takes


async def told_by(bench: Bench, **params: Any) -> Told:
    (told,) = await bench.told(bench.task(1, **params))
    assert isinstance(told, Told), told
    return told


def replicas(bench: Bench) -> int:
    return sum(one.replicas for one in bench.engine.statistics())


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110  # other processes make it true
            await asyncio.sleep(0.1)


@pytest.mark.chaos
@long_form
async def test_a_backlog_brings_up_another_process(over_ray: MakeBench) -> None:
    bench = over_ray(placements=everywhere(replicas=2))
    await told_by(bench)
    waiting = [
        asyncio.ensure_future(bench.told(bench.task(mark, seconds=0.5, key=mark), seconds=110))
        for mark in range(60)
    ]
    await until(lambda: replicas(bench) == 2)
    told = [one for (one,) in await asyncio.gather(*waiting)]
    assert [one.mark for one in told] == list(range(60))
    assert len({one.process for one in told}) == 2


async def test_a_process_without_work_ends_and_comes_back(over_ray: MakeBench) -> None:
    bench = over_ray(idle_seconds=1.0)
    first = await told_by(bench)
    await until(lambda: replicas(bench) == 0)
    assert (await told_by(bench)).process != first.process
    assert [one.lost for one in bench.engine.statistics()] == [0]


@pytest.mark.chaos
@long_form
async def test_an_idle_process_makes_room_for_another_operation(over_ray: MakeBench) -> None:
    bench = over_ray(placements=everywhere(cpus=3))  # of four
    await told_by(bench)
    (other,) = await bench.told(bench.task(2, "told_first"))
    assert isinstance(other, Told)
    await until(lambda: replicas(bench) == 1)


@pytest.mark.chaos
@long_form
async def test_new_weights_are_rolled_over_to(over_ray: MakeBench, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(safetensors_of(4000))
    bench = over_ray(tmp_path)
    old = await told_by(bench)
    (weights / "new").write_bytes(safetensors_of(5000))
    (weights / "new").rename(weights / "model.safetensors")
    async with asyncio.timeout(WAIT):
        while True:  # nobody waits meanwhile, and nothing fails
            analyzed = await bench.run(bench.task(3))
            new = analyzed.outcomes[0].result
            assert isinstance(new, Told), analyzed.outcomes[0].error
            (model,) = analyzed.outcomes[0].provenance.models
            assert model.fingerprint == new.weights  # what is told is what was used
            if new.weights != old.weights:
                break
            await asyncio.sleep(0.1)
    assert new.process != old.process


async def test_other_weights_on_the_machine_are_told_of(
    over_ray: MakeBench, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, size in ((here, 4000), (there, 5000)):
        (folder / "weights").mkdir(parents=True)
        (folder / "weights" / "model.safetensors").write_bytes(safetensors_of(size))
    bench = over_ray(here, elsewhere=there)
    (error,) = await bench.told(bench.task(1))
    assert isinstance(error, OperationUnavailable)
    assert "other weights for operation 'tell'" in error.message


def test_what_needs_no_torch_runs_here_unless_placed() -> None:
    light, heavy = FakeOperation("light"), FakeOperation("heavy", requires=("torch",))
    placements = Placements(gpus=0.5)
    assert placements.is_here(light) and not placements.is_here(heavy)
    assert placements.of(heavy, 10**9).memory == 2**30 + 2 * 10**9
    assert (placements.of(heavy, 0).gpus, placements.of(light, 0).gpus) == (0.5, 0)
    chosen = Placements.read(
        "X", {"light": {"here": False, "cpus": 2}, "heavy": {"here": True}}, replicas=3
    )
    assert not chosen.is_here(light) and chosen.is_here(heavy)
    assert (chosen.of(light, 0).cpus, chosen.of(light, 0).replicas) == (2, 3)


@pytest.mark.parametrize("wrong", [{"cpu": 1}, {"cpus": -1}, {"replicas": 0}, {"here": "no"}])
def test_a_placement_that_says_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_RAY_PLACEMENT: 'light'"):
        Placements.read("OPSIN_RAY_PLACEMENT", {"light": wrong})
