"""Datasets: the named sets of images of a company."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.blob_sweep import BlobSweep
from opsin.core.capture import image_type as known_image_type
from opsin.core.changes import UNCHANGED, Unchanged, named_changes
from opsin.core.conditions import contains, expressions
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.offset_pages import BY_ID, Slice, read_slice
from opsin.core.pages import Listing, Order
from opsin.core.records import Dataset, columns_of, from_values, to_record
from opsin.core.removal import Removal
from opsin.core.roles import Permission
from opsin.core.scope import within, within_any
from opsin.core.soft_deletion import not_deleted
from opsin.core.storable import is_storable_text
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import companies, datasets

LISTING = Listing(datasets, Dataset, parent="company_id")


_LONGEST_NAME = 512
_LONGEST_DESCRIPTION = 10_000
_DAYS = range(1, 366)
_NUMBERS = range(-(2**31), 2**31)
_ORDERS = {name: datasets.c[name] for name in ("name", "created_at", "updated_at")}


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of datasets to the caller's own."""
    return [within(principal, datasets), *not_deleted(datasets)]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long pictures and results are kept, in days since a picture came in; None for ever."""

    expire_files_after_days: int | None = None
    expire_results_after_days: int | None = None
    delete_files_when_ready: bool = False
    """Whether a picture's file goes when the runs that it came for are done with it."""

    def check(self) -> "RetentionPolicy":
        """Itself; raises InvalidInput for days that are not from 1 to 365."""
        for name in ("expire_files_after_days", "expire_results_after_days"):
            check_days(name, getattr(self, name))
        return self


@dataclass(frozen=True, slots=True)
class DatasetChanges:
    """What is to be changed of a dataset; None takes away what may be missing."""

    name: str | Unchanged = UNCHANGED
    description: str | Unchanged = UNCHANGED
    image_type: str | Unchanged | None = UNCHANGED
    expire_files_after_days: int | Unchanged | None = UNCHANGED
    expire_results_after_days: int | Unchanged | None = UNCHANGED
    delete_files_when_ready: bool | Unchanged = UNCHANGED
    branding: int | Unchanged | None = UNCHANGED


class Datasets:
    """Creates, finds, changes and deletes datasets."""

    def __init__(self, database: Database, sweep: BlobSweep) -> None:
        self._database = database
        self._removal = Removal(database, sweep)

    async def create(
        self,
        principal: Principal,
        name: str,
        description: str = "",
        *,
        group_name: str | None = None,
        image_type: str | None = None,
        retention: RetentionPolicy | None = None,
        branding: int | None = None,
    ) -> Dataset:
        """A new, empty dataset; names need not be unique."""
        principal.require(Permission.ADMIN)
        now = datetime.now(UTC)
        identity = new_id()
        values = {
            "id": identity,
            "company_id": principal.company_id,
            "created_at": now,
            "updated_at": now,
            "group_name": group_name,
            **asdict((retention or RetentionPolicy()).check()),
            **_checked(
                {
                    "name": name,
                    "description": description,
                    "image_type": image_type,
                    "branding": branding,
                }
            ),
        }
        async with self._database.write() as transaction:
            await transaction.connection.execute(insert(datasets).values(values))
            transaction.emit(NewEvent("dataset.created", principal.company_id, dataset_id=identity))
            made = from_values(Dataset, values)
            subject = ("dataset", made.id)
            audit.note(
                transaction, principal, "dataset.create", subject,
                dataset_id=made.id, name=made.name,
            )  # fmt: skip
        return made

    async def update(
        self, principal: Principal, dataset_id: str, changes: DatasetChanges
    ) -> Dataset:
        """Change what is named; new retention counts for the images that are there, too.

        Raises InvalidInput with nothing changed.  A type's sides and lights are asked of images
        that come from now on; those that are there keep theirs.
        """
        values = _checked(named_changes(changes))
        async with self._database.write() as transaction:
            connection = transaction.connection
            before = await require_dataset(connection, principal, dataset_id, hold=True)
            principal.require(Permission.ADMIN, before.id)
            changed = [name for name, value in values.items() if getattr(before, name) != value]
            if not changed:
                return before
            statement = (
                update(datasets)
                .where(datasets.c.id == before.id)
                .values(**values, updated_at=datetime.now(UTC))
                .returning(*columns_of(datasets, Dataset))
            )
            after = to_record(Dataset, (await connection.execute(statement)).one())
            transaction.emit(
                NewEvent(
                    "dataset.updated",
                    principal.company_id,
                    dataset_id=before.id,
                    data={"changed": changed},
                )
            )
            audit.note(
                transaction, principal, "dataset.update", ("dataset", before.id),
                dataset_id=before.id, changed=changed,
            )  # fmt: skip
        return after

    async def delete(self, principal: Principal, dataset_id: str) -> Dataset:
        """Delete a dataset with all that is in it; from now on nobody finds it.

        What is in it goes a part at a time; of a large one the last parts go after the answer.
        Nothing comes into it meanwhile.
        """
        return await self._removal.delete_dataset(principal, dataset_id)

    async def page(
        self,
        principal: Principal,
        *,
        skip: int = 0,
        limit: int = 100,
        text: str | None = None,
        order: Order = BY_ID,
    ) -> tuple[list[Dataset], int]:
        """Some of the caller's datasets, and how many there are.

        With `text` those whose name has it, in any case; by id, name, created_at or updated_at.
        """
        conditions = [*visible(principal), *expressions(datasets, contains("name", text))]
        async with self._database.read() as connection:
            return await read_slice(
                connection, LISTING, conditions, Slice(skip, limit, order), _ORDERS
            )

    async def listed(
        self, callers: Sequence[Principal], *, skip: int, limit: int
    ) -> Sequence[tuple[Dataset, str]]:
        """The datasets that a caller sees in some companies, oldest first, and the company's name.

        `callers` is the caller acting for each of them.
        """
        statement: Select[Any] = (
            select(*columns_of(datasets, Dataset), companies.c.name)
            .join(companies, companies.c.id == datasets.c.company_id)
            .where(within_any(callers, datasets), *not_deleted(datasets))
            .order_by(datasets.c.id)
            .offset(skip)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(statement)
            return [(to_record(Dataset, row), row[-1]) for row in rows]

    async def group_names(self, callers: Sequence[Principal]) -> Sequence[str]:
        """The groups that own datasets: the name of each one's company, or the group's own."""
        name = func.coalesce(datasets.c.group_name, companies.c.name)
        statement = (
            select(name)
            .join(companies, companies.c.id == datasets.c.company_id)
            .where(within_any(callers, datasets), *not_deleted(datasets))
            .distinct()
            .order_by(name)
        )
        async with self._database.read() as connection:
            return list((await connection.execute(statement)).scalars())

    async def find(self, principal: Principal, dataset_id: str) -> Dataset | None:
        async with self._database.read() as connection:
            return await _find(connection, principal, dataset_id)

    async def get(self, principal: Principal, dataset_id: str) -> Dataset:
        async with self._database.read() as connection:
            return await require_dataset(connection, principal, dataset_id)


async def require_dataset(
    connection: AsyncConnection,
    principal: Principal,
    dataset_id: str,
    *,
    keep: bool = False,
    hold: bool = False,
) -> Dataset:
    """The caller's dataset; NotFound also for another company's, and for a deleted one.

    With `keep` nobody deletes it before the transaction ends, with `hold` nobody changes it either.
    """
    found = await _find(connection, principal, dataset_id, keep=keep, hold=hold)
    if found is None:
        raise NotFound("Dataset not found")
    return found


def require_text(value: str, name: str, most: int, *, least: int = 1) -> str:
    """The text without blanks around it; InvalidInput when too short, too long or not storable."""
    value = value.strip()
    if not least <= len(value) <= most or not is_storable_text(value):
        raise InvalidInput(f"{name} must have {least} to {most} characters")
    return value


async def _find(
    connection: AsyncConnection,
    principal: Principal,
    dataset_id: str,
    *,
    keep: bool = False,
    hold: bool = False,
) -> Dataset | None:
    identity = canonical_id(dataset_id)
    if identity is None:
        return None
    statement = select(*columns_of(datasets, Dataset)).where(
        datasets.c.id == identity, *visible(principal)
    )
    if keep or hold:
        statement = statement.with_for_update(read=not hold, key_share=True)
    row = (await connection.execute(statement)).first()
    return to_record(Dataset, row) if row is not None else None


def check_days(name: str, days: object) -> None:
    """Raises InvalidInput for what is neither None nor from 1 to 365."""
    if days is not None and (type(days) is not int or days not in _DAYS):
        raise InvalidInput(f"{name} is a number of days from {_DAYS[0]} to {_DAYS[-1]}, or null")


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The values as they are stored; raises InvalidInput."""
    checked = dict(values)
    for name, value in values.items():
        match name:
            case "name":
                checked[name] = require_text(value, name, _LONGEST_NAME)
            case "description":
                checked[name] = require_text(value, name, _LONGEST_DESCRIPTION, least=0)
            case "image_type":
                checked[name] = None if value is None else known_image_type(value).name
            case "branding":
                if value is not None and (type(value) is not int or value not in _NUMBERS):
                    raise InvalidInput("branding is a whole number of 32 bits, or null")
            case "delete_files_when_ready":
                if type(value) is not bool:
                    raise InvalidInput("delete_files_when_ready is true or false")
            case _:
                check_days(name, value)
    return checked
