"""Many rows in one statement: COPY on PostgreSQL, one prepared statement on SQLite."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Table, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import StorageError


async def insert_rows(
    connection: AsyncConnection,
    table: Table,
    names: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Insert rows whose values stand in the order of `names`, in the connection's transaction.

    Values go to the driver as they are: JSON as text, and what `as_sent` gives for others.  What
    the table says of absent columns is not asked.  Raises IntegrityError when the rows do not fit,
    StorageError when the database cannot take them.
    """
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        await _copy(connection, table, names, rows)
        return
    marks = ", ".join("?" for _ in names)
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"
    await connection.exec_driver_sql(statement, list(rows))


def as_sent(connection: AsyncConnection, column: Column[Any], value: Any) -> Any:
    """The value as the column's type gives it to this database's driver."""
    dialect = connection.dialect
    process = column.type.dialect_impl(dialect).bind_processor(dialect)
    return value if process is None else process(value)


async def _copy(
    connection: AsyncConnection,
    table: Table,
    names: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    import asyncpg

    driver: Any = (await connection.get_raw_connection()).driver_connection
    if not driver.is_in_transaction():  # SQLAlchemy begins it with the first statement
        await connection.execute(select(literal(1)))
    try:
        await driver.copy_records_to_table(table.name, records=rows, columns=list(names))
    # Past SQLAlchemy, so the driver's own errors come.
    except asyncpg.IntegrityConstraintViolationError as error:
        raise IntegrityError("COPY", None, error) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StorageError("the database could not do this now; try again") from error
