"""Numbers of operations' versions, for callers who know them by numbers; none is used twice."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from opsin.core.errors import ConfigurationError
from opsin.storage.applications import operation_numbers
from opsin.storage.counters import next_number
from opsin.storage.database import Database

FIRST_OWN = 1000
"""Numbers below are a door's to reserve."""
_COUNTER = "operation_number"


class OperationNumbers:
    """Gives each version of an operation a number when it is first asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reserved: dict[str, int] = {}
        self._known: dict[tuple[str, str], int] = {}

    def reserve(self, numbers: Mapping[int, str]) -> None:
        """Keep numbers below 1000 for operations, by name, while the server is put together.

        Such a number is that of the first version that is asked for; later ones get their own.
        """
        for number, operation in numbers.items():
            taken = number in self._reserved.values() or operation in self._reserved
            if not 0 < number < FIRST_OWN or taken:
                raise ConfigurationError(f"operation number {number} cannot be reserved")
            self._reserved[operation] = number

    async def number_of(self, operation: str, version: str) -> int:
        """The number of this version, the same for ever and in every process."""
        known = self._known.get((operation, version))
        if known is None:
            known = await self._find(operation, version) or await self._give(operation, version)
            self._known[operation, version] = known
        return known

    async def all(self) -> list[tuple[int, str, str]]:
        """Number, operation and version of all that were ever asked for, by number."""
        statement = select(
            operation_numbers.c.number, operation_numbers.c.operation, operation_numbers.c.version
        ).order_by(operation_numbers.c.number)
        async with self._database.read() as connection:
            rows = await connection.execute(statement)
            return [(row.number, row.operation, row.version) for row in rows]

    async def operation_of(self, number: int) -> str | None:
        """The operation, whichever version of it has the number; None for a number of none."""
        for (operation, _), known in self._known.items():
            if known == number:
                return operation
        if not 0 < number < 2**31:
            return None
        statement = select(operation_numbers.c.operation).where(
            operation_numbers.c.number == number
        )
        async with self._database.read() as connection:
            found: str | None = (await connection.execute(statement)).scalar()
        return found or next((o for o, n in self._reserved.items() if n == number), None)

    async def _find(self, operation: str, version: str) -> int | None:
        statement = select(operation_numbers.c.number).where(
            operation_numbers.c.operation == operation, operation_numbers.c.version == version
        )
        async with self._database.read() as connection:
            number: int | None = (await connection.execute(statement)).scalar()
            return number

    async def _give(self, operation: str, version: str) -> int:
        """Insert it under the reserved number if that is free, else under the next of our own."""
        async with self._database.write() as transaction:
            connection = transaction.connection
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            reserved = self._reserved.get(operation)
            # Drawn in any case, also where it is not used: whoever draws holds all others back.
            own = FIRST_OWN - 1 + await next_number(connection, _COUNTER)
            for number in (own,) if reserved is None else (reserved, own):
                row = {
                    "number": number,
                    "operation": operation,
                    "version": version,
                    "created_at": datetime.now(UTC),
                }
                made = dialect.insert(operation_numbers).values(row).on_conflict_do_nothing()
                await connection.execute(made)
                found = await connection.execute(
                    select(operation_numbers.c.number).where(
                        operation_numbers.c.operation == operation,
                        operation_numbers.c.version == version,
                    )
                )
                given: int | None = found.scalar()
                if given is not None:
                    return given
        raise AssertionError("unreachable: a number that nobody had was taken")
