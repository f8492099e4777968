"""Datasets: the named sets of images of a company."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.pages import Listing
from opsin.core.records import Dataset, columns_of, from_values, to_record
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import datasets

LISTING = Listing(datasets, Dataset, parent="company_id")


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of datasets to the caller's own."""
    return [datasets.c.company_id == principal.company_id]


class Datasets:
    """Creates and finds datasets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, name: str, description: str = "") -> Dataset:
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
        }
        async with self._database.write() as transaction:
            await transaction.connection.execute(insert(datasets).values(values))
            transaction.emit(NewEvent("dataset.created", principal.company_id, dataset_id=identity))
        return from_values(Dataset, values)

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
    """The text without blanks around it; InvalidInput when too short, too long or with NULs."""
    value = value.strip()
    if not least <= len(value) <= most or "\x00" in value:
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
