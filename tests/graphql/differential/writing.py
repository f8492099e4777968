"""Writes to a database what no use case would: rows unchecked, and columns without their rules."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.storage import tables
from opsin.storage.database import connect_without_pool, database_url
from tests.graphql.differential.rows import Row

_SQLITE_CHECK = re.compile(r"\n\s*CONSTRAINT ck_\w+ CHECK [^\n]*,(?=\s*\n)")


@asynccontextmanager
async def unchecked(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection for which rows may refer to what is not there; commits in the end."""
    engine = connect_without_pool(database_url(url))
    is_sqlite = engine.dialect.name == "sqlite"
    mode = "PRAGMA foreign_keys=OFF" if is_sqlite else "SET session_replication_role = replica"
    async with engine.connect() as connection:
        await connection.execute(text(mode))
        await connection.commit()
        if is_sqlite:  # no test pulls the plug
            await connection.execute(text("PRAGMA synchronous=OFF"))
        yield connection
        await connection.commit()
    await engine.dispose()


async def insert_rows(url: str, made: Mapping[str, list[Row]]) -> None:
    """Insert rows by table."""
    async with unchecked(url) as connection:
        for name, rows in made.items():
            for row in rows:
                await connection.execute(insert(tables.metadata.tables[name]).values(row))


async def set_value(url: str, table: str, column: str, identity: str, value: Any) -> Any:
    """Put a value into one row, as text on PostgreSQL; gives what was there."""
    async with unchecked(url) as connection:
        read, write = column, ":value"
        if connection.dialect.name != "sqlite":
            kind = f"SELECT pg_typeof({column})::text FROM {table} LIMIT 1"
            of_type = (await connection.execute(text(kind))).scalar_one()
            read, write = f"{column}::text", f"CAST(CAST(:value AS text) AS {of_type})"
            value = None if value is None else str(value)
        key = "analysis_id" if table == tables.embeddings.name else "id"
        found = text(f"SELECT {read} FROM {table} WHERE {key} = :id")
        before = (await connection.execute(found, {"id": identity})).scalar_one()
        change = text(f"UPDATE {table} SET {column} = {write} WHERE {key} = :id")
        await connection.execute(change, {"value": value, "id": identity})
    return before


async def loosen(url: str) -> None:
    """Take away NOT NULL and the checks of values."""
    async with unchecked(url) as connection:
        if connection.dialect.name == "sqlite":
            await _loosen_sqlite(connection)
        else:
            await _loosen_postgres(connection)


async def _loosen_sqlite(connection: AsyncConnection) -> None:
    await connection.execute(text("PRAGMA writable_schema=ON"))
    found = await connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type='table'"))
    for name, sql in found.all():
        if name not in tables.metadata.tables:
            continue
        loose = _SQLITE_CHECK.sub("", sql).replace(" NOT NULL", "")
        await connection.execute(
            text("UPDATE sqlite_master SET sql = :sql WHERE name = :name"),
            {"sql": loose, "name": name},
        )
    version = (await connection.execute(text("PRAGMA schema_version"))).scalar_one()
    await connection.execute(text(f"PRAGMA schema_version={version + 1}"))
    await connection.execute(text("PRAGMA writable_schema=OFF"))


async def _loosen_postgres(connection: AsyncConnection) -> None:
    for table in tables.metadata.sorted_tables:
        changes = [
            f"ALTER COLUMN {column.name} DROP NOT NULL"
            for column in table.c
            if not column.primary_key
        ]
        await connection.execute(text(f"ALTER TABLE {table.name} {', '.join(changes)}"))
    for name in ("status", "kind"):
        await connection.execute(text(f"ALTER TABLE analyses DROP CONSTRAINT ck_analyses_{name}"))
