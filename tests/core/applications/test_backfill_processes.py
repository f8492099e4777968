"""Earlier images, asked for by real processes that are killed: none is lost, none done twice."""

import asyncio
import io
from collections import Counter
from pathlib import Path

import pytest

from opsin import Application, Step
from opsin.core.applications.applications import NewApplication
from opsin.core.applications.records import Run
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.settings import Settings
from tests.core.applications.house import asked_of, fill, keys_by_image, told
from tests.core.working import until
from tests.pictures import solid_png
from tests.processes import Marks
from tests.scene import Scene, scene_on

pytestmark = pytest.mark.chaos

STEPS = Step("one", "write_mark", {"mark": 1}), Step("two", "write_mark", {"mark": 2}, ("one",))
COUNT = 160
"""More than are asked for before the first of them are done."""


async def attached(scene: Scene, count: int = COUNT) -> tuple[Run, list[str]]:
    """A dataset with images, to which an application is attached that only other processes fill."""
    use_cases, principal = scene.parts.use_cases, scene.principal
    dataset = await use_cases.datasets.create(principal, "earlier")
    new = NewImage(dataset.id, "earlier.png")
    made = [
        await use_cases.images.add(principal, new, io.BytesIO(solid_png(8 + n, 8)))
        for n in range(count)
    ]
    own = await use_cases.applications.create(principal, NewApplication("marks", STEPS))
    run = await use_cases.runs.attach(principal, own.id, dataset.id)
    return run, [image.id for image in made]


async def check(scene: Scene, run: Run, image_ids: list[str]) -> None:
    """Wait for the end; then each image has each step once, and was told of once."""

    async def done() -> bool:
        counts = await scene.parts.use_cases.runs.counts(scene.principal, [run.id])
        return counts[run.id].completed == len(image_ids)

    await until(done, 60)
    asked = await asked_of(scene.parts, run.id)
    assert keys_by_image(asked) == {image: ["one", "two"] for image in image_ids}
    assert {one.status for one in asked} == {AnalysisStatus.COMPLETED}
    ended = Counter(event.image_id for event in await told(scene.parts, "run.completed"))
    assert ended == dict.fromkeys(image_ids, 1)
    found = await scene.parts.use_cases.runs.find(scene.principal, run.id)
    assert found is not None and found.backfill_until is None


async def test_a_worker_killed_in_the_middle_is_replaced(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=0.005)
    async with scene_on(settings, tmp_path, any_database_url, lease=2) as scene:
        run, image_ids = await attached(scene)
        with scene.start("worker", marks=marks) as first:
            await marks.at_least(20, by=first)
            first.kill()
        left = await scene.parts.use_cases.runs.find(scene.principal, run.id)
        assert left is not None
        assert left.backfill_until == image_ids[-1]
        assert left.backfill_after in image_ids
        with scene.start("worker", marks=marks) as second:
            await check(scene, run, image_ids)
            assert await second.stop() == 0


async def test_a_drained_worker_has_done_with_them(settings: Settings, tmp_path: Path) -> None:
    marks = Marks(tmp_path, seconds=0)
    url = f"sqlite:///{tmp_path / 'data' / 'opsin.sqlite3'}"
    async with scene_on(settings, tmp_path, url) as scene:
        run, image_ids = await attached(scene)
        with scene.start("worker", "--drain", marks=marks) as worker:
            assert await asyncio.to_thread(worker.process.wait, 60) == 0
            assert f"{2 * COUNT} analyses ended" in worker.output()
        await check(scene, run, image_ids)


async def test_servers_ask_while_workers_are_killed(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    """Two that ask without a worker of their own, and one after another that does the work."""
    marks = Marks(tmp_path, seconds=0.003)
    async with scene_on(settings, tmp_path, any_database_url, lease=2) as scene:
        run, image_ids = await attached(scene)
        with (
            scene.start("serve", "--port", "0", marks=marks, worker=False) as server,
            scene.start("serve", "--port", "0", marks=marks, worker=False) as other,
        ):

            async def begun() -> bool:
                return bool(await asked_of(scene.parts, run.id))

            await until(begun)
            other.kill()
            with scene.start("worker", marks=marks) as first:
                await marks.at_least(100, by=first)
                first.kill()
            with scene.start("worker", marks=marks) as second:
                await check(scene, run, image_ids)
                assert await second.stop() == 0
            assert await server.stop() == 0


async def test_a_process_without_the_plugin_leaves_the_images_to_one_that_has_it(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    """The application is declared by the house's own code only."""
    marks = Marks(tmp_path, seconds=0)
    async with scene_on(settings, tmp_path, any_database_url) as scene:
        use_cases, principal = scene.parts.use_cases, scene.principal
        use_cases.applications.declare(Application("here", "Here", "Only here.", STEPS))
        dataset = await use_cases.datasets.create(principal, "earlier")
        new = NewImage(dataset.id, "earlier.png")
        image = await use_cases.images.add(principal, new, io.BytesIO(solid_png()))
        (here,) = [one for one in use_cases.applications.declared if one.name == "here"]
        run = await use_cases.runs.attach(principal, here.id, dataset.id)
        with scene.start("worker", "--drain", marks=marks) as worker:
            assert await asyncio.to_thread(worker.process.wait, 60) == 0
        assert await asked_of(scene.parts, run.id) == []
        await fill(scene.parts)
        with scene.start("worker", "--drain", marks=marks) as worker:
            assert await asyncio.to_thread(worker.process.wait, 60) == 0
        await check(scene, run, [image.id])
