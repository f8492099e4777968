"""Queued work over a Ray cluster: its processes and its nodes are killed, and nothing is lost."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from opsin.storage.schema import upgrade
from tests.chaos.forms import START, long_form
from tests.chaos.ledger import Ledger
from tests.core.engine.ray.local_cluster import LocalCluster, Node
from tests.core.given_plugins import house_of
from tests.marks_plugin import MarkParams
from tests.processes import Marks, Opsin
from tests.scene import Scene

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(500)]


class _Cluster(LocalCluster):
    """One whose processes find the plugin."""

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__(cpus=2)

    def start(self, port: int = 0) -> None:
        self.environment["PYTHONPATH"] = self._path
        super().start(port)


async def _next_run(marks: Marks, worker: Opsin, seconds: float = 120) -> None:
    await marks.at_least(len(marks.lines()) + 1, worker, seconds)


@long_form
async def test_a_cluster_that_loses_processes_and_nodes(settings: Settings, tmp_path: Path) -> None:
    marks = Marks(tmp_path, 0.03, files=True)
    root = str(Path(__file__).parents[2])
    cluster = _Cluster(os.pathsep.join([marks.environment["PYTHONPATH"], root]))
    try:
        marks.environment |= {k: v for k, v in cluster.environment.items() if k != "PYTHONPATH"}
        marks.environment["RAY_ADDRESS"] = cluster.address
        node = cluster.join()
        await _through_losses(settings, tmp_path, marks, cluster, node)
    finally:
        cluster.close()


async def _through_losses(
    settings: Settings, folder: Path, marks: Marks, cluster: LocalCluster, node: Node
) -> None:
    url = f"sqlite:///{folder / 'opsin.sqlite3'}"
    await upgrade(url)
    operation = FakeOperation("write_mark", params=MarkParams)
    placement = json.dumps({"write_mark": {"here": False, "cpus": 1}})
    async with house_of(settings, operation, database_url=url) as parts:
        principal = await parts.use_cases.access.local()
        ledger = Ledger(parts, principal)
        scene = Scene(parts, principal, folder, lease=30)
        over_ray = {"engine": "ray", "ray_placement": placement, "worker_batch": 128}
        with scene.start("worker", marks=marks, **over_ray) as worker:
            await worker.prints("working", START)
            await ledger.ask(1500)
            await _next_run(marks, worker)
            assert worker.pid not in {pid for _, pid in marks.lines()}
            for number in range(3):
                victim = marks.lines()[-1][1]
                started = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                await _next_run(marks, worker)
                print(f"process killed, {number}: {time.monotonic() - started:.1f} s")
                await asyncio.sleep(3)
            started = time.monotonic()
            await asyncio.to_thread(node.end)
            await _next_run(marks, worker)
            print(f"node killed: {time.monotonic() - started:.1f} s")
            await ledger.until_ended(240)
            assert await worker.stop() == 0
        verdict = await ledger.judge()
        print(verdict, f"run more than once: {sum(n > 1 for n in marks.runs().values())}")
        assert verdict.asked == 1500
