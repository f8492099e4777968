"""A worker in a process of its own: it hears at once of what others queue, where it is told."""

import asyncio
import io

import pytest

from opsin.assembly import assemble
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.settings import Settings
from tests import pictures


@pytest.mark.parametrize("any_database_url", ["postgresql"], indirect=True)
async def test_work_of_another_process_is_begun_before_the_next_look(
    any_database_url: str, settings: Settings
) -> None:
    # Two houses share nothing but the database and the files, as two processes do.
    hour = settings.model_copy(update={"database_url": any_database_url, "poll_seconds": 3600.0})
    async with assemble(hour).running() as server, assemble(hour).running() as worker:
        use_cases = server.use_cases
        principal = await use_cases.access.local()
        dataset = await use_cases.datasets.create(principal, "heard")
        picture = io.BytesIO(pictures.solid_png())
        image = await use_cases.images.add(principal, NewImage(dataset.id, "red.png"), picture)
        working = asyncio.create_task(worker.worker.run())
        try:
            for number in range(3):  # it waits in between
                await asyncio.sleep(0.3)
                task = make_task(use_cases.host, str(number), "perceptual_hash")
                (asked,) = await use_cases.analyses.ask(principal, image.id, [task])
                async with asyncio.timeout(60):
                    while True:
                        found = await use_cases.analyses.find_many(principal, [asked.id])
                        if found[asked.id].status is AnalysisStatus.COMPLETED:
                            break
                        await asyncio.sleep(0.02)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
