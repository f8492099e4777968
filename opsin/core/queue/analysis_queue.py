"""The queue of analyses: claimed under leases, renewed, completed once, recovered when lost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.analysis_events import progress_event, status_event
from opsin.core.annotations import insert_annotations
from opsin.core.applications.completion import end_image_runs
from opsin.core.artifacts import Artifacts, with_storage_paths
from opsin.core.checked_annotations import CheckedAnnotations
from opsin.core.contract import Annotation, ProducedArtifact
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.clock import QueueClock
from opsin.core.queue.counts import QueueCounts
from opsin.core.records import Analysis, Image, columns_of, to_record
from opsin.core.similarity.embeddings import NewEmbedding, embedding_row
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import new_id
from opsin.storage.tables import analyses, images
from opsin.storage.vectors import insert_embeddings

_RECOVER_AT_ONCE = 1000
_FEW_SUSPECTS = 16
_MOST_IN_COMPANY = 2
"""Workers that may be lost before an analysis is tried alone."""
# Written as the indexes of the queue and of leases say it: PostgreSQL finds no `IS FALSE` in them.
_OURS = ~analyses.c.external
_SUSPECTED = text("suspicion > 0")


@dataclass(frozen=True, slots=True)
class Claim:
    """Analyses that one worker may run until the lease ends, with their images."""

    lease_id: str
    analyses: tuple[Analysis, ...]
    images: Mapping[str, Image]


@dataclass(frozen=True, slots=True)
class Finished:
    """How one analysis ended, or that it goes back into the queue (QUEUED)."""

    analysis: Analysis
    status: AnalysisStatus
    result_type: str | None = None
    result: dict[str, Any] | None = None
    provenance: dict[str, Any] | None = None
    annotations: Sequence[Annotation] = field(default_factory=tuple)
    artifacts: Sequence[ProducedArtifact] = field(default_factory=tuple)
    embedding: NewEmbedding | None = None
    result_key: str | None = None
    """By which later askers find the result; None when they must not."""
    error_code: str | None = None
    error_message: str | None = None
    retry_after: timedelta = timedelta(0)
    count_attempt: bool = True


class AnalysisQueue:
    """What a worker may do with the queue; every call is one transaction."""

    def __init__(
        self, database: Database, artifacts: Artifacts, *, lease: timedelta, max_attempts: int
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._lease = lease
        self._max_attempts = max_attempts
        self._clock = QueueClock(database)
        self.counts = QueueCounts()

    async def claim(self, most: int) -> Claim:
        """Take up to `most` queued analyses, most urgent first, then oldest.

        And what else the same runs ask of the same images: it shares their picture and its regions.
        Suspects are left where they are, see `claim_suspects`.
        """
        return await self._claim(analyses.c.suspicion == 0, most, with_runs=True)

    async def claim_suspects(self) -> Claim:
        """Take analyses that a lost worker had in hand: a few together, then each alone.

        So that one which ends its worker is told from those that were only beside it.  For a
        caller with nothing else in hand.
        """
        claim = await self._claim(analyses.c.suspicion == 1, _FEW_SUSPECTS)
        return claim if claim.analyses else await self._claim(analyses.c.suspicion > 1, 1)

    async def has_suspects(self) -> bool:
        """Whether `claim_suspects` would find something."""
        return await self._any(
            select(analyses.c.id).where(
                _OURS,
                _SUSPECTED,
                analyses.c.status == "QUEUED",
                _due(await self._clock.now()),
            )
        )

    async def _claim(
        self, of_these: ColumnElement[bool], most: int, *, with_runs: bool = False
    ) -> Claim:
        now = await self._clock.now()
        lease_id = new_id()
        waiting = (
            select(analyses.c.id)
            .where(_OURS, of_these, analyses.c.status == "QUEUED", _due(now))
            .order_by(analyses.c.priority.desc(), analyses.c.id)
            .limit(most)
        )
        if not await self._any(waiting):
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
        self._count_claim(claimed, now)
        return Claim(lease_id, tuple(claimed), found)

    async def renew(self, lease_id: str) -> frozenset[str]:
        """Hold the lease longer; gives the analyses still held (others were cancelled or lost)."""
        mine = (
            select(analyses.c.id)
            .where(_OURS, analyses.c.status == "PROCESSING", analyses.c.lease_id == lease_id)
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
            kept = [self._bounded(item) for item in finished if item.analysis.id in held]
            self.counts.dropped += len(finished) - len(kept)
            if not kept:
                return 0
            await transaction.connection.execute(_FINISH, [_columns(item, now) for item in kept])
            await insert_annotations(transaction.connection, [_annotations(i) for i in kept])
            await insert_embeddings(
                transaction.connection,
                [embedding_row(i.analysis, i.embedding) for i in kept if i.embedding],
            )
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
                _OURS,
                analyses.c.status == "PROCESSING",
                analyses.c.lease_until < now,
                analyses.c.lease_id.not_in(holding),
            )
            .limit(_RECOVER_AT_ONCE)
        )
        if not await self._any(lost):
            return 0
        async with self._database.write() as transaction:
            rows = await transaction.connection.execute(lost.with_for_update(skip_locked=True))
            finished = [
                self._lost(
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
                await transaction.connection.execute(_FINISH, [_columns(i, now) for i in finished])
                for item in finished:
                    transaction.emit(
                        status_event(item.analysis, item.status, {"reason": item.error_code})
                    )
                await _end_image_runs(transaction, finished, now)
        self.counts.recovered += len(finished)
        return len(finished)

    def _count_claim(self, claimed: Sequence[Analysis], now: datetime) -> None:
        if not claimed:
            return
        self.counts.claims += 1
        self.counts.claimed += len(claimed)
        for analysis in claimed:
            if analysis.attempts == 1:
                waited = (now - analysis.created_at).total_seconds()
                self.counts.waited.add(max(0.0, waited))

    async def _any(self, statement: Select[Any]) -> bool:
        """A look without the write lock, so that an idle worker disturbs nobody."""
        async with self._database.read() as connection:
            return (await connection.execute(statement.limit(1))).first() is not None

    async def _held(
        self, transaction: Transaction, lease_id: str, ids: Sequence[str]
    ) -> frozenset[str]:
        condition: ColumnElement[bool] = analyses.c.lease_id == lease_id
        statement = (
            select(analyses.c.id)
            .where(analyses.c.id.in_(ids), condition, analyses.c.status == "PROCESSING")
            .order_by(analyses.c.id)  # in one order for everybody who holds several
            .with_for_update()
        )
        return frozenset((await transaction.connection.execute(statement)).scalars())

    def _bounded(self, item: Finished) -> Finished:
        """A retry beyond the last attempt becomes a failure with the last reason."""
        if item.status is not AnalysisStatus.QUEUED or not item.count_attempt:
            return item
        # Workers that were lost say nothing about it, until one is lost that had nothing else.
        excused = min(item.analysis.suspicion, _MOST_IN_COMPANY)
        if item.analysis.attempts - excused < self._max_attempts:
            return item
        return self._given_up(item)

    def _lost(self, item: Finished) -> Finished:
        """Given up only when it was alone, and as often as others are tried."""
        times = item.analysis.suspicion + 1
        if times <= max(_MOST_IN_COMPANY, self._max_attempts - 1):
            return item
        return self._given_up(item)

    def _given_up(self, item: Finished) -> Finished:
        attempts = item.analysis.attempts
        return Finished(
            item.analysis,
            AnalysisStatus.FAILED,
            provenance=item.provenance,
            error_code=item.error_code,
            error_message=f"Given up after {attempts} attempts: {item.error_message}",
        )


_FINISH = (
    update(analyses)
    .where(analyses.c.id == bindparam("key"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "status",
                "attempts",
                "result_type",
                "result",
                "result_key",
                "provenance",
                "error_code",
                "error_message",
                "available_at",
                "completed_at",
                "updated_at",
                "lease_id",
                "lease_until",
            )
        }
    )
)


def _due(now: datetime) -> ColumnElement[bool]:
    """Whether it may be claimed; what was never put back may, whatever its asker's clock said."""
    waits = analyses.c.available_at
    return or_(waits <= now, waits <= analyses.c.created_at)


def _annotations(item: Finished) -> tuple[Analysis, CheckedAnnotations]:
    found = with_storage_paths(item.analysis.id, item.annotations, item.artifacts)
    return item.analysis, CheckedAnnotations.of(found)


def _columns(item: Finished, now: datetime) -> dict[str, Any]:
    requeued = item.status is AnalysisStatus.QUEUED
    return {
        "key": item.analysis.id,
        "new_status": item.status.value,
        "new_attempts": item.analysis.attempts - (0 if item.count_attempt else 1),
        "new_result_type": item.result_type,
        "new_result": item.result,
        "new_result_key": item.result_key,
        "new_provenance": item.provenance,
        "new_error_code": None if requeued else item.error_code,
        "new_error_message": None if requeued else item.error_message,
        "new_available_at": now + item.retry_after,
        "new_completed_at": None if requeued else now,
        "new_updated_at": now,
        "new_lease_id": None,
        "new_lease_until": None,
    }


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
            _OURS,
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


async def _end_image_runs(
    transaction: Transaction, items: Sequence[Finished], now: datetime
) -> None:
    ended = (item.analysis for item in items if item.status is not AnalysisStatus.QUEUED)
    await end_image_runs(transaction, ended, now=now)


async def _images(connection: AsyncConnection, ids: set[str]) -> dict[str, Image]:
    statement = select(*columns_of(images, Image)).where(images.c.id.in_(ids))
    return {row[0]: to_record(Image, row) for row in await connection.execute(statement)}
