"""Named sets of operations: declared in code for everybody, or made by a company for itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.applications.declared import DeclaredApplications
from opsin.core.applications.records import (
    ApplicationInfo,
    StoredApplication,
    stored_steps,
)
from opsin.core.applications.steps import problem_of
from opsin.core.availability import Availability
from opsin.core.capture import image_type
from opsin.core.changes import UNCHANGED, Unchanged
from opsin.core.contract import Application, Step
from opsin.core.datasets import require_text
from opsin.core.engine import make_task
from opsin.core.errors import Conflict, InvalidInput, LimitReached, NotFound, OpsinError
from opsin.core.plugin_host import PluginHost
from opsin.core.records import columns_of, from_values, to_record
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.storable import check_json
from opsin.storage.applications import application_runs, applications
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import datasets

MOST_APPLICATIONS = 1000
"""That one company may make."""


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of stored applications to the caller's own."""
    return [within(principal, applications)]


@dataclass(frozen=True, slots=True)
class NewApplication:
    """A company's own; the title is the name where none is given."""

    name: str
    steps: Sequence[Step]
    title: str = ""
    description: str = ""
    image_type: str | None = None


@dataclass(frozen=True, slots=True)
class ApplicationChanges:
    """What is to be different; None leaves it as it is, but for the image type."""

    name: str | None = None
    steps: Sequence[Step] | None = None
    title: str | None = None
    description: str | None = None
    image_type: str | Unchanged | None = UNCHANGED


class Applications:
    """Lists those that a caller may attach, and keeps the company's own."""

    def __init__(
        self,
        database: Database,
        host: PluginHost,
        declared: DeclaredApplications,
        availability: Availability,
    ) -> None:
        self._database = database
        self._host = host
        self._declared = declared
        self._availability = availability

    def declare(self, application: Application) -> None:
        """Add one of a door, for every company, while the server is put together."""
        self._declared.declare(application)

    @property
    def declared(self) -> tuple[ApplicationInfo, ...]:
        """Those that every company sees."""
        return tuple(ApplicationInfo.of(one) for one in self._declared.all())

    def declared_one(self, application_id: str) -> ApplicationInfo | None:
        """The one of those with this id."""
        found = self._declared.find(application_id)
        return None if found is None else ApplicationInfo.of(found)

    def unavailable_reason(self, step: Step) -> str | None:
        """Why the step cannot be done here now, and what to do; None when it can."""
        try:
            task = make_task(self._host, step.key, step.operation, step.params)
        except OpsinError as error:
            return error.message
        return self._availability.reason(task.operation, task.target)

    async def listed(self, principal: Principal) -> list[ApplicationInfo]:
        """All that the caller may attach: the declared ones, then the company's, oldest first."""
        statement = (
            select(*columns_of(applications, StoredApplication))
            .where(*visible(principal))
            .order_by(applications.c.id)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(statement)
            own = [to_record(StoredApplication, row).info for row in rows]
        return [*self.declared, *own]

    async def find(self, principal: Principal, application_id: str) -> ApplicationInfo | None:
        return (await self.find_many(principal, [application_id])).get(
            canonical_id(application_id) or ""
        )

    async def find_many(
        self, principal: Principal, ids: Sequence[str]
    ) -> dict[str, ApplicationInfo]:
        """Those of the applications that the caller may see, by id."""
        wanted = {one for one in map(canonical_id, ids) if one is not None}
        found = {
            one: ApplicationInfo.of(declared)
            for one in wanted
            if (declared := self._declared.find(one)) is not None
        }
        if missing := wanted - found.keys():
            statement = select(*columns_of(applications, StoredApplication)).where(
                applications.c.id.in_(missing), *visible(principal)
            )
            async with self._database.read() as connection:
                rows = await connection.execute(statement)
                found |= {row[0]: to_record(StoredApplication, row).info for row in rows}
        return found

    async def require(
        self, connection: AsyncConnection, principal: Principal, application_id: str
    ) -> ApplicationInfo:
        """The application, which nobody deletes before the transaction ends; NotFound."""
        identity = canonical_id(application_id) or ""
        declared = self._declared.find(identity)
        if declared is not None:
            return ApplicationInfo.of(declared)
        return (await _held(connection, principal, identity, read=True)).info

    async def create(self, principal: Principal, new: NewApplication) -> ApplicationInfo:
        """A new one; Conflict when its name is taken, InvalidInput for steps that cannot be."""
        principal.require(Permission.ADMIN)
        now = datetime.now(UTC)
        name = require_text(new.name, "name", 255)
        values = {
            "id": new_id(),
            "company_id": principal.company_id,
            "name": self._free_name(name),
            "title": require_text(new.title or name, "title", 255),
            "description": require_text(new.description, "description", 10_000, least=0),
            "image_type": _image_type(new.image_type),
            "steps": self._checked(new.steps),
            "created_by": principal.account_id,
            "created_at": now,
            "updated_at": now,
        }
        try:
            async with self._database.write() as transaction:
                connection = transaction.connection
                count = select(func.count()).select_from(applications).where(*visible(principal))
                if (await connection.execute(count)).scalar_one() >= MOST_APPLICATIONS:
                    raise LimitReached(f"A company has at most {MOST_APPLICATIONS} applications")
                await connection.execute(insert(applications).values(values))
                subject = ("application", str(values["id"]))
                audit.note(transaction, principal, "application.create", subject, name=name)
        except IntegrityError:
            raise _taken(name) from None
        return from_values(StoredApplication, values).info

    async def update(
        self, principal: Principal, application_id: str, changes: ApplicationChanges
    ) -> ApplicationInfo:
        """Change a company's own; images to come are analysed by what it is then.

        Runs keep their enabled steps: one that is new is enabled where it is attached again.
        """
        values: dict[str, Any] = {"updated_at": datetime.now(UTC)}
        if changes.name is not None:
            values["name"] = self._free_name(require_text(changes.name, "name", 255))
        if changes.title is not None:
            values["title"] = require_text(changes.title, "title", 255)
        if changes.description is not None:
            values["description"] = require_text(
                changes.description, "description", 10_000, least=0
            )
        if changes.image_type is not UNCHANGED:
            values["image_type"] = _image_type(changes.image_type)
        if changes.steps is not None:
            values["steps"] = self._checked(changes.steps)
        principal.require(Permission.ADMIN)
        try:
            async with self._database.write() as transaction:
                connection = transaction.connection
                held = await self._own(connection, principal, application_id)
                changed = sorted(values.keys() - {"updated_at"})
                subject = ("application", held.id)
                audit.note(transaction, principal, "application.update", subject, changed=changed)
                await connection.execute(
                    update(applications).where(applications.c.id == held.id).values(values)
                )
                return (await _held(connection, principal, held.id)).info
        except IntegrityError:
            raise _taken(changes.name or "") from None

    async def delete(self, principal: Principal, application_id: str) -> str:
        """Forget a company's own; Conflict while a dataset has it, results stay in any case."""
        async with self._database.write() as transaction:
            connection = transaction.connection
            held = await self._own(connection, principal, application_id)
            principal.require(Permission.ADMIN)
            subject = ("application", held.id)
            audit.note(transaction, principal, "application.delete", subject, name=held.name)
            gone = select(datasets.c.id).where(datasets.c.deleted_at.is_not(None))
            attached = select(application_runs.c.id).where(
                application_runs.c.dataset_id.not_in(gone),
                application_runs.c.company_id == principal.company_id,
                application_runs.c.application_id == held.id,
                application_runs.c.is_enabled,
            )
            if (await connection.execute(attached.limit(1))).first() is not None:
                raise Conflict("The application is attached to a dataset: detach it first")
            await connection.execute(delete(applications).where(applications.c.id == held.id))
        return held.id

    async def _own(
        self, connection: AsyncConnection, principal: Principal, application_id: str
    ) -> StoredApplication:
        if self._declared.find(canonical_id(application_id) or "") is not None:
            raise Conflict("This application is declared by the server and cannot be changed")
        return await _held(connection, principal, application_id)

    def _free_name(self, name: str) -> str:
        if self._declared.has_name(name):
            raise _taken(name)
        return name

    def _checked(self, steps: Sequence[Step]) -> list[dict[str, Any]]:
        """The steps as they are stored; InvalidInput says what about them cannot be."""
        problem = problem_of(steps)
        if problem is not None:
            raise InvalidInput(f"steps: {problem}")
        for step in steps:
            try:
                make_task(self._host, step.key, step.operation, step.params)
            except OpsinError as error:
                raise InvalidInput(f"step {step.key!r}: {error.message}") from None
            if not isinstance(step.params, Mapping):
                raise InvalidInput(f"step {step.key!r}: params should be an object")
            check_json(dict(step.params), f"step {step.key!r}: params")
        return stored_steps(tuple(steps))


async def _held(
    connection: AsyncConnection, principal: Principal, application_id: str, *, read: bool = False
) -> StoredApplication:
    """The company's own, held against who changes it: with `read` only against its deletion."""
    statement = (
        select(*columns_of(applications, StoredApplication))
        .where(applications.c.id == canonical_id(application_id), *visible(principal))
        .with_for_update(read=read, key_share=read)
    )
    row = (await connection.execute(statement)).first()
    if row is None:
        raise NotFound("Application not found")
    return to_record(StoredApplication, row)


def _image_type(name: str | None) -> str | None:
    return None if name is None else image_type(name).name


def _taken(name: str) -> Conflict:
    return Conflict(f"There is an application {name!r} already")
