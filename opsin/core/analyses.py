"""Analyses: asked of Opsin or told from outside, followed through their life, listed and found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit, lifecycle, tracing
from opsin.core.access import Principal
from opsin.core.analysis_events import status_event as status_event
from opsin.core.answers.referring import require_no_references
from opsin.core.applications.completion import end_image_runs
from opsin.core.conditions import Condition, among, at_least, below, equal, has_id
from opsin.core.datasets import require_text
from opsin.core.engine import Task
from opsin.core.errors import Conflict, InvalidInput, NotFound, TooLarge
from opsin.core.external_analyses import NewExternalAnalysis as NewExternalAnalysis
from opsin.core.external_analyses import Step, Telling, write_steps, write_told
from opsin.core.images import require_image
from opsin.core.lifecycle import AnalysisStatus, Change
from opsin.core.once import Once
from opsin.core.pages import Listing
from opsin.core.records import Analysis, columns_of, from_values, to_record
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.storage.database import Database, Transaction
from opsin.storage.group_commit import GroupCommit
from opsin.storage.ids import canonical_id, new_ids
from opsin.storage.tables import analyses

LISTING = Listing(analyses, Analysis, parent="image_id")
PRIORITIES = range(-100, 101)


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of analyses to the caller's own."""
    return [within(principal, analyses)]


@dataclass(frozen=True, slots=True)
class AnalysisFilter:
    """Which analyses are wanted; None means any."""

    status: tuple[AnalysisStatus, ...] | None = None
    operation: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    dataset_id: str | None = None
    image_id: str | None = None
    run_id: str | None = None
    external: bool | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None

    def conditions(self) -> tuple[Condition, ...]:
        """An id that is none matches nothing."""
        status = None if self.status is None else [status.value for status in self.status]
        return (
            *among("status", status),
            *equal("operation", self.operation),
            *equal("model_name", self.model_name),
            *equal("model_version", self.model_version),
            *has_id("dataset_id", self.dataset_id),
            *has_id("image_id", self.image_id),
            *has_id("run_id", self.run_id),
            *equal("external", self.external),
            *at_least("created_at", self.created_from),
            *below("created_at", self.created_before),
        )


class Analyses:
    """Every change of an analysis, each committed together with its event."""

    def __init__(self, database: Database, *, max_tasks: int) -> None:
        self._database = database
        self._max_tasks = max_tasks
        self._told = GroupCommit(database, write_told)
        self._steps = GroupCommit(database, write_steps)

    async def ask(
        self, principal: Principal, image_id: str, tasks: Sequence[Task], *, priority: int = 0
    ) -> list[Analysis]:
        """Queue one analysis a task, in order; a worker runs them."""
        if not tasks:
            raise InvalidInput("At least one task is needed")
        if len(tasks) > self._max_tasks:
            raise TooLarge(f"At most {self._max_tasks} tasks may be asked at once")
        _check_priority(priority)
        async with self._database.write() as transaction:
            image = await require_image(transaction.connection, principal, image_id, keep=True)
            principal.require(Permission.ANALYZE, image.dataset_id)
            if not principal.may(Permission.READ):
                require_no_references(tasks)
            now, traced_at = datetime.now(UTC), tracing.place()
            rows = [
                {
                    "id": identity,
                    "company_id": principal.company_id,
                    "dataset_id": image.dataset_id,
                    "image_id": image.id,
                    "external": False,
                    **task_columns(task),
                    "status": AnalysisStatus.QUEUED.value,
                    "priority": priority,
                    "attempts": 0,
                    "traceparent": traced_at,
                    "available_at": now,
                    "created_at": now,
                    "updated_at": now,
                }
                for identity, task in zip(new_ids(len(tasks)), tasks, strict=True)
            ]
            await transaction.connection.execute(insert(analyses), rows)
            made = [from_values(Analysis, row) for row in rows]
            for analysis in made:
                transaction.emit(status_event(analysis, AnalysisStatus.QUEUED))
            audit.note(
                transaction, principal, "analysis.ask", ("image", image.id),
                dataset_id=image.dataset_id, analyses=[analysis.id for analysis in made],
                operations=sorted({task.operation.name for task in tasks}),
            )  # fmt: skip
        return made

    async def tell(
        self,
        principal: Principal,
        new: NewExternalAnalysis,
        *,
        most: int | None = None,
        once: Once | None = None,
    ) -> Analysis:
        """Record that a pipeline elsewhere begins to work on an image; starts as QUEUED.

        With `most`, an image that has so many analyses gets no other: LimitReached.  With `once`,
        raises Repeated with the id of the analysis if it was made before.
        """
        _check_priority(new.priority)
        model_name = require_text(new.model_name, "modelName", 255)
        model_version = require_text(new.model_version, "modelVersion", 100)
        checked = replace(new, model_name=model_name, model_version=model_version)
        return await self._told.add(Telling(principal, checked, most, once))

    async def update_status(
        self,
        principal: Principal,
        analysis_id: str,
        status: AnalysisStatus,
        error_message: str | None = None,
    ) -> Analysis:
        """Move an external analysis on; the status it has already changes nothing."""
        return await self._steps.add(Step(principal, analysis_id, status, error_message))

    async def finalize(
        self,
        principal: Principal,
        analysis_id: str,
        status: AnalysisStatus = AnalysisStatus.COMPLETED,
        *,
        error_message: str | None = None,
        summary: dict[str, Any] | None = None,
    ) -> Analysis:
        """End an external analysis, also one that was never said to be processing."""
        if not status.is_final:
            raise InvalidInput("An analysis is finalized as COMPLETED, FAILED or CANCELLED")
        return await self._steps.add(
            Step(principal, analysis_id, status, error_message, summary, finalize=True)
        )

    async def cancel(self, principal: Principal, analysis_id: str) -> Analysis:
        """Stop an analysis; a worker that is running it drops what it finds."""
        async with self._database.write() as transaction:
            analysis = await lock_analysis(transaction.connection, principal, analysis_id)
            principal.require(Permission.ANALYZE, analysis.dataset_id)
            change = lifecycle.step(
                analysis.status,
                AnalysisStatus.CANCELLED,
                now=datetime.now(UTC),
                started_at=analysis.started_at,
            )
            changed = await _apply(transaction, analysis, change, lease_id=None, lease_until=None)
            if change is not None:
                _note(transaction, principal, "cancel", analysis)
                await end_image_runs(transaction, [changed], now=changed.updated_at)
            return changed

    async def retry(self, principal: Principal, analysis_id: str) -> Analysis:
        """Queue a failed or cancelled analysis of ours again."""
        async with self._database.write() as transaction:
            analysis = await lock_analysis(transaction.connection, principal, analysis_id)
            principal.require(Permission.ANALYZE, analysis.dataset_id)
            if analysis.external:
                raise Conflict("An analysis that is run elsewhere is retried there")
            change = lifecycle.retry(analysis.status, now=datetime.now(UTC))
            _note(transaction, principal, "retry", analysis)
            return await _apply(transaction, analysis, change)

    async def find(self, principal: Principal, analysis_id: str) -> Analysis | None:
        async with self._database.read() as connection:
            return await _find(connection, principal, analysis_id)

    async def find_many(self, principal: Principal, ids: Sequence[str]) -> dict[str, Analysis]:
        """Those of the analyses that are the caller's, by id."""
        statement = select(*columns_of(analyses, Analysis)).where(
            analyses.c.id.in_(ids), *visible(principal)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(statement)
            return {row[0]: to_record(Analysis, row) for row in rows}


def task_columns(task: Task) -> dict[str, Any]:
    """What an analysis says of the task that it was made for."""
    return {
        "operation": task.operation.name,
        "operation_version": task.operation.version,
        "task_id": task.task_id,
        "model_name": task.operation.name,
        "model_version": task.operation.version,
        "parameters": task.params.model_dump(mode="json", exclude_none=True)
        | {"target": task.target.value},
        "reuse": task.reuse,
    }


async def lock_analysis(
    connection: AsyncConnection, principal: Principal, analysis_id: str
) -> Analysis:
    """The caller's analysis, held until the transaction ends; NotFound also for another's."""
    found = await _find(connection, principal, analysis_id, lock=True)
    if found is None:
        raise NotFound("Analysis not found")
    return found


async def _find(
    connection: AsyncConnection, principal: Principal, analysis_id: str, *, lock: bool = False
) -> Analysis | None:
    identity = canonical_id(analysis_id)
    if identity is None:
        return None
    statement = select(*columns_of(analyses, Analysis)).where(
        analyses.c.id == identity, *visible(principal)
    )
    row = (await connection.execute(statement.with_for_update() if lock else statement)).first()
    return to_record(Analysis, row) if row is not None else None


def _note(transaction: Transaction, principal: Principal, verb: str, analysis: Analysis) -> None:
    subject = ("analysis", analysis.id)
    audit.note(transaction, principal, f"analysis.{verb}", subject, dataset_id=analysis.dataset_id)


async def _apply(
    transaction: Transaction, analysis: Analysis, change: Change | None, **extra: Any
) -> Analysis:
    if change is None:
        return analysis
    statement = (
        update(analyses)
        .where(analyses.c.id == analysis.id)
        .values(**change.columns, **extra)
        .returning(*columns_of(analyses, Analysis))
    )
    row = (await transaction.connection.execute(statement)).one()
    changed = to_record(Analysis, row)
    transaction.emit(status_event(changed, change.status))
    return changed


def _check_priority(priority: int) -> None:
    if priority not in PRIORITIES:
        raise InvalidInput(f"priority must be from {PRIORITIES[0]} to {PRIORITIES[-1]}")
