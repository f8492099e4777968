"""Images that were there when an application was attached: asked for a few at a time, durably."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.applications.records import Run
from opsin.core.applications.scheduling import Scheduling, defined_runs
from opsin.core.errors import StorageError
from opsin.core.queue.worker import Worker
from opsin.core.records import to_record
from opsin.core.soft_deletion import not_deleted
from opsin.storage.applications import application_runs, image_runs
from opsin.storage.database import Database, Signal
from opsin.storage.tables import datasets, images

log = logging.getLogger(__name__)

_RUNS_AT_ONCE = 100
_FULL_PAUSE = 0.25
"""Seconds until it is looked again whether images of the last page have been done."""
_IDLE_PAUSE = 5.0
"""Seconds until it is looked for what another process left behind."""


class Filled(Enum):
    """What came of one look."""

    SOME = "some"
    """Images were asked for, or passed over: there may be more."""
    ENOUGH = "enough"
    """There are more, but as many as should be are under way."""
    ALL = "all"


class Backfill:
    """Moves each run's position on, in the transaction that asks for the images before it.

    Whoever is killed has lost nothing: another goes on at the position.  Two at once take turns.
    """

    def __init__(
        self,
        database: Database,
        scheduling: Scheduling,
        attached: Signal,
        *,
        at_once: int = 50,
        most_open: int = 100,
    ) -> None:
        self._database = database
        self._scheduling = scheduling
        self._attached = attached
        self._at_once = at_once
        self._most_open = most_open

    async def run(self) -> None:
        """Fill until cancelled."""
        while True:
            seen = self._attached.fired
            pause = _IDLE_PAUSE
            try:
                filled = await self.fill()
                if filled is Filled.SOME:
                    continue
                if filled is Filled.ENOUGH:
                    pause = _FULL_PAUSE
            except Exception as error:  # the position is where it was: the next time does it
                expected = isinstance(error, StorageError)
                log.warning("earlier images could not be asked for", exc_info=not expected)
            await self._attached.wait(seen, pause)

    async def drain(self, worker: Worker) -> int:
        """Run what is queued, and what is asked for meanwhile, until nothing is; gives how many."""
        ended = 0
        while (filled := await self.fill()) is not Filled.ALL:
            ended += await worker.drain()
            if filled is Filled.ENOUGH:  # in the hands of another worker
                await asyncio.sleep(_FULL_PAUSE)
        return ended + await worker.drain()

    async def fill(self) -> Filled:
        """Ask for the next images of the first run that has room."""
        waiting = await self._waiting()
        for run in waiting:
            if await self._has_room(run) and await self._page(run):
                return Filled.SOME
        return Filled.ENOUGH if waiting else Filled.ALL

    async def _waiting(self) -> list[Run]:
        """Runs with images left whose application is known here."""
        statement = (
            defined_runs()
            .join(datasets, datasets.c.id == application_runs.c.dataset_id)
            .where(
                application_runs.c.backfill_until.is_not(None),
                self._scheduling.is_known(),
                *not_deleted(datasets),
            )
            .order_by(application_runs.c.id)
            .limit(_RUNS_AT_ONCE)
        )
        async with self._database.read() as connection:
            return [to_record(Run, row) for row in await connection.execute(statement)]

    async def _has_room(self, run: Run) -> bool:
        under_way = (
            select(image_runs.c.image_id)
            .where(
                image_runs.c.run_id == run.id,
                image_runs.c.completed_at.is_(None),
                ~image_runs.c.is_live,
            )
            .limit(self._most_open)
            .subquery()
        )
        async with self._database.read() as connection:
            count = await connection.execute(select(func.count()).select_from(under_way))
            return count.scalar_one() < self._most_open

    async def _page(self, run: Run) -> bool:
        """Ask for the run's next images; False when somebody else is at it, or it is done."""
        async with self._database.write() as transaction:
            connection = transaction.connection
            # The dataset first, as whoever deletes it does.
            held = (
                select(datasets.c.id)
                .where(datasets.c.id == run.dataset_id, *not_deleted(datasets))
                .with_for_update(read=True, key_share=True)
            )
            if (await connection.execute(held)).first() is None:
                return False
            mine = (
                defined_runs()
                .where(
                    application_runs.c.id == run.id,
                    application_runs.c.backfill_until.is_not(None),
                )
                .with_for_update(key_share=True, of=application_runs, skip_locked=True)
            )
            row = (await connection.execute(mine)).first()
            if row is None:
                return False
            defined = self._scheduling.defined(row)
            found = await self._next(connection, defined.run)
            for steps, stored in _by_steps(defined.run, found):
                await self._scheduling.ask(transaction, defined, steps, stored, is_live=False)
            is_last = len(found) < self._at_once
            left = {"backfill_until": None, "backfill_after": None}
            await connection.execute(
                update(application_runs)
                .where(application_runs.c.id == run.id)
                .values(left if is_last else {"backfill_after": found[-1]["id"]})
            )
        return True

    async def _next(self, connection: AsyncConnection, run: Run) -> list[dict[str, Any]]:
        """The next images, which nobody deletes before the transaction ends."""
        statement = (
            select(images.c.id, images.c.company_id, images.c.created_at)
            .where(
                images.c.dataset_id == run.dataset_id,
                images.c.id <= run.backfill_until,
                # Without a file there is nothing to analyse; who restores an image has it asked.
                images.c.deleted_at.is_(None),
                images.c.storage_deleted.is_(False),
            )
            .order_by(images.c.id)
            .limit(self._at_once)
            .with_for_update(read=True, key_share=True)
        )
        if run.backfill_after is not None:
            statement = statement.where(images.c.id > run.backfill_after)
        return [dict(row) for row in (await connection.execute(statement)).mappings()]


def steps_at(run: Run, moment: datetime) -> list[str]:
    """The steps that were enabled then; before the run began, those that it began with."""
    for was in run.history:
        if moment < datetime.fromisoformat(was["until"]):
            return list(was["steps"]) if was["is_enabled"] else []
    return run.steps if run.is_enabled else []


def _by_steps(
    run: Run, found: Sequence[dict[str, Any]]
) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Images in their order, those together that are analysed alike; those of no steps left out."""
    groups: list[tuple[list[str], list[dict[str, Any]]]] = []
    for image in found:
        steps = steps_at(run, image["created_at"])
        if not steps:
            continue
        if groups and groups[-1][0] == steps:
            groups[-1][1].append(image)
        else:
            groups.append((steps, [image]))
    return groups
