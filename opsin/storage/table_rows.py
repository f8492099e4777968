"""Rows of every table as JSON lines, the same bytes on SQLite and on PostgreSQL.

A line is the array of a row's values in the order of the columns: times as RFC 3339 in UTC, bytes
as base64, JSON documents as their text, so that every digit and the order of the keys stay.
"""

import base64
import math
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    Text,
    cast,
    column,
    inspect,
    literal,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy import types as sql
from sqlalchemy.exc import DBAPIError, SAWarning
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import topological

from opsin.core.errors import StorageError
from opsin.storage.database import connect_without_pool, database_url

ROWS_AT_ONCE = 2000

_REVISION_TABLE = "alembic_version"
_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_APPEND_NEWLINE

# Of the current schema, with the table that each numbers.
_SEQUENCES = text("""
    SELECT c.relname AS name, CAST(s.oid AS bigint) AS identity, p.last_value
    FROM pg_class s
    JOIN pg_depend d ON d.objid = s.oid AND d.classid = CAST('pg_class' AS regclass)
      AND d.deptype IN ('a', 'i')
    JOIN pg_class c ON c.oid = d.refobjid
    JOIN pg_namespace n ON n.oid = s.relnamespace
    JOIN pg_sequences p ON p.schemaname = n.nspname AND p.sequencename = s.relname
    WHERE s.relkind = 'S' AND n.nspname = current_schema()""")


@dataclass(frozen=True, slots=True)
class RowTable:
    """A table as it is in a database: its columns with their types, and its primary key."""

    name: str
    columns: tuple[str, ...]
    types: tuple[sql.TypeEngine[Any], ...]
    key: tuple[str, ...]


@asynccontextmanager
async def frozen(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that sees the database as it is now, whatever others commit; holds up nobody.

    Raises StorageError where the database cannot be reached or read.
    """
    engine = connect_without_pool(database_url(url))
    try:
        async with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            else:
                await connection.exec_driver_sql("BEGIN")
            # The state is that of the first statement.
            await connection.execute(text(f"SELECT 1 FROM {_REVISION_TABLE}"))
            yield connection
    except (DBAPIError, OSError) as error:
        raise StorageError("the database could not be read") from error
    finally:
        await engine.dispose()


async def tables_in_order(connection: AsyncConnection) -> list[RowTable]:
    """Every table of the database, each before those that refer to it."""
    return await connection.run_sync(_reflect)


async def row_lines(
    connection: AsyncConnection, source: RowTable, columns: Sequence[str] | None = None
) -> AsyncIterator[tuple[int, bytes]]:
    """The rows by primary key, some thousand at a time: how many, and their lines.

    Raises StorageError for a number that JSON cannot tell.
    """
    types = dict(zip(source.columns, source.types, strict=True))
    names = source.columns if columns is None else tuple(columns)
    rows_of = table(source.name, *(column(name, types[name]) for name in types))
    statement = select(*(_selected(rows_of.c[name]) for name in names)).order_by(
        *(_ordered(rows_of.c[name], connection.dialect.name) for name in source.key)
    )
    numbers = [place for place, name in enumerate(names) if isinstance(types[name], sql.Float)]
    options = statement.execution_options(yield_per=ROWS_AT_ONCE)
    async with connection.stream(options) as result:
        async for rows in result.partitions(ROWS_AT_ONCE):
            for place in numbers:
                if not all(row[place] is None or math.isfinite(row[place]) for row in rows):
                    raise StorageError(f"the table {source.name} has a number that is not finite")
            lines = [orjson.dumps(tuple(row), default=_as_text, option=_OPTIONS) for row in rows]
            yield len(lines), b"".join(lines)


async def is_empty(connection: AsyncConnection, name: str) -> bool:
    """Whether the table has no row."""
    some = select(literal(1)).select_from(table(name)).limit(1)
    return (await connection.execute(some)).first() is None


async def last_numbers(connection: AsyncConnection) -> dict[str, int]:
    """The last number that was given, by the table that numbers its rows."""
    if connection.dialect.name == "sqlite":
        rows = await connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
        return {row.name: row.seq for row in rows}
    found = await connection.execute(_SEQUENCES)
    return {row.name: row.last_value for row in found if row.last_value is not None}


async def continue_numbers(connection: AsyncConnection, name: str, last: int) -> None:
    """Have the table's next number be the one behind `last`."""
    given: dict[str, Any] = {"name": name, "last": last}
    if connection.dialect.name == "sqlite":
        await connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), given)
        await connection.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), given
        )
        return
    identity = next(r.identity for r in await connection.execute(_SEQUENCES) if r.name == name)
    await connection.execute(
        text("SELECT setval(CAST(CAST(:identity AS bigint) AS regclass), :last)"),
        {"identity": identity, "last": last},
    )


def _reflect(connection: Connection) -> list[RowTable]:
    inspector = inspect(connection)
    with warnings.catch_warnings():
        # pgvector's type, which the second copy of the vectors has, is none of SQLAlchemy's.
        warnings.simplefilter("ignore", SAWarning)
        described = inspector.get_multi_columns()
    keys = inspector.get_multi_pk_constraint()
    found: dict[str, RowTable] = {}
    for place, columns in described.items():
        if (name := place[1]) == _REVISION_TABLE:
            continue
        known = [one for one in columns if not isinstance(one["type"], sql.NullType)]
        found[name] = RowTable(
            name,
            tuple(one["name"] for one in known),
            tuple(one["type"] for one in known),
            tuple(keys[place]["constrained_columns"]),
        )
    references = {
        (reference["referred_table"], place[1])
        for place, constraints in inspector.get_multi_foreign_keys().items()
        for reference in constraints
    }
    return [found[name] for name in topological.sort(references, sorted(found))]


def _selected(source: Any) -> Any:
    """Documents and ids as the database's own text, which is neither parsed nor written anew."""
    if isinstance(source.type, sql.JSON | sql.Uuid):
        return cast(source, Text).label(source.name)
    if isinstance(source.type, sql.Float):
        # SQLite keeps no sign of a zero.
        return (source + literal_column("0.0", sql.Float)).label(source.name)
    return source


def _ordered(source: Any, dialect: str) -> Any:
    """Texts by their bytes, whatever the language of the database."""
    if dialect == "postgresql" and isinstance(source.type, sql.String):
        return source.collate("C")
    return source


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(type(value).__name__)
