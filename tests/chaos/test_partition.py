"""A node cut off from the database: its work is taken over, what it says late is dropped."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from tests.chaos.forms import START, long_form
from tests.chaos.ledger import Ledger
from tests.chaos.postgres import postgres_server
from tests.core.given_plugins import house_of
from tests.marks_plugin import MarkParams
from tests.processes import Marks
from tests.scene import Scene

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


class Cable:
    """A network namespace `name` (10.77.0.2) and the way to it (10.77.0.1), which can be pulled."""

    def __init__(self) -> None:
        self.name = f"opsin{os.getpid()}"
        self._end = f"veth{os.getpid() % 100_000}"

    def lay(self) -> None:
        other = f"{self._end}x"
        _ip("netns", "add", self.name)
        _ip("link", "add", self._end, "type", "veth", "peer", "name", other, "netns", self.name)
        _ip("addr", "add", "10.77.0.1/24", "dev", self._end)
        _ip("link", "set", self._end, "up")
        _ip("-n", self.name, "addr", "add", "10.77.0.2/24", "dev", other)
        _ip("-n", self.name, "link", "set", other, "up")
        _ip("-n", self.name, "link", "set", "lo", "up")

    def pull(self) -> None:
        _ip("link", "set", self._end, "down")

    def plug(self) -> None:
        _ip("link", "set", self._end, "up")

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "delete", self.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    try:
        made.lay()
    except (OSError, subprocess.CalledProcessError) as error:
        made.remove()
        pytest.skip(f"no network namespaces can be made here: {error}")
    yield made
    made.remove()


@long_form
async def test_a_node_that_is_cut_off(settings: Settings, tmp_path: Path, cable: Cable) -> None:
    marks = Marks(tmp_path, 0.05, files=True)
    with postgres_server() as postgres:
        with (postgres.data / "pg_hba.conf").open("a") as rules:
            rules.write("\nhost all all 10.77.0.0/24 trust\n")
        postgres.stop("fast")
        postgres.start("127.0.0.1,10.77.0.1")
        url = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"
        far = f"postgresql://postgres@10.77.0.1:{postgres.port}/postgres"
        operation = FakeOperation("write_mark", params=MarkParams)
        async with house_of(settings, operation, database_url=url) as parts:
            principal = await parts.use_cases.access.local()
            ledger = Ledger(parts, principal)
            scene = Scene(parts, principal, tmp_path, lease=3)
            away = {"before": ("ip", "netns", "exec", cable.name), "database_url": far}
            with (
                scene.start("worker", marks=marks, worker_batch=32, **away) as cut_off,
                scene.start("worker", marks=marks, worker_batch=32) as near,
            ):
                await cut_off.prints("working", START)
                await near.prints("working", START)
                await ledger.ask(300)
                await asyncio.sleep(2)
                in_hand = await ledger.in_hand()
                assert in_hand
                cable.pull()
                started = time.monotonic()
                await ledger.until_ended(120, in_hand)
                print(f"taken over after {time.monotonic() - started:.1f} s")
                await asyncio.sleep(max(0.0, 20 - (time.monotonic() - started)))
                cable.plug()
                started, before = time.monotonic(), len(marks.runs())
                await ledger.ask(400)
                cut_off_pid = cut_off.pid
                async with asyncio.timeout(120):
                    while cut_off_pid not in {pid for _, pid in marks.lines()[before:]}:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.05)
                print(f"works again after {time.monotonic() - started:.1f} s")
                await ledger.until_ended(120)
                assert [await cut_off.stop(), await near.stop()] == [0, 0]
            verdict = await ledger.judge()
            assert verdict.asked == 700 and verdict.begun_again > 0
