"""Operations that end their worker, hang or eat its memory fail; those beside them do not."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from opsin.storage.schema import upgrade
from tests.chaos.forms import long_form
from tests.chaos.ledger import Ledger
from tests.core.given_plugins import house_of
from tests.marks_plugin import MarkParams
from tests.processes import Marks, Opsin
from tests.scene import Scene

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

_MEMORY = 3 * 2**30


@contextlib.asynccontextmanager
async def _ledger(settings: Settings, folder: Path) -> AsyncIterator[tuple[Ledger, Scene]]:
    url = f"sqlite:///{folder / 'opsin.sqlite3'}"
    await upgrade(url)
    operation = FakeOperation("write_mark", params=MarkParams)
    async with house_of(settings, operation, database_url=url) as parts:
        principal = await parts.use_cases.access.local()
        yield Ledger(parts, principal), Scene(parts, principal, folder, lease=1.0)


async def _worked_off(ledger: Ledger, scene: Scene, marks: Marks, poison: str) -> int:
    """A worker is started again whenever it ends, as a service manager does; gives how often."""
    started = 0
    while await ledger.count("QUEUED", "PROCESSING"):
        started += 1
        assert started < 12, "it goes on for ever"
        with scene.start("worker", marks=marks, stuck_seconds=2, worker_batch=64) as worker:
            if poison == "leak":
                limits = (_MEMORY, _MEMORY)
                resource.prlimit(worker.pid, resource.RLIMIT_AS, limits)
            await _until_over(ledger, worker)
            if worker.process.poll() is None:
                assert await worker.stop() == 0
    return started


async def _until_over(ledger: Ledger, worker: Opsin) -> None:
    async with asyncio.timeout(120):
        while worker.process.poll() is None:
            if not await ledger.count("QUEUED", "PROCESSING"):
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "poison",
    ["segfault", pytest.param("hang", marks=long_form), pytest.param("exit", marks=long_form)],
)
async def test_only_the_poison_fails(settings: Settings, tmp_path: Path, poison: str) -> None:
    marks = Marks(tmp_path, 0.001, files=True)
    async with _ledger(settings, tmp_path) as (ledger, scene):
        await ledger.ask(25)
        (bad,) = await ledger.ask(1, poison=poison)
        await ledger.ask(24)
        started = await _worked_off(ledger, scene, marks, poison)
        assert started == 4  # in company, in small company, alone, and one that ends the rest
        verdict = await ledger.judge(failing={bad})
        assert verdict.asked == 50
        runs = marks.runs()
        assert runs[bad] == 3 and max(runs.values()) <= 3


@long_form
async def test_what_eats_all_memory_fails_alone(settings: Settings, tmp_path: Path) -> None:
    """Python says no in time: the batch is halved until the bad item is alone."""
    marks = Marks(tmp_path, 0.001, files=True)
    async with _ledger(settings, tmp_path) as (ledger, scene):
        await ledger.ask(10)
        (bad,) = await ledger.ask(1, poison="leak")
        await ledger.ask(9)
        with pytest.raises(AssertionError, match="MemoryError"):  # the worker's log tells of it
            await _worked_off(ledger, scene, marks, "leak")
        await ledger.judge(failing={bad})
