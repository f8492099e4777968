"""Subjects: whom or what the pictures of a dataset show."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.blob_sweep import BlobSweep
from opsin.core.capture import sex as known_sex
from opsin.core.changes import UNCHANGED, Unchanged, named_changes
from opsin.core.conditions import contains, expressions
from opsin.core.datasets import require_dataset, require_text
from opsin.core.deletion_log import DeletionAction
from opsin.core.errors import InvalidInput, NotFound, TooLarge
from opsin.core.file_removal import AT_ONCE, FileRemoval, Reason
from opsin.core.offset_pages import BY_ID, Slice, read_slice
from opsin.core.pages import Listing, Order
from opsin.core.records import Subject, columns_of, from_values, to_record
from opsin.core.removal import Removal
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.soft_deletion import in_place, not_deleted
from opsin.core.storable import check_json
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import images, subjects

LISTING = Listing(subjects, Subject, parent="dataset_id")
MAX_SUBJECTS = 1000
"""Subjects that one request may name."""

_LONGEST_NAME = 512
# Those without a date of birth come first, on either database.
_ORDERS: dict[str, ColumnElement[Any]] = {
    "name": subjects.c.name,
    "created_at": subjects.c.created_at,
    "birth_date": func.coalesce(subjects.c.birth_date, date.min),
}


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of subjects to the caller's own, in datasets that are there."""
    return [within(principal, subjects), *not_deleted(subjects), *in_place(subjects)]


@dataclass(frozen=True, slots=True)
class NewSubject:
    """A subject that is yet to be stored; names need not be unique."""

    name: str
    birth_date: date | None = None
    sex: str | None = None
    """The name of one of `opsin.core.capture.SEXES`."""
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubjectChanges:
    """What is to be changed of a subject; None takes away what may be missing."""

    name: str | Unchanged = UNCHANGED
    birth_date: date | Unchanged | None = UNCHANGED
    sex: str | Unchanged | None = UNCHANGED
    attributes: dict[str, Any] | Unchanged = UNCHANGED


class Subjects:
    """Creates, finds, changes and deletes subjects."""

    def __init__(self, database: Database, sweep: BlobSweep) -> None:
        self._database = database
        self._removal = Removal(database, sweep)
        self._files = FileRemoval(database, sweep)

    async def create(self, principal: Principal, dataset_id: str, new: NewSubject) -> Subject:
        """A new subject of the caller's dataset."""
        checked = _checked(
            {
                "name": new.name,
                "birth_date": new.birth_date,
                "sex": new.sex,
                "attributes": new.attributes,
            }
        )
        now = datetime.now(UTC)
        async with self._database.write() as transaction:
            connection = transaction.connection
            dataset = await require_dataset(connection, principal, dataset_id, keep=True)
            principal.require(Permission.UPLOAD, dataset.id)
            values = {
                "id": new_id(),
                "company_id": dataset.company_id,
                "dataset_id": dataset.id,
                "created_at": now,
                "created_by": principal.account_id,
                "updated_at": now,
                **checked,
            }
            await connection.execute(insert(subjects).values(values))
            made = from_values(Subject, values)
            transaction.emit(subject_event("subject.created", made))
            subject = ("subject", made.id)
            audit.note(transaction, principal, "subject.create", subject, dataset_id=dataset.id)
        return made

    async def find(
        self, principal: Principal, dataset_id: str | None, subject_id: str
    ) -> Subject | None:
        """The caller's subject, of that dataset if one is named."""
        async with self._database.read() as connection:
            return await _find(connection, principal, dataset_id, subject_id)

    async def get(self, principal: Principal, dataset_id: str | None, subject_id: str) -> Subject:
        async with self._database.read() as connection:
            return await require_subject(connection, principal, dataset_id, subject_id)

    async def page(
        self,
        principal: Principal,
        dataset_id: str,
        *,
        skip: int = 0,
        limit: int = 100,
        text: str | None = None,
        order: Order = BY_ID,
    ) -> tuple[list[Subject], int]:
        """Some of a dataset's subjects, and how many there are.

        With `text` those whose name has it, in any case; by id, name, created_at or birth_date.
        """
        async with self._database.read() as connection:
            dataset = await require_dataset(connection, principal, dataset_id)
            conditions = [
                subjects.c.dataset_id == dataset.id,
                *not_deleted(subjects),
                *expressions(subjects, contains("name", text)),
            ]
            return await read_slice(
                connection, LISTING, conditions, Slice(skip, limit, order), _ORDERS
            )

    async def update(
        self,
        principal: Principal,
        dataset_id: str | None,
        subject_id: str,
        changes: SubjectChanges,
    ) -> Subject:
        """Change what is named; raises InvalidInput with nothing changed."""
        values = _checked(named_changes(changes))
        async with self._database.write() as transaction:
            before = await require_subject(
                transaction.connection, principal, dataset_id, subject_id, hold=True
            )
            principal.require(Permission.UPLOAD, before.dataset_id)
            changed = [name for name, value in values.items() if getattr(before, name) != value]
            if not changed:
                return before
            audit.note(
                transaction, principal, "subject.update", ("subject", before.id),
                dataset_id=before.dataset_id, changed=changed,
            )  # fmt: skip
            return await _change(transaction, before, values, changed)

    async def delete(
        self, principal: Principal, dataset_id: str, ids: Sequence[str]
    ) -> list[Subject]:
        """Delete subjects with their batches, images and results; from now on nobody finds them.

        All of them or, with NotFound, none.  What is theirs goes a part at a time, as a dataset's.
        """
        _check_count(ids)
        async with self._database.read() as connection:
            await require_dataset(connection, principal, dataset_id)
        return await self._removal.delete_subjects(principal, dataset_id, ids)

    async def delete_files(self, principal: Principal, dataset_id: str, ids: Sequence[str]) -> int:
        """Remove the files of all their images, hidden ones too; results stay.  How many images."""
        found = await self._all(principal, dataset_id, ids)
        principal.require(Permission.ADMIN, canonical_id(dataset_id))
        reason = Reason(
            DeletionAction.DELETE_FILE,
            principal.name,
            "the files of its subject were deleted",
            principal,
        )
        count, after = 0, None
        theirs = (
            select(images.c.id)
            .where(
                images.c.subject_id.in_([subject.id for subject in found]),
                images.c.storage_deleted.is_(False),
            )
            .order_by(images.c.id)
            .limit(AT_ONCE)
        )
        while True:
            more = theirs if after is None else theirs.where(images.c.id > after)
            async with self._database.read() as connection:
                some = list((await connection.execute(more)).scalars())
            if not some:
                return count
            count += len(await self._files.remove(some, reason))
            after = some[-1]

    async def clear(
        self, principal: Principal, dataset_id: str, ids: Sequence[str]
    ) -> list[Subject]:
        """Forget who they are: name, date of birth, sex and attributes; all else stays."""
        _check_count(ids)
        blank: dict[str, Any] = {"name": "", "birth_date": None, "sex": None, "attributes": {}}
        cleared: list[Subject] = []
        async with self._database.write() as transaction:
            for identity in sorted(set(ids)):
                subject = await require_subject(
                    transaction.connection, principal, dataset_id, identity, hold=True
                )
                principal.require(Permission.ADMIN, subject.dataset_id)
                cleared.append(await _change(transaction, subject, blank, list(blank)))
            names = [subject.id for subject in cleared]
            audit.note_many(
                transaction, principal, "subject.clear", "subject", names,
                dataset_id=canonical_id(dataset_id),
            )  # fmt: skip
        return cleared

    async def _all(
        self, principal: Principal, dataset_id: str, ids: Sequence[str]
    ) -> list[Subject]:
        """Those subjects of a dataset; NotFound unless each is there."""
        _check_count(ids)
        wanted = {canonical_id(identity) for identity in ids}
        async with self._database.read() as connection:
            dataset = await require_dataset(connection, principal, dataset_id)
            statement = (
                select(*columns_of(subjects, Subject))
                .where(
                    subjects.c.id.in_(wanted - {None}),
                    subjects.c.dataset_id == dataset.id,
                    *not_deleted(subjects),
                )
                .order_by(subjects.c.id)
            )
            found = [to_record(Subject, row) for row in await connection.execute(statement)]
        if len(found) < len(wanted):
            raise NotFound("Subject not found")
        return found


async def require_subject(
    connection: AsyncConnection,
    principal: Principal,
    dataset_id: str | None,
    subject_id: str,
    *,
    keep: bool = False,
    hold: bool = False,
) -> Subject:
    """The caller's subject, of that dataset if one is named; NotFound for every other.

    With `keep` nobody deletes it before the transaction ends, with `hold` nobody changes it either.
    """
    found = await _find(connection, principal, dataset_id, subject_id, keep=keep, hold=hold)
    if found is None:
        raise NotFound("Subject not found")
    return found


def subject_event(kind: str, subject: Subject, **data: Any) -> NewEvent:
    return NewEvent(
        kind,
        subject.company_id,
        dataset_id=subject.dataset_id,
        data={"subject_id": subject.id, **data},
    )


async def _find(
    connection: AsyncConnection,
    principal: Principal,
    dataset_id: str | None,
    subject_id: str,
    *,
    keep: bool = False,
    hold: bool = False,
) -> Subject | None:
    statement = select(*columns_of(subjects, Subject)).where(
        subjects.c.id == canonical_id(subject_id), *visible(principal)
    )
    if dataset_id is not None:
        statement = statement.where(subjects.c.dataset_id == canonical_id(dataset_id))
    if keep or hold:
        statement = statement.with_for_update(read=not hold, key_share=True, of=subjects)
    row = (await connection.execute(statement)).first()
    return None if row is None else to_record(Subject, row)


async def _change(
    transaction: Transaction, before: Subject, values: dict[str, Any], changed: list[str]
) -> Subject:
    statement = (
        update(subjects)
        .where(subjects.c.id == before.id)
        .values(**values, updated_at=datetime.now(UTC))
        .returning(*columns_of(subjects, Subject))
    )
    after = to_record(Subject, (await transaction.connection.execute(statement)).one())
    transaction.emit(subject_event("subject.updated", after, changed=changed))
    return after


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The values as they are stored; raises InvalidInput."""
    checked = dict(values)
    if "name" in values:
        checked["name"] = require_text(values["name"], "name", _LONGEST_NAME)
    if values.get("sex") is not None:
        checked["sex"] = known_sex(values["sex"]).name
    if values.get("birth_date") is not None and type(values["birth_date"]) is not date:
        raise InvalidInput("birth_date is a date without a time")
    if "attributes" in values:
        if not isinstance(values["attributes"], dict):
            raise InvalidInput("attributes must be an object")
        check_json(values["attributes"], "attributes")
    return checked


def _check_count(ids: Sequence[str]) -> None:
    if len(ids) > MAX_SUBJECTS:
        raise TooLarge(f"At most {MAX_SUBJECTS} subjects may be named at once")
