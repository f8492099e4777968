"""Writes the lines of `table_rows` into the tables of either database, inside one transaction."""

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import orjson
from sqlalchemy import Text, column, table
from sqlalchemy import types as sql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import StorageError
from opsin.storage.table_rows import RowTable
from opsin.storage.vectors import insert_embeddings, is_indexed


class RowWriter:
    """Inserts into one table; the columns of the lines must be columns of it."""

    def __init__(self, connection: AsyncConnection, into: RowTable, columns: Sequence[str]) -> None:
        self._connection = connection
        self._name = into.name
        self._columns = tuple(columns)
        types = dict(zip(into.columns, into.types, strict=True))
        self._readers = [_reader(types[name]) for name in self._columns]
        rows_of = table(into.name, *(column(name, _bound(types[name])) for name in self._columns))
        self._insert = rows_of.insert()

    async def write(self, lines: Iterable[bytes]) -> None:
        """Insert the rows; StorageError tells what the database says of one that it refuses."""
        rows = [
            tuple(
                value if value is None or read is None else read(value)
                for read, value in zip(self._readers, orjson.loads(line), strict=True)
            )
            for line in lines
        ]
        if not rows:
            return
        try:
            if self._connection.dialect.name == "sqlite":
                await self._connection.execute(self._insert, [self._named(row) for row in rows])
            elif self._name == "embeddings" and await is_indexed(self._connection):
                await insert_embeddings(self._connection, [self._named(row) for row in rows])
            else:
                await self._copy(rows)
        except DBAPIError as error:
            raise self._refused(error.orig or error) from error

    async def _copy(self, rows: list[tuple[Any, ...]]) -> None:
        """By PostgreSQL's COPY, its way for many rows."""
        import asyncpg

        driver: Any = (await self._connection.get_raw_connection()).driver_connection
        try:
            await driver.copy_records_to_table(
                self._name, records=rows, columns=list(self._columns)
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise self._refused(error) from error

    def _named(self, row: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(self._columns, row, strict=True))

    def _refused(self, error: BaseException) -> StorageError:
        reason = str(error).partition("\n")[0]
        return StorageError(f"a row of the table {self._name} cannot be stored: {reason}")


async def clear(connection: AsyncConnection, name: str) -> None:
    """Remove every row of the table."""
    await connection.execute(table(name).delete())


def _reader(kind: sql.TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """What makes the column's value of what a line has; None where they are the same."""
    if isinstance(kind, sql.DateTime):
        return _moment
    if isinstance(kind, sql.Date):
        return date.fromisoformat
    if isinstance(kind, sql.LargeBinary):
        return base64.b64decode
    return None


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


def _bound(kind: sql.TypeEngine[Any]) -> sql.TypeEngine[Any]:
    """How a value is given to the driver: documents are texts already."""
    return Text() if isinstance(kind, sql.JSON) else kind
