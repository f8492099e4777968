"""Processes, machines and whole clusters that end: what was asked is answered all the same."""

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from opsin.core.errors import ClusterLost, OperationFailed
from tests.chaos.forms import long_form
from tests.core.engine.ray.conftest import Bench, MakeBench, everywhere
from tests.core.engine.ray.local_cluster import LocalCluster
from tests.core.engine.ray.remote_fakes import Told


def statistics(bench: Bench) -> Any:
    return {one.name: one for one in bench.engine.statistics()}["operation 'tell'"]


async def process_of(bench: Bench) -> int:
    (told,) = await bench.told(bench.task(1))
    assert isinstance(told, Told), told
    return told.process


async def test_a_process_that_is_killed_costs_nothing_but_time(over_ray: MakeBench) -> None:
    bench = over_ray()
    first = await process_of(bench)
    waiting = [
        asyncio.ensure_future(bench.told(bench.task(mark, seconds=1.0, key=mark % 3)))
        for mark in range(12)
    ]
    await asyncio.sleep(0.5)
    os.kill(first, signal.SIGKILL)
    told = [one for (one,) in await asyncio.gather(*waiting)]
    assert [one.mark for one in told] == list(range(12))
    assert {one.process for one in told[1:]} != {first}
    assert statistics(bench).lost >= 1
    assert statistics(bench).running == statistics(bench).queued == 0


async def test_only_the_item_that_ends_processes_fails(over_ray: MakeBench) -> None:
    bench = over_ray()
    await process_of(bench)
    tasks = [bench.task(mark, does="dies" if mark == 2 else "") for mark in range(6)]
    told = await bench.told(*tasks, seconds=110)
    error = told.pop(2)
    assert isinstance(error, OperationFailed)
    assert error.message == "operation 'tell' ended its process at this item, twice"
    assert [one.mark for one in told] == [0, 1, 3, 4, 5]


@pytest.mark.chaos
@long_form
async def test_a_batch_that_hangs_ends_its_process(over_ray: MakeBench) -> None:
    bench = over_ray(batch_seconds=2.0)
    first = await process_of(bench)
    (error,) = await bench.told(bench.task(1, does="hangs"), seconds=110)
    assert isinstance(error, OperationFailed)
    assert await process_of(bench) != first


@pytest.mark.chaos
@long_form
async def test_a_process_that_ends_while_it_loads_is_not_started_for_ever(
    over_ray: MakeBench,
) -> None:
    bench = over_ray()
    (error,) = await bench.told(bench.task(1, "ends_loading"), seconds=110)
    assert isinstance(error, OperationFailed)
    assert "ends each time" in error.message


async def test_another_messenger_takes_over(over_ray: MakeBench) -> None:
    bench = over_ray()
    await process_of(bench)
    waiting = [
        asyncio.ensure_future(bench.told(bench.task(mark, seconds=0.5, key=mark)))
        for mark in range(4)
    ]
    await asyncio.sleep(0.3)
    os.kill(messenger_of(bench), signal.SIGKILL)
    assert [one.mark for (one,) in await asyncio.gather(*waiting)] == list(range(4))
    assert statistics(bench).lost == 0  # the process of the cluster lives on


@pytest.mark.chaos
@long_form
async def test_a_node_that_is_lost_with_its_processes(over_ray: MakeBench) -> None:
    own = LocalCluster(cpus=1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in own.environment.items():
                patch.setenv(name, value)
            node = own.join(cpus=4)
            # There is room on the second node alone.
            bench = over_ray(address=own.address, placements=everywhere(cpus=2))
            first = await process_of(bench)
            own.join(cpus=4)
            waiting = asyncio.ensure_future(bench.told(bench.task(7, seconds=2.0), seconds=110))
            await asyncio.sleep(0.5)
            node.end()
            (told,) = await waiting
            assert told.mark == 7 and told.process != first
            await bench.engine.close()
    finally:
        own.close()


@pytest.mark.chaos
@long_form
async def test_a_cluster_that_is_lost_and_comes_back(over_ray: MakeBench) -> None:
    own = LocalCluster(cpus=2)
    port = int(own.address.rpartition(":")[2])
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in own.environment.items():
                patch.setenv(name, value)
            bench = over_ray(address=own.address)
            await process_of(bench)
            own.nodes[0].end()
            (error,) = await bench.told(bench.task(1), seconds=110)
            assert isinstance(error, ClusterLost) and error.retry_after > 0
            own.start(port)
            until = time.monotonic() + 90
            told: Any = None
            while not isinstance(told, Told) and time.monotonic() < until:
                (told,) = await bench.told(bench.task(2), seconds=100)
                await asyncio.sleep(0.5)
            assert isinstance(told, Told)
            await bench.engine.close()
    finally:
        own.close()


def messenger_of(bench: Bench) -> int:
    link = bench.engine._source._link  # type: ignore[attr-defined]  # the one way to find it
    return int(link._messenger.pid)
