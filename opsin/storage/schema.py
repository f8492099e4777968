"""Brings the database's tables to the newest version, and tells which version it has."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

import opsin.storage.applications
import opsin.storage.audit
import opsin.storage.curation
import opsin.storage.predictions
import opsin.storage.webhooks  # noqa: F401 - so do these
from opsin.core.errors import ConfigurationError, StorageError
from opsin.storage.database import connect_without_pool, database_url

_MIGRATE_LOCK = 0x6F7073696F
_ATTEMPTS = 40

_LOCK_WAIT = "500ms"
"""Less than PostgreSQL's `deadlock_timeout`, which is a second."""
_LOCK_PAUSE = 0.5
_LOCK_TRIES = 120
_IN_THE_WAY = ("55P03", "40P01")
"""PostgreSQL's codes of a lock that was not to be had in time, and of a deadlock."""

Result = TypeVar("Result")


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, bound to an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def newest_revision() -> str:
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None
    return head


def is_known(revision: str) -> bool:
    """Whether it is one of this version's revisions."""
    script = ScriptDirectory.from_config(alembic_config())
    return revision in {one.revision for one in script.walk_revisions()}


@cache
def is_behind(revision: str) -> bool:
    """Whether a database at this revision lacks something; one that we do not know is newer."""
    script = ScriptDirectory.from_config(alembic_config())
    known = {found.revision for found in script.walk_revisions()}
    return revision in known and revision != newest_revision()


async def current_revision(url: str) -> str | None:
    """The revision the database is at; None for an empty one."""
    engine = connect_without_pool(database_url(url))
    try:
        with _storage_errors():
            async with engine.connect() as connection:
                return await connection.run_sync(_revision)
    finally:
        await engine.dispose()


async def upgrade(url: str, revision: str | None = None) -> tuple[str | None, str]:
    """Migrate to the newest revision, or to that one; gives the revisions before and after.

    Safe when several processes start at once, and when the server is still starting.
    """
    wanted = revision or newest_revision()
    engine = connect_without_pool(database_url(url))
    try:
        with _storage_errors():
            for _ in range(_ATTEMPTS - 1):
                try:
                    async with engine.connect() as connection:
                        return await _upgrade(connection, wanted)
                except OSError:
                    await asyncio.sleep(0.25)
            async with engine.connect() as connection:
                return await _upgrade(connection, wanted)
    finally:
        await engine.dispose()


@contextmanager
def _storage_errors() -> Iterator[None]:
    """For whoever starts a server: in the database's own words, where it has any."""
    try:
        yield
    except OSError as error:
        raise StorageError("the database cannot be reached") from error
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise StorageError(f"the database cannot be used: {reason}") from error


async def _upgrade(connection: AsyncConnection, head: str) -> tuple[str | None, str]:
    before = await connection.run_sync(_revision)
    if before == head:
        return before, head
    await connection.rollback()

    def migrate(sync: Connection) -> str | None:
        before = _revision(sync)
        if before is not None and not is_known(before):
            raise ConfigurationError(
                f"the database's tables are those of a newer Opsin (revision {before}; this "
                f"version knows them up to {newest_revision()}): run that one, or restore a backup"
            )
        if before != head:
            command.upgrade(alembic_config(sync), head)
        return before

    return await change_tables(connection, migrate), head


async def change_tables(
    connection: AsyncConnection, change: Callable[[Connection], Result]
) -> Result:
    """Run `change` in one transaction, beside others who work on the tables; one at a time.

    On PostgreSQL it never waits for a lock for so long that the server looks for a deadlock: it
    gives up what it has, for it is not a request that shall fail, and begins anew.
    """
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            await _begin_change(connection)
            changed = await connection.run_sync(change)
            await connection.commit()
            return changed
        except DBAPIError as error:
            if not tries_left or getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                raise
            await connection.rollback()
            await asyncio.sleep(_LOCK_PAUSE)
    raise AssertionError("unreachable: the last try raises")


async def _begin_change(connection: AsyncConnection) -> None:
    if connection.dialect.name == "sqlite":
        # Takes the write lock now, so that a second process waits and then finds the work done.
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": _MIGRATE_LOCK})
        await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
