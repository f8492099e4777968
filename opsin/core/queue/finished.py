"""What is written when analyses end: the rows of what was found, or that they are tried again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.annotations import insert_annotations
from opsin.core.artifacts import with_storage_paths
from opsin.core.checked_annotations import CheckedAnnotations
from opsin.core.contract import Annotation, ProducedArtifact
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis
from opsin.core.similarity.embeddings import NewEmbedding, embedding_row
from opsin.storage.tables import analyses
from opsin.storage.vectors import insert_embeddings

_MOST_IN_COMPANY = 2
"""Workers that may be lost before an analysis is tried alone."""


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


@dataclass(frozen=True, slots=True)
class Tries:
    """How often an analysis is tried before it has failed."""

    most: int

    def bounded(self, item: Finished) -> Finished:
        """A retry beyond the last attempt becomes a failure with the last reason."""
        if item.status is not AnalysisStatus.QUEUED or not item.count_attempt:
            return item
        # Workers that were lost say nothing about it, until one is lost that had nothing else.
        excused = min(item.analysis.suspicion, _MOST_IN_COMPANY)
        if item.analysis.attempts - excused < self.most:
            return item
        return _given_up(item)

    def lost(self, item: Finished) -> Finished:
        """Given up only when it was alone, and as often as others are tried."""
        times = item.analysis.suspicion + 1
        if times <= max(_MOST_IN_COMPANY, self.most - 1):
            return item
        return _given_up(item)


def _given_up(item: Finished) -> Finished:
    attempts = item.analysis.attempts
    return Finished(
        item.analysis,
        AnalysisStatus.FAILED,
        provenance=item.provenance,
        error_code=item.error_code,
        error_message=f"Given up after {attempts} attempts: {item.error_message}",
    )


async def write_finished(
    connection: AsyncConnection, items: Sequence[Finished], now: datetime
) -> None:
    """Write statuses with results and what belongs to them, in the connection's transaction."""
    await write_statuses(connection, items, now)
    await insert_annotations(connection, [_annotations(item) for item in items])
    await insert_embeddings(
        connection,
        [embedding_row(item.analysis, item.embedding) for item in items if item.embedding],
    )


async def write_statuses(
    connection: AsyncConnection, items: Sequence[Finished], now: datetime
) -> None:
    """The same without annotations and embeddings, of which a lost worker leaves none."""
    await connection.execute(_FINISH, [_columns(item, now) for item in items])


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
