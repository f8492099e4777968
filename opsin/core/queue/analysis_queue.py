"""The queue of analyses: claimed under leases, renewed, completed once, recovered when lost."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update

from opsin.core.analysis_events import progress_event, status_event
from opsin.core.applications.completion import end_image_runs
from opsin.core.artifacts import Artifacts
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.claims import OURS, Claim, Claims, holds_any
from opsin.core.queue.clock import QueueClock
from opsin.core.queue.counts import QueueCounts
from opsin.core.queue.finished import Finished, Tries, write_finished, write_statuses
from opsin.core.records import Analysis, columns_of, to_record
from opsin.storage.database import Database, Transaction
from opsin.storage.tables import analyses

_RECOVER_AT_ONCE = 1000


class AnalysisQueue:
    """What a worker may do with the queue; every call is one transaction."""

    def __init__(
        self, database: Database, artifacts: Artifacts, *, lease: timedelta, max_attempts: int
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._lease = lease
        self._tries = Tries(max_attempts)
        self._clock = QueueClock(database)
        self.counts = QueueCounts()
        self._claims = Claims(database, self._clock, self.counts, lease)

    async def claim(self, most: int) -> Claim:
        """Take up to `most` queued analyses, see `Claims.take`."""
        return await self._claims.take(most)

    async def claim_suspects(self) -> Claim:
        """Take analyses that a lost worker had in hand, see `Claims.take_suspects`."""
        return await self._claims.take_suspects()

    async def has_suspects(self) -> bool:
        """Whether `claim_suspects` would find something."""
        return await self._claims.has_suspects()

    async def renew(self, lease_id: str) -> frozenset[str]:
        """Hold the lease longer; gives the analyses still held (others were cancelled or lost)."""
        mine = (
            select(analyses.c.id)
            .where(OURS, analyses.c.status == "PROCESSING", analyses.c.lease_id == lease_id)
            # By id, as everybody holds several: those of a lease have one end, and its index.
            .order_by(analyses.c.lease_until, analyses.c.id)
            .with_for_update()
            .cte("mine")
        )
        statement = (
            update(analyses)
            .where(analyses.c.id.in_(select(mine.c.id)))
            .values(lease_until=await self._clock.now() + self._lease)
            .returning(analyses.c.id)
        )
        async with self._database.write() as transaction:
            return frozenset((await transaction.connection.execute(statement)).scalars())

    async def finish(self, lease_id: str, finished: Sequence[Finished]) -> int:
        """Write results and what belongs to them, status and events; gives how many counted.

        What is no longer held under this lease (cancelled, or run again by another worker after
        the lease ended) is dropped, so that results are written once.
        """
        files = await self._artifacts.put(
            [(item.analysis, file) for item in finished for file in item.artifacts]
        )
        now = await self._clock.now()
        async with self._database.write() as transaction:
            held = await self._held(transaction, lease_id, [f.analysis.id for f in finished])
            kept = [self._tries.bounded(item) for item in finished if item.analysis.id in held]
            self.counts.dropped += len(finished) - len(kept)
            if not kept:
                return 0
            await write_finished(transaction.connection, kept, now)
            await self._artifacts.name(transaction, [f for f in files if f.analysis.id in held])
            for item in kept:
                transaction.emit(status_event(item.analysis, item.status))
            await _end_image_runs(transaction, kept, now)
        self.counts.endings.update(item.status.value for item in kept)
        return len(kept)

    async def tell(self, lease_id: str, texts: Sequence[tuple[Analysis, str]]) -> None:
        """Tell followers what has been written so far, of analyses still held under this lease."""
        async with self._database.write() as transaction:
            held = await self._held(transaction, lease_id, [analysis.id for analysis, _ in texts])
            for analysis, text in texts:
                if analysis.id in held:
                    transaction.emit(progress_event(analysis, text))

    async def recover(self, *, holding: Collection[str] = ()) -> int:
        """Give analyses whose worker went silent to another, or end them after too many tries.

        `holding` are the leases of the caller itself, who is alive, though perhaps late to renew
        them: the machine was asleep, or the database down.
        """
        await self._clock.read()
        now = await self._clock.now()
        lost = (
            select(*columns_of(analyses, Analysis))
            .where(
                OURS,
                analyses.c.status == "PROCESSING",
                analyses.c.lease_until < now,
                analyses.c.lease_id.not_in(holding),
            )
            .limit(_RECOVER_AT_ONCE)
        )
        if not await holds_any(self._database, lost):
            return 0
        async with self._database.write() as transaction:
            rows = await transaction.connection.execute(lost.with_for_update(skip_locked=True))
            finished = [
                self._tries.lost(
                    Finished(
                        to_record(Analysis, row),
                        AnalysisStatus.QUEUED,
                        error_code="WORKER_LOST",
                        error_message="The worker running this analysis stopped",
                    )
                )
                for row in rows
            ]
            if finished:
                lost_ids = [item.analysis.id for item in finished]
                await transaction.connection.execute(
                    update(analyses)
                    .where(analyses.c.id.in_(lost_ids))
                    .values(suspicion=analyses.c.suspicion + 1)
                )
                await write_statuses(transaction.connection, finished, now)
                for item in finished:
                    transaction.emit(
                        status_event(item.analysis, item.status, {"reason": item.error_code})
                    )
                await _end_image_runs(transaction, finished, now)
        self.counts.recovered += len(finished)
        return len(finished)

    async def _held(
        self, transaction: Transaction, lease_id: str, ids: Sequence[str]
    ) -> frozenset[str]:
        statement = (
            select(analyses.c.id)
            .where(
                analyses.c.id.in_(ids),
                analyses.c.lease_id == lease_id,
                analyses.c.status == "PROCESSING",
            )
            .order_by(analyses.c.id)  # in one order for everybody who holds several
            .with_for_update()
        )
        return frozenset((await transaction.connection.execute(statement)).scalars())


async def _end_image_runs(
    transaction: Transaction, items: Sequence[Finished], now: datetime
) -> None:
    ended = (item.analysis for item in items if item.status is not AnalysisStatus.QUEUED)
    await end_image_runs(transaction, ended, now=now)
