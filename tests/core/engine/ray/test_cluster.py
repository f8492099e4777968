"""What is so only where operations run in a cluster."""

import asyncio
import os

import numpy as np
import pytest

from opsin.core.errors import Cancelled, OperationFailed
from tests.chaos.forms import long_form
from tests.core.engine.ray.conftest import MakeBench, picture
from tests.core.engine.ray.local_cluster import LocalCluster
from tests.core.engine.ray.remote_fakes import Told


async def test_closing_answers_everybody(over_ray: MakeBench) -> None:
    bench = over_ray()
    await bench.told(bench.task(1))
    waiting = asyncio.ensure_future(bench.run(bench.task(2, seconds=3.0)))
    await asyncio.sleep(0.3)
    await bench.engine.close(grace=0.1)
    with pytest.raises(Cancelled):
        await waiting


async def test_it_runs_in_another_process(over_ray: MakeBench) -> None:
    bench = over_ray()
    (told,) = await bench.told(bench.task(1))
    assert told.process != os.getpid()
    (statistics,) = bench.engine.statistics()
    assert (statistics.replicas, statistics.lost) == (1, 0)


async def test_an_answer_that_cannot_travel_fails_alone(over_ray: MakeBench) -> None:
    bench = over_ray()
    told = await bench.told(bench.task(1), bench.task(2, does="cannot travel"), bench.task(3))
    assert isinstance(told[1], OperationFailed) and "not for travelling" in told[1].message
    assert (told[0].mark, told[2].mark) == (1, 3)


async def test_engines_share_the_processes(over_ray: MakeBench) -> None:
    one, other = over_ray(), over_ray()
    (first,), (second,) = await asyncio.gather(one.told(one.task(1)), other.told(other.task(2)))
    assert isinstance(first, Told) and isinstance(second, Told), (first, second)
    assert first.process == second.process


@pytest.mark.chaos
@long_form
async def test_a_cluster_may_be_reached_by_its_client_port(
    over_ray: MakeBench, cluster: LocalCluster
) -> None:
    bench = over_ray(address=cluster.client_address)
    values = np.random.default_rng(3).integers(0, 255, (1300, 1400, 3), np.uint8)
    source = picture(1400, 1300)
    told = await bench.told(bench.task(1), bench.task(2), source=type(source)(values, source.info))
    assert [one.pixels for one in told] == [int(values.astype(int).sum())] * 2
    (error,) = await bench.told(bench.task(3, does="dies"), seconds=100)
    assert isinstance(error, OperationFailed)
    (again,) = await bench.told(bench.task(4))
    assert again.mark == 4
