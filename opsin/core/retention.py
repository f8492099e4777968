"""Retention: what datasets keep no longer is removed, each image whole, and told of."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from opsin.core.blob_sweep import BlobSweep
from opsin.core.deletion_log import DeletionAction
from opsin.core.due import Rule, read_rules
from opsin.core.errors import OpsinError
from opsin.core.file_removal import AT_ONCE, FileRemoval
from opsin.core.removal import Removal
from opsin.core.result_removal import ResultRemoval
from opsin.storage.database import Database
from opsin.storage.event_log import last_position
from opsin.storage.tables import events, images

log = logging.getLogger(__name__)

RUN_EVERY: Final = timedelta(hours=1)
_LOOK_SECONDS = 5.0
"""Between two looks at the log when this process hears of no commit."""
_LEAST_SECONDS = 1.0
_EVENTS_AT_ONCE = 500
_FINISH_AFTER = timedelta(seconds=30)
"""Whoever deletes something removes what is in it for shorter than this."""
_FINISH_SECONDS = 5.0
_KINDS = ("run.completed", "dataset.updated")


@dataclass(frozen=True, slots=True)
class Removed:
    """Images that lost their files, images that lost their results, images that went whole."""

    files: int = 0
    results: int = 0
    images: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(
            self.files + other.files, self.results + other.results, self.images + other.images
        )


class Retention:
    """Several may run at once, and any may be killed: what is due goes once, by somebody."""

    def __init__(
        self,
        database: Database,
        sweep: BlobSweep,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        at_once: int = AT_ONCE,
    ) -> None:
        self._database = database
        self._files = FileRemoval(database, sweep)
        self._results = ResultRemoval(database, self._files)
        self._removal = Removal(database, sweep, clock=clock, images_at_once=at_once)
        self._clock = clock
        self._at_once = at_once
        self._waiting: set[str] = set()

    async def run(self, now: datetime | None = None) -> Removed:
        """Remove all that is due at `now`, and what is left of deleted datasets and subjects.

        An image at which a worker is at work is left for the next time.
        """
        removed = Removed(images=await self._removal.finish())
        return removed + await self._apply(now or self._clock())

    async def watch(self) -> None:
        """Run every hour for ever, and see soon to images whose runs have ended.

        Also to datasets whose rules have changed.  Ends when it is cancelled.
        """
        loop = asyncio.get_running_loop()
        position: int | None = None
        next_run = 0.0
        while True:
            seen = self._database.committed.fired
            try:
                if position is None:  # before the run, which sees all that was before this
                    position = await self._end_of_log()
                if loop.time() >= next_run:
                    await self.run()
                    next_run = loop.time() + RUN_EVERY.total_seconds()
                position = await self._react(position)
                await self._removal.finish(older_than=_FINISH_AFTER, seconds=_FINISH_SECONDS)
            except Exception as error:  # the next time does it
                expected = isinstance(error, OpsinError)
                log.warning("what is not kept could not be removed", exc_info=not expected)
            await asyncio.sleep(_LEAST_SECONDS)
            await self._database.committed.wait(seen, _LOOK_SECONDS)

    async def _react(self, position: int) -> int:
        """See to what the log tells of since `position`; gives where it ends."""
        end = await self._end_of_log()
        while True:
            statement = (
                select(events.c.sequence, events.c.kind, events.c.dataset_id, events.c.image_id)
                .where(events.c.sequence > position, events.c.sequence <= end)
                .where(events.c.kind.in_(_KINDS))
                .order_by(events.c.sequence)
                .limit(_EVENTS_AT_ONCE)
            )
            async with self._database.read() as connection:
                found = (await connection.execute(statement)).all()
            changed = {row.dataset_id for row in found if row.kind == "dataset.updated"}
            if changed:
                await self._apply(self._clock(), sorted(changed))
            done = {row.image_id for row in found if row.kind == "run.completed"}
            await self._ready(sorted(done | self._waiting))
            if len(found) < _EVENTS_AT_ONCE:
                return end
            position = found[-1].sequence

    async def _ready(self, image_ids: Sequence[str]) -> None:
        """Remove the files of those whose runs are done; the others of them wait for more."""
        self._waiting = set()
        for start in range(0, len(image_ids), self._at_once):
            some = image_ids[start : start + self._at_once]
            mine = select(images.c.dataset_id).where(images.c.id.in_(some)).distinct()
            async with self._database.read() as connection:
                dataset_ids = list((await connection.execute(mine)).scalars())
                rules = await read_rules(connection, dataset_ids)
            for rule in rules:
                if rule.action is DeletionAction.FILE_WHEN_READY:
                    removed = await self._remove(rule, some, self._clock())
                    self._waiting |= set(await self._held(rule, some)) - set(removed)

    async def _held(self, rule: Rule, ids: Sequence[str]) -> list[str]:
        """Images whose runs are done, though something else was asked of them."""
        statement = select(images.c.id).where(images.c.id.in_(ids), *rule.done())
        async with self._database.read() as connection:
            return list((await connection.execute(statement)).scalars())

    async def _apply(self, now: datetime, dataset_ids: Sequence[str] | None = None) -> Removed:
        async with self._database.read() as connection:
            rules = await read_rules(connection, dataset_ids)
        files = results = 0
        for rule in rules:
            count = await self._apply_rule(rule, now)
            if rule.action is DeletionAction.EXPIRE_RESULTS:
                results += count
            else:
                files += count
        return Removed(files, results)

    async def _apply_rule(self, rule: Rule, now: datetime) -> int:
        """Some images after the others, in the order of their ids; how many."""
        statement = (
            select(images.c.id).where(*rule.due(now)).order_by(images.c.id).limit(self._at_once)
        )
        after, count = None, 0
        while True:
            more = statement if after is None else statement.where(images.c.id > after)
            async with self._database.read() as connection:
                ids = list((await connection.execute(more)).scalars())
            if not ids:
                return count
            count += len(await self._remove(rule, ids, now))
            after = ids[-1]

    async def _remove(self, rule: Rule, ids: Sequence[str], now: datetime) -> list[str]:
        remove = self._results if rule.action is DeletionAction.EXPIRE_RESULTS else self._files
        try:
            return await remove.remove(ids, rule.reason, rule.due(now))
        except IntegrityError:
            return []  # the dataset was just deleted, and takes all of it along

    async def _end_of_log(self) -> int:
        async with self._database.read() as connection:
            return await last_position(connection)
