"""Workers as real processes: killed, stopped, side by side; nothing lost, nothing doubled."""

import asyncio
import time
from pathlib import Path

from opsin.settings import Settings
from tests.processes import Marks
from tests.scene import following, scene_on


async def test_a_worker_killed_in_the_middle_is_replaced(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=0.01)
    async with scene_on(settings, tmp_path, any_database_url, lease=2) as scene:
        await scene.ask(60)
        async with following(scene):
            with scene.start("worker", marks=marks, worker_batch=40) as first:
                await marks.at_least(12, by=first)
                first.kill()
            begun = marks.runs()
            assert len(begun) < 60
            with scene.start("worker", marks=marks) as second:
                await scene.until_completed()
                assert await second.stop() == 0
        told = await scene.check()
        assert any(len(kinds) > 3 for kinds in told.values())  # some were taken twice
        assert set(marks.runs()) == set(range(60))
        assert max(marks.runs().values()) <= 2


async def test_two_workers_run_one_queue_once(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=0.001)
    async with scene_on(settings, tmp_path, any_database_url) as scene, following(scene):
        with (
            scene.start("worker", marks=marks) as first,
            scene.start("worker", marks=marks) as second,
        ):
            await first.prints("working")
            await second.prints("working")
            await scene.ask(500, per_image=25)
            await scene.until_completed()
            assert [await first.stop(), await second.stop()] == [0, 0]
        told = await scene.check()
        assert {tuple(kinds) for kinds in told.values()} == {("queued", "processing", "completed")}
        assert marks.runs() == dict.fromkeys(range(500), 1)
        assert {process for _, process in marks.lines()} == {first.pid, second.pid}


async def test_a_stopped_worker_hands_its_work_over_at_once(
    settings: Settings, tmp_path: Path
) -> None:
    """The lease would last a minute; one is in the middle of a slow item."""
    marks = Marks(tmp_path, seconds=0.05)
    url = f"sqlite:///{tmp_path / 'data' / 'opsin.sqlite3'}"
    async with scene_on(settings, tmp_path, url) as scene:
        await scene.ask(12)
        with scene.start("worker", marks=marks) as first:
            await marks.at_least(3, by=first)
            started = time.monotonic()
            assert await first.stop() == 0
            assert time.monotonic() - started < 30
        with scene.start("worker", "--drain", marks=marks) as second:
            assert await asyncio.to_thread(second.process.wait, 30) == 0
        await scene.until_completed(1)
        await scene.check()
        found = await scene.parts.use_cases.analyses.find_many(
            scene.principal, [a.id for a in scene.asked]
        )
        assert {a.attempts for a in found.values()} == {1}
