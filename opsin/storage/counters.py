"""Numbers that are given out once, in order, whoever asks from whichever process."""

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.storage.applications import counters


async def next_number(connection: AsyncConnection, name: str) -> int:
    """The next number of this kind, from 1 up, within the caller's transaction.

    Others who ask for the kind wait until that transaction has ended; one that is rolled back
    leaves no gap.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    made = dialect.insert(counters).values(name=name, value=1)
    counted = made.on_conflict_do_update(
        index_elements=[counters.c.name], set_={"value": counters.c.value + 1}
    )
    number: int = (await connection.execute(counted.returning(counters.c.value))).scalar_one()
    return number
