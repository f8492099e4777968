"""The scene of a fault: a house that asks and follows while other processes work, and fail."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.errors import StorageError
from opsin.core.images import NewImage
from opsin.core.records import Analysis
from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from opsin.storage.event_log import Event, EventFilter
from opsin.storage.tables import analyses, annotations, events
from tests.core.given_plugins import house_of
from tests.core.working import until
from tests.marks_plugin import MarkParams
from tests.pictures import noise_jpeg
from tests.processes import Marks, opsin

POLL = 0.05


class Scene:
    """A house in this process, which asks and follows, and the settings of those that work."""

    def __init__(self, parts: Parts, principal: Principal, folder: Path, lease: float) -> None:
        self.parts = parts
        self.principal = principal
        self.folder = folder
        self.lease = lease
        self.asked: list[Analysis] = []

    def start(self, *arguments: str, marks: Marks, **settings: Any) -> Any:
        return opsin(
            self.folder,
            *arguments,
            marks=marks,
            **{
                "data_dir": self.folder / "data",
                "database_url": self.parts.database_url,
                "lease_seconds": self.lease,
                "poll_seconds": POLL,
            }
            | settings,
        )

    async def ask(self, count: int, per_image: int = 10) -> None:
        """Queue so many analyses, each with a mark of its own."""
        use_cases = self.parts.use_cases
        dataset = await use_cases.datasets.create(self.principal, "faults")
        for start in range(0, count, per_image):
            new = NewImage(dataset.id, f"{start}.jpg")
            picture = noise_jpeg(32, 32, seed=start)
            image = await use_cases.images.add(self.principal, new, io.BytesIO(picture))
            marks = range(len(self.asked), len(self.asked) + min(per_image, count - start))
            tasks = [make_task(use_cases.host, str(m), "write_mark", {"mark": m}) for m in marks]
            self.asked += await use_cases.analyses.ask(self.principal, image.id, tasks)

    async def until_completed(self, seconds: float = 60) -> None:
        """Wait for all that was asked, through every failure of the database."""

        async def completed() -> bool:
            statement = select(func.count()).where(analyses.c.status == "COMPLETED")
            with contextlib.suppress(StorageError):
                async with self.parts.use_cases.database.read() as connection:
                    done = (await connection.execute(statement)).scalar_one()
                    return bool(done == len(self.asked))
            return False

        await until(completed, seconds)

    async def check(self) -> dict[str, list[str]]:
        """Nothing is lost or doubled in the tables; gives each analysis's events in order."""
        found = await self.parts.use_cases.analyses.find_many(
            self.principal, [a.id for a in self.asked]
        )
        assert {a.status.value for a in found.values()} == {"COMPLETED"}
        marks = [(found[a.id].result or {}).get("mark") for a in self.asked]
        assert marks == list(range(len(self.asked)))
        async with self.parts.use_cases.database.read() as connection:
            rows = await connection.execute(
                select(
                    annotations.c.analysis_id, func.count(), func.min(annotations.c.class_name)
                ).group_by(annotations.c.analysis_id)
            )
            written = {row[0]: (row[1], row[2]) for row in rows}
            log = (
                await connection.execute(
                    select(events.c.analysis_id, events.c.kind)
                    .where(events.c.analysis_id.is_not(None))
                    .order_by(events.c.sequence)
                )
            ).all()
        assert written == {a.id: (2, str(mark)) for mark, a in enumerate(self.asked)}
        told: dict[str, list[str]] = {a.id: [] for a in self.asked}
        for identity, kind in log:
            told[identity].append(kind.removeprefix("analysis."))
        for kinds in told.values():
            assert kinds[-1] == "completed" and kinds.count("completed") == 1, kinds
            assert kinds[:-1] == ["queued", "processing"] * (len(kinds) // 2), kinds
        return told


@contextlib.asynccontextmanager
async def scene_on(
    settings: Settings, folder: Path, url: str, lease: float = 60
) -> AsyncIterator[Scene]:
    operation = FakeOperation("write_mark", params=MarkParams)
    async with house_of(settings, operation, database_url=url) as parts:
        principal = await parts.use_cases.access.local()
        yield Scene(parts, principal, folder, lease)


@contextlib.asynccontextmanager
async def following(scene: Scene) -> AsyncIterator[list[Event]]:
    """A follower of the whole log; in the end it must have seen all of it, once, in order."""
    seen: list[Event] = []
    wanted = EventFilter(scene.principal.company_id)

    async def follow() -> None:
        async for group in scene.parts.use_cases.events.follow(wanted, after=0):
            seen.extend(group)

    follower = asyncio.create_task(follow())
    try:
        yield seen
        async with scene.parts.use_cases.database.read() as connection:
            statement = select(events.c.sequence).order_by(events.c.sequence)
            log = (await connection.execute(statement)).scalars().all()

        async def caught_up() -> bool:
            return len(seen) >= len(log) or follower.done()

        await until(caught_up, 10)
        assert not follower.done(), follower
        assert [event.sequence for event in seen] == log
    finally:
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
