"""What a run asks of an image: written where the image is, or for images that were there before."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, insert, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import tracing
from opsin.core.analyses import task_columns
from opsin.core.analysis_events import status_event
from opsin.core.applications.completion import end_image_runs
from opsin.core.applications.declared import DeclaredApplications
from opsin.core.applications.records import Run, steps_of
from opsin.core.applications.steps import in_order, missing_prerequisites
from opsin.core.contract import Step
from opsin.core.engine import make_task
from opsin.core.errors import OpsinError
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.plugin_host import PluginHost
from opsin.core.records import Analysis, columns_of, from_values, to_record
from opsin.storage.applications import application_runs, applications, image_runs
from opsin.storage.database import Transaction
from opsin.storage.ids import new_ids
from opsin.storage.tables import analyses

LIVE_PRIORITY = 0
BACKFILL_PRIORITY = -10
"""Below whatever is asked without a priority, so that what comes now never waits for it."""
MISSING_PREREQUISITE = "MISSING_PREREQUISITE"
_AT_ONCE = 1000
_NO_VERSION = "unknown"


@dataclass(frozen=True, slots=True)
class DefinedRun:
    """A run with the steps of its application; None where this process does not know it."""

    run: Run
    steps: tuple[Step, ...] | None


class Scheduling:
    """Writes analyses of runs, in the transaction of whoever stores their images."""

    def __init__(self, host: PluginHost, declared: DeclaredApplications) -> None:
        self._host = host
        self._declared = declared

    async def arrived(self, transaction: Transaction, stored: Sequence[Mapping[str, Any]]) -> None:
        """Ask what the runs of a dataset do with new images of it, whose rows are written.

        Their rows come first: on PostgreSQL they hold the dataset against those who attach an
        application to it, so that each image is either there when that begins, or sees the run.
        """
        if not stored:
            return
        wanted = (
            defined_runs()
            .where(
                application_runs.c.dataset_id == stored[0]["dataset_id"],
                application_runs.c.is_enabled,
            )
            # In one order for everybody: those that are postponed are held until the commit.
            .order_by(application_runs.c.id)
        )
        rows = (await transaction.connection.execute(wanted)).all()
        for defined in map(self.defined, rows):
            if defined.steps is None:
                await _postpone(transaction.connection, defined.run, stored)
            else:
                await self.ask(transaction, defined, defined.run.steps, stored, is_live=True)

    async def ask(
        self,
        transaction: Transaction,
        defined: DefinedRun,
        enabled: Sequence[str],
        stored: Sequence[Mapping[str, Any]],
        *,
        is_live: bool,
    ) -> int:
        """Queue the enabled steps for each image of the dataset that the run has not had yet.

        `stored` are the images' ids and companies; gives how many images are new to the run.
        """
        run, now = defined.run, datetime.now(UTC)
        planned = self._planned(defined.steps or (), enabled)
        own = await _claim(transaction.connection, run, stored, now, is_live) if planned else ()
        if not own:
            return 0
        priority = LIVE_PRIORITY if is_live else BACKFILL_PRIORITY
        traced_at = tracing.place()
        rows = [
            {
                "company_id": run.company_id,
                "dataset_id": run.dataset_id,
                "image_id": image_id,
                "run_id": run.id,
                "external": False,
                "priority": priority,
                "reuse": True,
                "requested_by": run.created_by,
                "attempts": 0,
                "traceparent": traced_at,
                "available_at": now,
                "created_at": now,
                "updated_at": now,
                **columns,
                "completed_at": now if columns["status"] == AnalysisStatus.FAILED.value else None,
            }
            for image_id in own
            for columns in planned
        ]
        for row, identity in zip(rows, new_ids(len(rows)), strict=True):
            row["id"] = identity
        await transaction.connection.execute(insert(analyses), rows)
        made = [from_values(Analysis, row) for row in rows]
        for analysis in made:
            transaction.emit(status_event(analysis, analysis.status))
        if all(analysis.status.is_final for analysis in made):
            await end_image_runs(transaction, made, now=now)
        return len(own)

    def defined(self, row: Row[Any]) -> DefinedRun:
        """The run of a row of `defined_runs`."""
        run = to_record(Run, row)
        declared = self._declared.find(run.application_id)
        if declared is not None:
            return DefinedRun(run, declared.steps)
        return DefinedRun(run, None if row[-1] is None else steps_of(row[-1]))

    def is_known(self) -> ColumnElement[bool]:
        """Whether a row of `defined_runs` has an application that this process knows."""
        declared = [one.id for one in self._declared.all()]
        return or_(application_runs.c.application_id.in_(declared), applications.c.id.is_not(None))

    def _planned(self, steps: Sequence[Step], enabled: Sequence[str]) -> list[dict[str, Any]]:
        """What the analyses of one image say, those first that others require."""
        missing = missing_prerequisites(steps, enabled)
        return [
            self._columns(step, missing.get(step.key))
            for step in in_order(steps)
            if step.key in enabled
        ]

    def _columns(self, step: Step, missing: str | None) -> dict[str, Any]:
        columns: dict[str, Any] = {
            "status": AnalysisStatus.QUEUED.value,
            "error_code": None,
            "error_message": None,
        }
        try:
            columns |= task_columns(make_task(self._host, step.key, step.operation, step.params))
        except OpsinError as error:  # of a plugin that is gone, or has changed
            columns |= {
                "operation": step.operation,
                "operation_version": None,
                "task_id": step.key,
                "model_name": step.operation,
                "model_version": _NO_VERSION,
                "parameters": dict(step.params),
                **_failed(error.code, error.message),
            }
        if missing is not None:
            why = f"The step {missing!r}, which it requires, is not enabled"
            columns |= _failed(MISSING_PREREQUISITE, why)
        return columns


def defined_runs() -> Select[Any]:
    """Runs with the steps of those applications that are rows."""
    return select(*columns_of(application_runs, Run), applications.c.steps).outerjoin(
        applications, applications.c.id == application_runs.c.application_id
    )


def _failed(code: str, message: str) -> dict[str, Any]:
    return {
        "status": AnalysisStatus.FAILED.value,
        "error_code": code,
        "error_message": message,
    }


async def _claim(
    connection: AsyncConnection,
    run: Run,
    stored: Sequence[Mapping[str, Any]],
    now: datetime,
    is_live: bool,
) -> list[str]:
    """The images that the run has not had, which are its own from now on, in the given order."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    rows = [
        {
            "image_id": image["id"],
            "run_id": run.id,
            "company_id": run.company_id,
            "is_live": is_live,
            "created_at": now,
            "completed_at": None,
        }
        for image in stored
    ]
    own: set[str] = set()
    for begin in range(0, len(rows), _AT_ONCE):
        made = dialect.insert(image_runs).values(rows[begin : begin + _AT_ONCE])
        kept = made.on_conflict_do_nothing().returning(image_runs.c.image_id)
        own.update((await connection.execute(kept)).scalars())
    return [image["id"] for image in stored if image["id"] in own]


async def _postpone(
    connection: AsyncConnection, run: Run, stored: Sequence[Mapping[str, Any]]
) -> None:
    """Leave the images to a process that knows the application, today or when it is back."""
    ids = sorted(image["id"] for image in stored)
    until, after = application_runs.c.backfill_until, application_runs.c.backfill_after
    last = literal(ids[-1], until.type)
    before = literal(str(uuid.UUID(int=uuid.UUID(ids[0]).int - 1)), after.type)
    await connection.execute(
        update(application_runs)
        .where(application_runs.c.id == run.id)
        .values(
            backfill_until=case((or_(until.is_(None), until < last), last), else_=until),
            backfill_after=case((or_(until.is_(None), after > before), before), else_=after),
        )
    )
