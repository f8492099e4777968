"""A house with an application of fake operations, and short ways to see what its runs did."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select, text

from opsin import Application, Step
from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.applications.backfill import Filled
from opsin.core.images import NewImage
from opsin.core.records import Analysis, Dataset, Image, columns_of, to_record
from opsin.core.testing import FakeOperation, Script
from opsin.settings import Settings
from opsin.storage.database import Database
from opsin.storage.event_log import Event, read_events
from opsin.storage.tables import analyses
from tests.core.given_plugins import house_of
from tests.pictures import solid_png

FIRST = Step("first", "fake", {"mark": 1})
SECOND = Step("second", "fake", {"mark": 2}, requires=("first",))
OTHER = Step("other", "quick")
SAMPLE = Application("sample", "Sample", "Three steps.", (SECOND, FIRST, OTHER))
"""Given with the second step first: its order is not that of the work."""


@asynccontextmanager
async def sample_house(
    settings: Settings, *, script: Script | None = None, **changes: Any
) -> AsyncIterator[Parts]:
    """With the operations `fake` and `quick`, and the application `sample` declared."""
    operations = FakeOperation(script=script or Script()), FakeOperation("quick")
    async with house_of(settings, *operations, **changes) as parts:
        parts.use_cases.applications.declare(SAMPLE)
        yield parts


async def new_dataset(parts: Parts, principal: Principal) -> Dataset:
    return await parts.use_cases.datasets.create(principal, "pictures")


async def add(
    parts: Parts, principal: Principal, dataset: Dataset, count: int = 1, **where: Any
) -> list[Image]:
    """Images of different content in the dataset."""
    new = NewImage(dataset.id, "picture.png", **where)
    return [
        await parts.use_cases.images.add(principal, new, io.BytesIO(solid_png(8 + n, 8)))
        for n in range(count)
    ]


async def fill(parts: Parts) -> int:
    """Ask for all that was there before, as the background does; how many looks found something."""
    looks = 0
    while await parts.backfill.fill() is Filled.SOME:
        looks += 1
    return looks


async def asked_of(parts: Parts, run_id: str | None) -> list[Analysis]:
    """The analyses of a run, oldest first."""
    statement = select(*columns_of(analyses, Analysis)).where(analyses.c.run_id == run_id)
    async with parts.use_cases.database.read() as connection:
        rows = await connection.execute(statement.order_by(analyses.c.id))
        return [to_record(Analysis, row) for row in rows]


def keys_by_image(asked: Sequence[Analysis]) -> dict[str, list[str | None]]:
    """The steps that were asked of each image, in order."""
    found: dict[str, list[str | None]] = {}
    for analysis in asked:
        found.setdefault(analysis.image_id, []).append(analysis.task_id)
    return found


async def told(parts: Parts, kind: str) -> list[Event]:
    """The events of a kind, oldest first."""
    async with parts.use_cases.database.read() as connection:
        log = await read_events(connection, None, after=0, limit=100_000)
    return [event for event in log if event.kind == kind]


async def completed(parts: Parts) -> list[str]:
    """The images that runs are told to have done with, in the order of their ids."""
    return sorted(str(event.image_id) for event in await told(parts, "run.completed"))


async def lock_waits(database: Database) -> None:
    """Until somebody in a PostgreSQL database waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    async with asyncio.timeout(60):
        while True:
            async with database.read() as connection:
                if (await connection.execute(waiting)).scalar_one():
                    return
            await asyncio.sleep(0.01)
