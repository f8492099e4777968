"""Two worker processes that want the same result at the same moment: one of them computes it."""

import asyncio
import io
from pathlib import Path

import pytest
from sqlalchemy import func, select

from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.settings import Settings
from opsin.storage.tables import analyses
from tests.core.working import until
from tests.pictures import noise_jpeg
from tests.processes import Marks
from tests.scene import Scene, scene_on


async def ask_twice(scene: Scene, count: int, first: int = 0, poison: str = "") -> None:
    """Each mark of the same picture in two images, one right after the other."""
    use_cases = scene.parts.use_cases
    dataset = await use_cases.datasets.create(scene.principal, "twice")
    images = [
        await use_cases.images.add(
            scene.principal, NewImage(dataset.id, name), io.BytesIO(noise_jpeg(32, 32))
        )
        for name in ("once.jpg", "again.jpg")
    ]
    for mark in range(first, first + count):
        for image in images:
            params = {"mark": mark, "poison": poison}
            task = make_task(use_cases.host, str(mark), "write_mark", params)
            scene.asked += await use_cases.analyses.ask(scene.principal, image.id, [task])


async def statuses(scene: Scene) -> dict[str, int]:
    statement = select(analyses.c.status, func.count()).group_by(analyses.c.status)
    async with scene.parts.use_cases.database.read() as connection:
        return {status: count for status, count in (await connection.execute(statement)).all()}


async def test_the_same_is_computed_once(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=0.2)
    async with scene_on(settings, tmp_path, any_database_url) as scene:
        with (
            scene.start("worker", marks=marks, worker_batch=1) as first,
            scene.start("worker", marks=marks, worker_batch=1) as second,
        ):
            await scene.ask(30)  # until both have begun
            await scene.until_completed()
            assert len({process for _, process in marks.lines()}) == 2
            await ask_twice(scene, first=100, count=8)
            await scene.until_completed()
            assert await first.stop() == await second.stop() == 0
        found = await scene.parts.use_cases.analyses.find_many(
            scene.principal, [a.id for a in scene.asked[30:]]
        )
    results = [(found[a.id].result or {})["mark"] for a in scene.asked[30:]]
    assert results == [mark for mark in range(100, 108) for _ in range(2)]
    assert set(marks.runs().values()) == {1}


async def test_what_a_killed_worker_computed_is_computed_by_who_waited(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=0)
    async with scene_on(settings, tmp_path, any_database_url) as scene:
        await ask_twice(scene, 1, poison="hang")
        with scene.start("worker", marks=marks, worker_batch=1) as first:
            await marks.at_least(1, by=first)
            with scene.start("worker", marks=marks, worker_batch=1) as second:

                async def both_begun() -> bool:
                    return await statuses(scene) == {"PROCESSING": 2}

                await until(both_begun, 60)
                await asyncio.sleep(1)  # long enough to begin as well
                assert [process for _, process in marks.lines()] == [first.pid]
                first.kill()
                await marks.at_least(2, by=second)
                second.kill()
    assert [process for _, process in marks.lines()] == [first.pid, second.pid]


async def test_a_failure_is_nobody_elses(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=0)
    async with scene_on(settings, tmp_path, any_database_url) as scene:
        with (
            scene.start("worker", marks=marks, worker_batch=1),
            scene.start("worker", marks=marks, worker_batch=1),
        ):
            await ask_twice(scene, 2, poison="fail")

            async def all_failed() -> bool:
                return await statuses(scene) == {"FAILED": 4}

            await until(all_failed, 60)
    assert marks.runs() == {0: 2, 1: 2}


@pytest.mark.parametrize("any_database_url", ["sqlite"], indirect=True)
async def test_who_waits_for_another_is_not_stuck(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=9.0)
    async with scene_on(settings, tmp_path, any_database_url) as scene:
        await ask_twice(scene, 1)
        with scene.start("worker", marks=marks, worker_batch=1) as first:
            await marks.at_least(1, by=first)
            with scene.start("worker", marks=marks, worker_batch=1, stuck_seconds=3) as second:
                await scene.until_completed()
                assert await second.stop() == 0
    assert marks.runs() == {0: 1}
