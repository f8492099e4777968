"""Runs: applications attached to datasets, changed and detached."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.applications.applications import Applications
from opsin.core.applications.records import ApplicationInfo, ImageRun, Run, RunCounts
from opsin.core.datasets import require_dataset
from opsin.core.datasets import visible as visible_datasets
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.records import Dataset, columns_of, from_values, to_record
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.storage.applications import application_runs, image_runs
from opsin.storage.database import Database, Signal, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import datasets, images


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of runs to the caller's own, on datasets that are still there."""
    gone = select(datasets.c.id).where(datasets.c.deleted_at.is_not(None))
    return [
        within(principal, application_runs),
        application_runs.c.dataset_id.not_in(gone),
    ]


class Runs:
    """Attaches and detaches; a dataset has one run of an application, for ever."""

    def __init__(self, database: Database, applications: Applications) -> None:
        self._database = database
        self._applications = applications
        self.attached = Signal()
        """Fired when there are images to be asked for that were there before."""

    async def attach(
        self,
        principal: Principal,
        application_id: str,
        dataset_id: str,
        steps: Sequence[str] | None = None,
    ) -> Run:
        """Have a dataset's images analysed: those that come, and at first those that are there.

        `steps` are the keys of those to do, None for all.  Attached once more, the run is the same,
        and images to come are analysed by these steps.  NotFound for an application or a dataset
        that is not the caller's; InvalidInput for steps that the application does not have, and
        for a dataset of pictures that it is not for.
        """
        async with self._database.write() as transaction:
            connection = transaction.connection
            application = await self._applications.require(connection, principal, application_id)
            enabled = _chosen(application, steps)
            dataset = await _held_dataset(connection, principal, dataset_id)
            principal.require(Permission.ADMIN, dataset.id)
            if application.image_type not in (None, dataset.image_type or application.image_type):
                raise InvalidInput(
                    f"The application is for pictures of the type {application.image_type!r}, "
                    f"and the dataset has {dataset.image_type!r}"
                )
            earlier = await _of_pair(connection, dataset.id, application.id)
            if earlier is None:
                run = await _begin(transaction, principal, application, dataset, enabled)
            else:
                run = await _change(transaction, earlier, enabled, is_enabled=True)
            _note(transaction, principal, "attach", run)
        if run.backfill_until is not None:
            self.attached.fire()
        return run

    async def detach(self, principal: Principal, run_id: str) -> Run:
        """Analyse no more images; what has been asked goes on, and results stay."""
        async with self._database.write() as transaction:
            found = await _find(transaction.connection, principal, run_id, hold=True)
            if found is None:
                raise NotFound("Run not found")
            principal.require(Permission.ADMIN, found.dataset_id)
            _note(transaction, principal, "detach", found)
            return await _change(transaction, found, found.steps, is_enabled=False)

    async def find(self, principal: Principal, run_id: str) -> Run | None:
        async with self._database.read() as connection:
            return await _find(connection, principal, run_id)

    async def find_many(self, principal: Principal, ids: Collection[str]) -> dict[str, Run]:
        """Those of the runs that are the caller's, by id."""
        wanted = [one for one in map(canonical_id, ids) if one is not None]
        return {run.id: run for run in await self._read(principal, application_runs.c.id, wanted)}

    async def of_dataset(self, principal: Principal, dataset_id: str) -> list[Run]:
        """Its runs, oldest first, those that were detached as well."""
        identity = canonical_id(dataset_id)
        wanted = [] if identity is None else [identity]
        return await self._read(principal, application_runs.c.dataset_id, wanted)

    async def of_datasets(
        self, principal: Principal, dataset_ids: Collection[str]
    ) -> dict[str, list[Run]]:
        """The same of several."""
        wanted = [one for one in map(canonical_id, dataset_ids) if one is not None]
        found: dict[str, list[Run]] = {one: [] for one in wanted}
        for run in await self._read(principal, application_runs.c.dataset_id, wanted):
            found[run.dataset_id].append(run)
        return found

    async def of_application(self, principal: Principal, application_id: str) -> list[Run]:
        """The runs of an application on the company's datasets, oldest first."""
        identity = canonical_id(application_id)
        wanted = [] if identity is None else [identity]
        return await self._read(principal, application_runs.c.application_id, wanted)

    async def of_images(
        self, principal: Principal, image_ids: Collection[str]
    ) -> dict[str, list[ImageRun]]:
        """What runs do with each of the images, the oldest run first."""
        wanted = [one for one in map(canonical_id, image_ids) if one is not None]
        found: dict[str, list[ImageRun]] = {one: [] for one in wanted}
        statement = (
            select(*columns_of(image_runs, ImageRun))
            .where(
                image_runs.c.image_id.in_(wanted),
                within(principal, image_runs),
            )
            .order_by(image_runs.c.image_id, image_runs.c.run_id)
        )
        async with self._database.read() as connection:
            for row in await connection.execute(statement):
                found[row.image_id].append(to_record(ImageRun, row))
        return found

    async def counts(self, principal: Principal, run_ids: Collection[str]) -> dict[str, RunCounts]:
        """How many images each run has had, and has done with; takes time by their number."""
        wanted = [one for one in map(canonical_id, run_ids) if one is not None]
        statement = (
            select(image_runs.c.run_id, func.count(), func.count(image_runs.c.completed_at))
            .where(image_runs.c.run_id.in_(wanted), within(principal, image_runs))
            .group_by(image_runs.c.run_id)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(statement)
            found = {row[0]: RunCounts(row[1], row[2]) for row in rows}
        return {one: found.get(one, RunCounts()) for one in wanted}

    async def _read(
        self, principal: Principal, column: ColumnElement[Any], values: Sequence[str]
    ) -> list[Run]:
        statement = (
            select(*columns_of(application_runs, Run))
            .where(column.in_(values), *visible(principal))
            .order_by(application_runs.c.id)
        )
        async with self._database.read() as connection:
            return [to_record(Run, row) for row in await connection.execute(statement)]


def _chosen(application: ApplicationInfo, steps: Sequence[str] | None) -> list[str]:
    """The keys to enable, in the application's order, each once."""
    if steps is None:
        return list(application.keys)
    if unknown := sorted(set(steps).difference(application.keys)):
        raise InvalidInput(f"The application has no step {unknown[0][:60]!r}")
    if not steps:
        raise InvalidInput("At least one step is needed; to do none, detach the application")
    return [key for key in application.keys if key in set(steps)]


async def _held_dataset(
    connection: AsyncConnection, principal: Principal, dataset_id: str
) -> Dataset:
    """The dataset, into which nobody writes an image before the transaction ends.

    On PostgreSQL whoever inserts an image holds its dataset, so this waits for those under way.
    """
    held = select(datasets.c.id).where(
        datasets.c.id == canonical_id(dataset_id), *visible_datasets(principal)
    )
    await connection.execute(held.with_for_update())
    # Read behind the wait: meanwhile it may have been changed, or deleted.
    return await require_dataset(connection, principal, dataset_id)


async def _find(
    connection: AsyncConnection, principal: Principal, run_id: str, *, hold: bool = False
) -> Run | None:
    statement = select(*columns_of(application_runs, Run)).where(
        application_runs.c.id == canonical_id(run_id), *visible(principal)
    )
    if hold:
        statement = statement.with_for_update(key_share=True)
    row = (await connection.execute(statement)).first()
    return to_record(Run, row) if row is not None else None


async def _of_pair(connection: AsyncConnection, dataset_id: str, application_id: str) -> Run | None:
    statement = (
        select(*columns_of(application_runs, Run))
        .where(
            application_runs.c.dataset_id == dataset_id,
            application_runs.c.application_id == application_id,
        )
        .with_for_update(key_share=True)
    )
    row = (await connection.execute(statement)).first()
    return to_record(Run, row) if row is not None else None


async def _begin(
    transaction: Transaction,
    principal: Principal,
    application: ApplicationInfo,
    dataset: Dataset,
    enabled: list[str],
) -> Run:
    newest = (
        select(images.c.id)
        .where(images.c.dataset_id == dataset.id)
        .order_by(images.c.id.desc())
        .limit(1)
    )
    now = datetime.now(UTC)
    values = {
        "id": new_id(),
        "company_id": principal.company_id,
        "dataset_id": dataset.id,
        "application_id": application.id,
        "steps": enabled,
        "is_enabled": True,
        "created_by": principal.account_id,
        "created_at": now,
        "updated_at": now,
        "history": [],
        "backfill_until": (await transaction.connection.execute(newest)).scalar(),
    }
    await transaction.connection.execute(insert(application_runs).values(values))
    run = from_values(Run, values)
    transaction.emit(_event("run.created", run))
    return run


async def _change(
    transaction: Transaction, run: Run, enabled: list[str], *, is_enabled: bool
) -> Run:
    """The run after the change; the same when nothing is different."""
    if (run.steps, run.is_enabled) == (enabled, is_enabled):
        return run
    now = datetime.now(UTC)
    was = {"until": now.isoformat(), "steps": run.steps, "is_enabled": run.is_enabled}
    values: dict[str, Any] = {
        "steps": enabled,
        "is_enabled": is_enabled,
        "updated_at": now,
        "history": [*run.history, was],
    }
    if not is_enabled:
        values |= {"backfill_until": None, "backfill_after": None}
    statement = (
        update(application_runs)
        .where(application_runs.c.id == run.id)
        .values(values)
        .returning(*columns_of(application_runs, Run))
    )
    changed = to_record(Run, (await transaction.connection.execute(statement)).one())
    transaction.emit(_event("run.updated", changed))
    return changed


def _note(transaction: Transaction, principal: Principal, verb: str, run: Run) -> None:
    audit.note(
        transaction, principal, f"run.{verb}", ("run", run.id),
        dataset_id=run.dataset_id, application=run.application_id, steps=run.steps,
    )  # fmt: skip


def _event(kind: str, run: Run) -> NewEvent:
    return NewEvent(
        kind,
        run.company_id,
        dataset_id=run.dataset_id,
        data={"run_id": run.id, "application_id": run.application_id},
    )
