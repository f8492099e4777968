"""Migrations: forward on both databases, equal to the tables, safe when several start at once."""

import asyncio
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from opsin.core.errors import ConfigurationError
from opsin.storage.database import connect_without_pool, database_url
from opsin.storage.schema import alembic_config, current_revision, newest_revision, upgrade
from opsin.storage.tables import metadata


async def _run(url: str, function: Any) -> Any:
    engine = connect_without_pool(database_url(url))
    async with engine.begin() as connection:
        result = await connection.run_sync(function)
    await engine.dispose()
    return result


async def test_migrated_tables_are_those_of_the_code(any_database_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, metadata)
        return [d for d in found if not _is_queue_index(connection, d)]

    assert await current_revision(any_database_url) == newest_revision()
    assert await _run(any_database_url, differences) == []


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
