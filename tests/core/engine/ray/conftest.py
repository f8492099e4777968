"""Engines over one Ray cluster of this test run, and over none."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from opsin.core.engine import Analyzed, Engine, Task, make_task
from opsin.core.engine.ray import Placements, RayOptions, RaySource
from opsin.core.imaging import DecodedImage, ImageInfo
from tests.core.engine.ray.local_cluster import LocalCluster
from tests.core.engine.ray.remote_fakes import open_fakes, opener, parts
from tests.core.engine.workbench import until

pytest.importorskip("ray")


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """One for the whole run: starting it takes seconds."""
    cluster = LocalCluster(cpus=4)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        yield cluster
    cluster.close()


class Bench:
    """An engine, and the few calls that its tests repeat."""

    def __init__(self, engine: Engine, host: Any) -> None:
        self.engine = engine
        self.host = host

    def task(self, mark: int = 0, operation: str = "tell", **params: Any) -> Task:
        return make_task(self.host, str(mark), operation, {"mark": mark, **params})

    async def run(self, *tasks: Task, **options: Any) -> Analyzed:
        source = options.pop("source", None) or picture()
        async with asyncio.timeout(options.pop("seconds", 60)):
            return await self.engine.analyze(source, tasks, **options)

    async def told(self, *tasks: Task, **options: Any) -> list[Any]:
        """Results, or errors, in the tasks' order."""
        analyzed = await self.run(*tasks, **options)
        return [outcome.result or outcome.error for outcome in analyzed.outcomes]


MakeBench = Callable[..., Bench]


def picture(width: int = 8, height: int = 6, value: int = 1) -> DecodedImage:
    pixels = np.full((height, width, 3), value, np.uint8)
    pixels.flags.writeable = False
    return DecodedImage(pixels, ImageInfo("PNG", "image/png", width, height, "RGB", 1, 1, True, ()))


def everywhere(**chosen: Any) -> Placements:
    """All fakes go to the cluster, in little room."""
    wanted = {"here": False, "cpus": 0.01, "memory": 2**20, "replicas": 1, **chosen}
    return Placements.read("X", {part.name: wanted for part in parts()})


def bench_over(
    cluster: LocalCluster, namespace: str, folder: Path | None = None, **options: Any
) -> Bench:
    """An engine whose operations run in the cluster."""
    host, models = open_fakes(folder)
    placements = options.pop("placements", None) or everywhere()
    address = options.pop("address", cluster.address)
    opened = opener(options.pop("elsewhere", folder))
    pause = options.pop("load_pause", 1.0)
    chosen = {"namespace": namespace, "idle_seconds": 60.0, **options}
    ray = RayOptions(address, opened, f"fakes in {folder}", placements=placements, **chosen)
    there = partial(RaySource, options=ray)
    engine = Engine(host, models, device="cpu", load_pause=pause, elsewhere=there)
    return Bench(engine, host)


@pytest.fixture
async def over_ray(cluster: LocalCluster) -> AsyncIterator[MakeBench]:
    """Makes engines whose operations run in the cluster, in a namespace of the test's own."""
    made: list[Bench] = []
    before = set(threading.enumerate())
    namespace = uuid.uuid4().hex

    def make(folder: Path | None = None, **options: Any) -> Bench:
        made.append(bench_over(cluster, namespace, folder, **options))
        return made[-1]

    yield make
    for bench in made:
        await bench.engine.close()
    await until(
        lambda: (
            not any(
                thread.name.startswith("opsin-") for thread in set(threading.enumerate()) - before
            )
        )
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["here", "ray"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The same operations in this process and in the cluster; one engine for a module's tests."""
    if request.param == "ray":
        bench = bench_over(request.getfixturevalue("cluster"), uuid.uuid4().hex)
    else:
        host, models = open_fakes(None)
        bench = Bench(Engine(host, models, device="cpu"), host)
    yield bench
    await bench.engine.close()
