"""What runs cost: images stored in a dataset without one and with one, and analyses ended.

`without the look` leaves out the question whether the dataset has runs; its times and those of the
same images with it are taken in turns, and so are those of eleven analyses that somebody asked for
and of eleven that a run did, each claimed at once and ended one after the other.
"""

import asyncio
import io
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from PIL import Image

from bench.databases import each_database
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.applications.applications import NewApplication
from opsin.core.contract import Step
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.finished import Finished
from opsin.settings import Settings

ROUNDS, WARM_UP = 120, 15
STEPS = 11
OPERATION = "image_quality"


def main() -> list[dict[str, Any]]:
    results = []
    for name, url, folder in each_database():
        settings = Settings(data_dir=folder, database_url=url, worker=False, webhooks=False)
        results.append({"database": name} | asyncio.run(_measured(settings)))
        print(results[-1], flush=True)
    return results


async def _measured(settings: Settings) -> dict[str, Any]:
    async with assemble(settings).running() as parts:
        principal = await parts.use_cases.access.local()
        return await _stored(parts, principal) | await _ended(parts, principal)


async def _stored(parts: Parts, principal: Principal) -> dict[str, Any]:
    use_cases = parts.use_cases
    plain = await use_cases.datasets.create(principal, "plain")
    attached = await _attached(parts, principal)
    arrived, picture = use_cases.images._arrived, _picture()

    async def store(dataset_id: str, *, looks: bool = True) -> None:
        use_cases.images._arrived = arrived if looks else None
        new = NewImage(dataset_id, "picture.jpg")
        await use_cases.images.add(principal, new, io.BytesIO(picture))

    ways = {
        "without the look": lambda: store(plain.id, looks=False),
        "without a run": lambda: store(plain.id),
        f"with a run of {STEPS} steps": lambda: store(attached),
    }
    times = await _in_turns(ways)
    use_cases.images._arrived = arrived
    return {"ms to store an image": times, "look / none": _ratio(times, 1, 0)}


async def _ended(parts: Parts, principal: Principal) -> dict[str, Any]:
    use_cases = parts.use_cases
    plain = await use_cases.datasets.create(principal, "asked")
    attached = await _attached(parts, principal)
    queue = AnalysisQueue(
        use_cases.database, use_cases.artifacts, lease=timedelta(seconds=60), max_attempts=3
    )
    picture = _picture()

    async def end(dataset_id: str, *, asks: bool) -> float:
        while (await queue.claim(1000)).analyses:  # what the images before have left
            pass
        new = NewImage(dataset_id, "picture.jpg")
        image = await use_cases.images.add(principal, new, io.BytesIO(picture))
        if asks:
            tasks = [make_task(use_cases.host, str(n), OPERATION) for n in range(STEPS)]
            await use_cases.analyses.ask(principal, image.id, tasks)
        began = time.perf_counter()
        claim = await queue.claim(16)  # as a worker at first
        for analysis in claim.analyses:
            ending = Finished(analysis, AnalysisStatus.COMPLETED)
            assert await queue.finish(claim.lease_id, [ending]) == 1
        assert len(claim.analyses) == STEPS
        return time.perf_counter() - began

    times = await _in_turns(
        {
            "asked for": lambda: end(plain.id, asks=True),
            "of a run": lambda: end(attached, asks=False),
        }
    )
    return {f"ms to claim and end {STEPS} analyses": times, "run / asked": _ratio(times, 1, 0)}


async def _in_turns(
    ways: Mapping[str, Callable[[], Awaitable[float | None]]],
) -> dict[str, float]:
    """The median of each in milliseconds; one that gives a time is taken at its word."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + WARM_UP):
        names = list(ways) if number % 2 else list(ways)[::-1]
        for name in names:
            began = time.perf_counter()
            own = await ways[name]()
            took = time.perf_counter() - began if own is None else own
            if number >= WARM_UP:
                times[name].append(took)
    return {name: round(statistics.median(taken) * 1000, 2) for name, taken in times.items()}


def _ratio(times: dict[str, float], of: int, to: int) -> float:
    medians = list(times.values())
    return round(medians[of] / medians[to], 3)


async def _attached(parts: Parts, principal: Principal) -> str:
    """A dataset to which an application of as many steps as `face_skin` has is attached."""
    use_cases = parts.use_cases
    steps = tuple(Step(str(number), OPERATION) for number in range(STEPS))
    dataset = await use_cases.datasets.create(principal, "attached")
    new = NewApplication(f"steps of {dataset.id}", steps)
    application = await use_cases.applications.create(principal, new)
    await use_cases.runs.attach(principal, application.id, dataset.id)
    return dataset.id


def _picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


if __name__ == "__main__":
    main()
