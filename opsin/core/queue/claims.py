"""Claims: which analyses a worker takes from the queue, and under which lease."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.analysis_events import status_event
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.clock import QueueClock
from opsin.core.queue.counts import QueueCounts
from opsin.core.records import Analysis, Image, columns_of, to_record
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import analyses, images

# Written as the indexes of the queue and of leases say it: PostgreSQL finds no `IS FALSE` in them.
OURS = ~analyses.c.external
"""Whether Opsin itself runs it."""
_FEW_SUSPECTS = 16
_SUSPECTED = text("suspicion > 0")


@dataclass(frozen=True, slots=True)
class Claim:
    """Analyses that one worker may run until the lease ends, with their images."""

    lease_id: str
    analyses: tuple[Analysis, ...]
    images: Mapping[str, Image]


class Claims:
    """Takes analyses from the queue; every call is one transaction, and none if it is empty."""

    def __init__(
        self, database: Database, clock: QueueClock, counts: QueueCounts, lease: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._counts = counts
        self._lease = lease

    async def take(self, most: int) -> Claim:
        """Take up to `most` queued analyses, most urgent first, then oldest.

        And what else the same runs ask of the same images: it shares their picture and its regions.
        Suspects are left where they are, see `take_suspects`.
        """
        return await self._take(analyses.c.suspicion == 0, most, with_runs=True)

    async def take_suspects(self) -> Claim:
        """Take analyses that a lost worker had in hand: a few together, then each alone.

        So that one which ends its worker is told from those that were only beside it.  For a
        caller with nothing else in hand.
        """
        claim = await self._take(analyses.c.suspicion == 1, _FEW_SUSPECTS)
        return claim if claim.analyses else await self._take(analyses.c.suspicion > 1, 1)

    async def has_suspects(self) -> bool:
        """Whether `take_suspects` would find something."""
        return await holds_any(
            self._database,
            select(analyses.c.id).where(
                OURS,
                _SUSPECTED,
                analyses.c.status == "QUEUED",
                _due(await self._clock.now()),
            ),
        )

    async def _take(
        self, of_these: ColumnElement[bool], most: int, *, with_runs: bool = False
    ) -> Claim:
        now = await self._clock.now()
        lease_id = new_id()
        waiting = (
            select(analyses.c.id)
            .where(OURS, of_these, analyses.c.status == "QUEUED", _due(now))
            .order_by(analyses.c.priority.desc(), analyses.c.id)
            .limit(most)
        )
        if not await holds_any(self._database, waiting):
            return Claim(lease_id, (), {})
        claiming = {
            "status": AnalysisStatus.PROCESSING.value,
            "attempts": analyses.c.attempts + 1,
            "lease_id": lease_id,
            "lease_until": now + self._lease,
            "started_at": now,
            "updated_at": now,
        }
        # A common table expression is evaluated once; a sub-select could lock more than `most`.
        chosen = waiting.with_for_update(skip_locked=True).cte("waiting")
        async with self._database.write() as transaction:
            rows = await transaction.connection.execute(
                update(analyses)
                .where(analyses.c.id.in_(select(chosen.c.id)))
                .values(claiming)
                .returning(*columns_of(analyses, Analysis))
            )
            taken = [to_record(Analysis, row) for row in rows]
            if with_runs and len(taken) == most:
                taken += await _rest_of_runs(transaction.connection, taken, claiming, now)
            claimed = sorted(taken, key=lambda a: (-a.priority, a.id))
            found = await _images(transaction.connection, {a.image_id for a in claimed})
            for analysis in claimed:
                transaction.emit(
                    status_event(
                        analysis, AnalysisStatus.PROCESSING, {"attempt": analysis.attempts}
                    )
                )
        self._count(claimed, now)
        return Claim(lease_id, tuple(claimed), found)

    def _count(self, claimed: Sequence[Analysis], now: datetime) -> None:
        if not claimed:
            return
        self._counts.claims += 1
        self._counts.claimed += len(claimed)
        for analysis in claimed:
            if analysis.attempts == 1:
                waited = (now - analysis.created_at).total_seconds()
                self._counts.waited.add(max(0.0, waited))


async def holds_any(database: Database, statement: Select[Any]) -> bool:
    """A look without the write lock, so that an idle worker disturbs nobody."""
    async with database.read() as connection:
        return (await connection.execute(statement.limit(1))).first() is not None


def _due(now: datetime) -> ColumnElement[bool]:
    """Whether it may be claimed; what was never put back may, whatever its asker's clock said."""
    waits = analyses.c.available_at
    return or_(waits <= now, waits <= analyses.c.created_at)


async def _rest_of_runs(
    connection: AsyncConnection,
    taken: Sequence[Analysis],
    claiming: Mapping[str, Any],
    now: datetime,
) -> list[Analysis]:
    """Claim what is left in the queue of each run's work on an image that is among those taken."""
    pairs = sorted({(one.run_id, one.image_id) for one in taken if one.run_id is not None})
    if not pairs:
        return []
    left = (
        select(analyses.c.id)
        .where(
            tuple_(analyses.c.run_id, analyses.c.image_id).in_(pairs),
            OURS,
            analyses.c.suspicion == 0,
            analyses.c.status == "QUEUED",
            _due(now),
        )
        .with_for_update(skip_locked=True)
        .cte("left")
    )
    rows = await connection.execute(
        update(analyses)
        .where(analyses.c.id.in_(select(left.c.id)))
        .values(claiming)
        .returning(*columns_of(analyses, Analysis))
    )
    return [to_record(Analysis, row) for row in rows]


async def _images(connection: AsyncConnection, ids: set[str]) -> dict[str, Image]:
    statement = select(*columns_of(images, Image)).where(images.c.id.in_(ids))
    return {row[0]: to_record(Image, row) for row in await connection.execute(statement)}
