"""Rows in every table of the schema, made from its columns, and all rows read back to compare."""

import hashlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Column, Table, insert, select, types
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import STATUSES, UtcDateTime, metadata
from opsin.storage.vectors import insert_embeddings
from opsin.storage.webhooks import DELIVERY_STATUSES
from tests.graphql.differential.odd_values import (
    DAYS,
    FLOATS,
    JSON_OBJECTS,
    MOMENTS,
    TEXTS,
)

_SQLITE = sqlite_dialect()

ROWS = 24
"""Of each table, so that every odd value has its turn in every column."""

_ANY_JSON = (*JSON_OBJECTS, "text", 1.5, 2**70, True, [1, None], "")


async def fill(database: Database, blobs: BlobStore) -> None:
    """Some rows in every table, and the files that those of images and artifacts name."""
    for number in range(ROWS):
        for name in ("images", "artifacts"):
            await blobs.put(content_key(_digest(name, number)), _pieces(_content(name, number)))
    made: dict[str, list[dict[str, Any]]] = {}
    async with database.write() as transaction:
        for table in metadata.sorted_tables:
            rows = [_row(table, number, made) for number in range(ROWS)]
            made[table.name] = rows
            await _insert(transaction.connection, table, rows)


async def _insert(connection: AsyncConnection, table: Table, rows: list[dict[str, Any]]) -> None:
    if table.name == "embeddings":
        await insert_embeddings(connection, rows)
        return
    if table.name == "counters":  # a migration has put one there
        await connection.execute(table.delete())
    await connection.execute(insert(table), rows)


def _row(table: Table, number: int, made: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    row = {column.name: _value(table, column, number, made) for column in table.columns}
    if table.name == "events":
        row["sequence"] = 3 * number + 5  # as after transactions that were given up
    if table.name in ("images", "artifacts"):
        content = _content(table.name, number)
        row |= {"size_bytes": len(content), "sha256": _digest(table.name, number)}
        row["content_type"] = "image/png"
    if table.name == "embeddings":
        row |= {"dimensions": 4, "vector": bytes(range(number, number + 16))}
    return row


def _content(table: str, number: int) -> bytes:
    return f"{table} {number}".encode() * 20_000 * (number % 3)


def _digest(table: str, number: int) -> str:
    return hashlib.sha256(_content(table, number)).hexdigest()


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


def _value(
    table: Table, column: Column[Any], number: int, made: dict[str, list[dict[str, Any]]]
) -> Any:
    for key in column.foreign_keys:
        # Any row of the other table, in turn; where it may be missing, sometimes none.
        if column.nullable and number % 3 == 0:
            return None
        return made[key.column.table.name][number][key.column.name]
    if column.nullable and number % 4 == 3 and column.name != "operation":
        return None
    if column.name == "status" and isinstance(column.type, types.String):
        allowed = DELIVERY_STATUSES if table.name == "webhook_deliveries" else STATUSES
        return allowed[number % len(allowed)]
    return _of_type(column, number)


def _of_type(column: Column[Any], number: int) -> Any:
    kind: Any = column.type
    if isinstance(kind, UtcDateTime):
        return MOMENTS[number % len(MOMENTS)]
    if isinstance(kind, types.String) and kind.length == 36:
        return new_id()
    if isinstance(kind, types.JSON):
        choice = _ANY_JSON if isinstance(kind.dialect_impl(_SQLITE), types.Text) else JSON_OBJECTS
        return choice[number % len(choice)]
    if isinstance(kind, types.LargeBinary):
        return bytes((number * 7 + place) % 256 for place in range(300))
    if isinstance(kind, types.Boolean):
        return number % 2 == 0
    if isinstance(kind, types.Float):
        return FLOATS[number % len(FLOATS)]
    if isinstance(kind, types.Integer):
        largest = 2**62 if isinstance(kind, types.BigInteger) else 2**30
        return number if column.primary_key or column.unique or number % 2 else largest + number
    if isinstance(kind, types.Date):
        return DAYS[number % len(DAYS)]
    text = TEXTS[number % len(TEXTS)]
    length = getattr(kind, "length", None)
    # Never the same twice, because it may have to be unique.
    return f"{number}{text}"[: length or 400]


async def all_rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table as the code reads it, ordered by its key."""
    found = {}
    async with database.read() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.execute(select(table))).all()
            found[table.name] = sorted(map(tuple, rows), key=lambda row: str(row[0]))
    return found


def pairs() -> list[tuple[str, str]]:
    """Every kind of database with every other."""
    kinds = ("sqlite", "postgresql")
    return list(itertools.product(kinds, kinds))
