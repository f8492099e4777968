"""What datasets keep no longer: each rule of a dataset, and the images that it is due for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.deletion_log import DeletionAction
from opsin.core.file_removal import Reason
from opsin.core.result_removal import COMPUTED
from opsin.core.soft_deletion import not_deleted
from opsin.storage.applications import image_runs
from opsin.storage.tables import analyses, datasets, images

_ACTOR = "retention"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a dataset does not keep: for so many days, or when its runs are done."""

    dataset_id: str
    action: DeletionAction
    days: int | None = None

    @property
    def reason(self) -> Reason:
        match self.action:
            case DeletionAction.EXPIRE_FILE:
                text = f"the dataset keeps files for {self.days} days"
            case DeletionAction.EXPIRE_RESULTS:
                text = f"the dataset keeps results for {self.days} days"
            case _:
                text = "the dataset keeps files until every run is done with them"
        return Reason(self.action, _ACTOR, text)

    def due(self, now: datetime) -> list[ColumnElement[bool]]:
        """What images meet that it is due for at `now`, while the dataset still has the rule."""
        mine = [images.c.dataset_id == self.dataset_id, self._stands()]
        match self.action:
            case DeletionAction.EXPIRE_FILE:
                return [*mine, *self._aged(now), images.c.storage_deleted.is_(False), ~_is_used()]
            case DeletionAction.EXPIRE_RESULTS:
                return [*mine, *self._aged(now), _has_results(), ~_is_used()]
            case _:
                return [*mine, *self.done(), ~_is_wanted()]

    def done(self) -> list[ColumnElement[bool]]:
        """Of a file that goes when it is ready: the runs that its image came for have ended."""
        live = select(1).where(image_runs.c.image_id == images.c.id, image_runs.c.is_live.is_(True))
        return [
            images.c.dataset_id == self.dataset_id,
            images.c.storage_deleted.is_(False),
            live.correlate(images).exists(),
            ~live.where(image_runs.c.completed_at.is_(None)).correlate(images).exists(),
        ]

    def _aged(self, now: datetime) -> list[ColumnElement[bool]]:
        return [images.c.created_at <= now - timedelta(days=self.days or 0)]

    def _stands(self) -> ColumnElement[bool]:
        held: ColumnElement[bool]
        match self.action:
            case DeletionAction.EXPIRE_FILE:
                held = datasets.c.expire_files_after_days == self.days
            case DeletionAction.EXPIRE_RESULTS:
                held = datasets.c.expire_results_after_days == self.days
            case _:
                held = datasets.c.delete_files_when_ready.is_(True)
        one = select(1).where(datasets.c.id == self.dataset_id, held, *not_deleted(datasets))
        return one.exists()


async def read_rules(
    connection: AsyncConnection, dataset_ids: Sequence[str] | None = None
) -> list[Rule]:
    """The rules of these datasets, or of all."""
    files, results = datasets.c.expire_files_after_days, datasets.c.expire_results_after_days
    ready = datasets.c.delete_files_when_ready
    statement = (
        select(datasets.c.id, files, results, ready)
        .where(files.is_not(None) | results.is_not(None) | ready, *not_deleted(datasets))
        .order_by(datasets.c.id)
    )
    if dataset_ids is not None:
        statement = statement.where(datasets.c.id.in_(dataset_ids))
    rules: list[Rule] = []
    for row in await connection.execute(statement):
        if row.delete_files_when_ready:
            rules.append(Rule(row.id, DeletionAction.FILE_WHEN_READY))
        if row.expire_files_after_days is not None:
            days = row.expire_files_after_days
            rules.append(Rule(row.id, DeletionAction.EXPIRE_FILE, days))
        if row.expire_results_after_days is not None:
            days = row.expire_results_after_days
            rules.append(Rule(row.id, DeletionAction.EXPIRE_RESULTS, days))
    return rules


def _has_results() -> ColumnElement[bool]:
    return select(1).where(analyses.c.image_id == images.c.id, COMPUTED).correlate(images).exists()


def _is_used() -> ColumnElement[bool]:
    """A worker is at work on it at this moment; it is let end, or lose its lease."""
    return (
        select(1)
        .where(
            analyses.c.image_id == images.c.id,
            ~analyses.c.external,
            analyses.c.status == "PROCESSING",
            # By the real time, as workers hold their leases, whatever is due at another.
            analyses.c.lease_until > datetime.now(UTC),
        )
        .correlate(images)
        .exists()
    )


def _is_wanted() -> ColumnElement[bool]:
    """Something else was asked of it, and has not ended."""
    return (
        select(analyses.c.id)
        .where(
            analyses.c.image_id == images.c.id,
            ~analyses.c.external,
            analyses.c.status.in_(["QUEUED", "PROCESSING"]),
        )
        .correlate(images)
        .limit(1)
        # Looked up for each image: as EXISTS, PostgreSQL goes through all analyses for each page.
        .scalar_subquery()
        .is_not(None)
    )
