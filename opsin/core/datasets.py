"""Datasets: the named sets of images of a company."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.pages import Listing
from opsin.core.records import Dataset, columns_of, from_values, to_record
from opsin.core.storable import is_storable_text
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import companies, datasets

LISTING = Listing(datasets, Dataset, parent="company_id")


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of datasets to the caller's own."""
    return [datasets.c.company_id == principal.company_id]


class Datasets:
    """Creates and finds datasets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        principal: Principal,
        name: str,
        description: str = "",
        *,
        group_name: str | None = None,
    ) -> Dataset:
        """A new, empty dataset; names need not be unique."""
        now = datetime.now(UTC)
        identity = new_id()
        values = {
            "id": identity,
            "company_id": principal.company_id,
            "name": require_text(name, "name", 255),
            "description": require_text(description, "description", 10_000, least=0),
            "created_at": now,
            "updated_at": now,
            "group_name": group_name,
        }
        async with self._database.write() as transaction:
            await transaction.connection.execute(insert(datasets).values(values))
            transaction.emit(NewEvent("dataset.created", principal.company_id, dataset_id=identity))
        return from_values(Dataset, values)

    async def listed(
        self, company_ids: Sequence[str], *, skip: int, limit: int
    ) -> Sequence[tuple[Dataset, str]]:
        """The datasets of some companies, oldest first, each with its company's name."""
        statement: Select[Any] = (
            select(*columns_of(datasets, Dataset), companies.c.name)
            .join(companies, companies.c.id == datasets.c.company_id)
            .where(datasets.c.company_id.in_(company_ids))
            .order_by(datasets.c.id)
            .offset(skip)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(statement)
            return [(to_record(Dataset, row), row[-1]) for row in rows]

    async def group_names(self, company_ids: Sequence[str]) -> Sequence[str]:
        """The groups that own datasets: the name of each one's company, or the group's own."""
        name = func.coalesce(datasets.c.group_name, companies.c.name)
        statement = (
            select(name)
            .join(companies, companies.c.id == datasets.c.company_id)
            .where(datasets.c.company_id.in_(company_ids))
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
    connection: AsyncConnection, principal: Principal, dataset_id: str
) -> Dataset:
    """The caller's dataset; NotFound also for another company's."""
    found = await _find(connection, principal, dataset_id)
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
    connection: AsyncConnection, principal: Principal, dataset_id: str
) -> Dataset | None:
    identity = canonical_id(dataset_id)
    if identity is None:
        return None
    statement = select(*columns_of(datasets, Dataset)).where(
        datasets.c.id == identity, *visible(principal)
    )
    row = (await connection.execute(statement)).first()
    return to_record(Dataset, row) if row is not None else None
