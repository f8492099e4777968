"""Migrations: forward on both databases, equal to the tables, safe when several start at once."""

import asyncio
import uuid
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.types import NullType

from opsin.core.errors import ConfigurationError
from opsin.storage.database import connect_without_pool, database_url
from opsin.storage.schema import (
    alembic_config,
    change_tables,
    current_revision,
    newest_revision,
    upgrade,
)
from opsin.storage.tables import metadata
from tests.conftest import postgres_database

INDEXED = (384, 512, 768, 1024, 1536)
"""Lengths of vectors that have an index of their own."""


async def _run(url: str, function: Any) -> Any:
    engine = connect_without_pool(database_url(url))
    async with engine.begin() as connection:
        result = await connection.run_sync(function)
    await engine.dispose()
    return result


async def test_migrated_tables_are_those_of_the_code(any_database_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        connection.dialect.ischema_names["vector"] = NullType  # type: ignore[attr-defined]  # all have it
        options = {"compare_type": True, "include_object": _is_of_every_database}
        context = MigrationContext.configure(connection, opts=options)
        found = compare_metadata(context, metadata)
        return [d for d in found if not _is_queue_index(connection, d)]

    assert await current_revision(any_database_url) == newest_revision()
    assert await _run(any_database_url, differences) == []


def _is_of_every_database(_thing: Any, name: str | None, kind: str, *_: Any) -> bool:
    """All but what `opsin.storage.vectors` finds for itself: the second copy of the vectors."""
    added = {"column": ["indexed"], "index": [f"ix_embeddings_indexed_{d}" for d in INDEXED]}
    return name not in added.get(kind, [])


async def test_vectors_are_indexed_where_pgvector_is(any_database_url: str) -> None:
    def made(connection: Connection) -> set[str | None]:
        return {index["name"] for index in inspect(connection).get_indexes("embeddings")}

    expected = {f"ix_embeddings_indexed_{dimensions}" for dimensions in INDEXED}
    if database_url(any_database_url).get_backend_name() == "sqlite":
        expected = set()
    found = await _run(any_database_url, made)
    assert {name for name in found if name and "indexed" in name} == expected


@pytest.mark.parametrize("any_database_url", ["postgresql"], indirect=True)
async def test_a_postgresql_without_pgvector_is_migrated_too(any_database_url: str) -> None:
    """As a role sees it that may not create the extension: nothing but the index is missing."""
    await _run(any_database_url, lambda c: command.downgrade(alembic_config(c), "base"))
    await _run(any_database_url, lambda c: c.exec_driver_sql("DROP EXTENSION vector CASCADE"))
    role = f"plain_{uuid.uuid4().hex}"
    await _run(any_database_url, lambda c: _add_role(c, role))
    try:
        url = make_url(any_database_url).set(username=role).render_as_string(hide_password=False)
        assert await upgrade(url) == (None, newest_revision())
        columns = await _run(url, lambda c: inspect(c).get_columns("embeddings"))
        assert "indexed" not in {column["name"] for column in columns}
    finally:
        await _run(any_database_url, lambda c: _drop_role(c, role))


def _add_role(connection: Connection, role: str) -> None:
    connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
    connection.exec_driver_sql(f"GRANT ALL ON SCHEMA public TO {role}")
    connection.exec_driver_sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")


def _drop_role(connection: Connection, role: str) -> None:
    connection.exec_driver_sql(f"DROP OWNED BY {role}")
    connection.exec_driver_sql(f"DROP ROLE {role}")


def _is_queue_index(connection: Connection, difference: Any) -> bool:
    # SQLite does not tell the order of an index's columns, so it cannot be compared there.
    return connection.dialect.name == "sqlite" and difference[1].name == "ix_analyses_queue"


async def test_the_queue_index_is_there(any_database_url: str) -> None:
    def names(connection: Connection) -> set[str | None]:
        return {index["name"] for index in inspect(connection).get_indexes("analyses")}

    assert {"ix_analyses_queue", "ix_analyses_leases"} <= await _run(any_database_url, names)


async def test_down_and_up_again(any_database_url: str) -> None:
    def down(connection: Connection) -> None:
        command.downgrade(alembic_config(connection), "base")

    await _run(any_database_url, down)
    assert await current_revision(any_database_url) is None
    assert await upgrade(any_database_url) == (None, newest_revision())


async def test_many_processes_may_upgrade_at_once(any_database_url: str) -> None:
    await _run(any_database_url, lambda c: command.downgrade(alembic_config(c), "base"))
    results = await asyncio.gather(*(upgrade(any_database_url) for _ in range(4)))
    assert {after for _, after in results} == {newest_revision()}
    assert [before for before, _ in results].count(None) == 1


@pytest.mark.parametrize("url", ["mysql://x/y", "not a url", ""])
def test_unusable_urls_are_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_DATABASE_URL"):
        database_url(url)


async def test_a_change_of_tables_lets_those_pass_who_work_on_them(postgres: str) -> None:
    def change(connection: Connection) -> None:
        tried.append(True)
        connection.execute(text("ALTER TABLE images ADD COLUMN added_later INTEGER"))

    tried: list[bool] = []
    async with postgres_database(postgres) as url:
        engine = connect_without_pool(database_url(url))
        async with (
            engine.connect() as reader,
            engine.connect() as changer,
            engine.connect() as late,
        ):
            await reader.execute(text("SELECT count(*) FROM images"))
            changing = asyncio.create_task(change_tables(changer, change))
            while len(tried) < 2:  # noqa: ASYNC110 - it was in the way, and the change began anew
                await asyncio.sleep(0.05)
            await late.execute(text("SELECT count(*) FROM images"))
            await late.rollback()
            assert not changing.done()
            await reader.rollback()
            await changing
            await late.execute(text("SELECT added_later FROM images"))
        await engine.dispose()
