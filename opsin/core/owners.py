"""Whose a thing is, for callers of several companies; tells nothing else of it."""

from sqlalchemy import Table, select

from opsin.core.soft_deletion import in_place, not_deleted
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import images


class Owners:
    """Looks companies up by the id of anything that has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def company_of(self, table: Table, identity: str) -> str | None:
        """The company that a row is of; None where there is no such row."""
        found = canonical_id(identity)
        if found is None:
            return None
        statement = select(table.c.company_id).where(table.c.id == found, *in_place(table))
        if table is not images:  # one that was deleted may be restored
            statement = statement.where(*not_deleted(table))
        async with self._database.read() as connection:
            company_id: str | None = (await connection.execute(statement)).scalar()
        return company_id
