"""The database: whether it answers, its version, tables and clock, its room for connections."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.checkup.findings import Finding, bad, good, poor
from opsin.storage.database import Database
from opsin.storage.schema import is_known, newest_revision
from opsin.storage.tables import metadata

_PART = "database"
_CLOCK_SECONDS, _FAR_SECONDS = 1.0, 15.0
_LEAST_POSTGRES = 13
_DEAD_ROWS, _DEAD_SHARE = 50_000, 0.3
_FREE_SHARE = 0.3
_LARGE_BYTES = 100 * 2**20
_QUICK_BYTES = 2 * 2**30


async def look_at_database(database: Database, connections: int) -> AsyncIterator[Finding]:
    """`connections` are those that this installation's settings may open from one machine."""
    began = time.perf_counter()
    async with database.read() as connection:
        milliseconds = (time.perf_counter() - began) * 1000
        if database.is_sqlite:
            async for finding in _sqlite(connection, milliseconds):
                yield finding
        else:
            async for finding in _postgres(connection, milliseconds, connections):
                yield finding
        revision = await connection.run_sync(_revision)
        finding = _migrations(revision)
        yield finding
        if revision == newest_revision():
            async for finding in _tables(connection):
                yield finding


async def _sqlite(connection: AsyncConnection, milliseconds: float) -> AsyncIterator[Finding]:
    async def pragma(name: str) -> Any:
        return (await connection.execute(text(f"PRAGMA {name}"))).scalar()

    version = (await connection.execute(text("SELECT sqlite_version()"))).scalar()
    mode = await pragma("journal_mode")
    yield good(_PART, f"SQLite {version} answers in {milliseconds:.0f} ms; journal: {mode}")
    if mode not in ("wal", "memory"):
        yield poor(
            _PART,
            "the journal is not a write-ahead log, so that readers wait for writers",
            "put the data directory on a local disk: network file systems cannot hold it",
        )
    pages, free = await pragma("page_count"), await pragma("freelist_count")
    size = pages * await pragma("page_size")
    if size > _LARGE_BYTES and free > _FREE_SHARE * pages:
        yield poor(
            _PART,
            f"{free / pages:.0%} of its {size / 1e6:.0f} MB are empty",
            "stop the server, then: sqlite3 opsin.sqlite3 VACUUM",
        )
    if size <= _QUICK_BYTES:
        result = await pragma("quick_check(1)")
        if result == "ok":
            yield good(_PART, f"its {size / 1e6:.1f} MB are whole")
        else:
            yield bad(_PART, f"the file is damaged: {result}", "restore a backup: opsin restore")


async def _postgres(
    connection: AsyncConnection, milliseconds: float, connections: int
) -> AsyncIterator[Finding]:
    async def value(statement: str) -> Any:
        return (await connection.execute(text(statement))).scalar()

    number = int(await value("SHOW server_version_num"))
    yield good(
        _PART, f"PostgreSQL {await value('SHOW server_version')} answers in {milliseconds:.0f} ms"
    )
    if number // 10_000 < _LEAST_POSTGRES:
        yield poor(
            _PART,
            f"PostgreSQL {number // 10_000} is no longer maintained",
            f"upgrade it to {_LEAST_POSTGRES} or later",
        )
    yield await _clock(connection)
    most, used = (
        int(await value("SHOW max_connections")),
        int(
            await value(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            )
        ),
    )
    told = (
        f"{used} of {most} connections are in use; this machine's processes may open {connections}"
    )
    if connections > most - 3:
        yield poor(
            _PART,
            told,
            "lower OPSIN_DATABASE_POOL, raise max_connections, or put a session pooler before",
        )
    else:
        yield good(_PART, told)
    if await value("SELECT 1 FROM pg_extension WHERE extname = 'vector'"):
        yield good(_PART, "pgvector is there: large searches use its index")
    elif await value("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
        yield poor(
            _PART,
            "pgvector could be there and is not: large searches compare every vector",
            "as a superuser: CREATE EXTENSION vector; then opsin db upgrade",
        )
    invalid = await value(
        "SELECT string_agg(c.relname, ', ') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE NOT i.indisvalid"
    )
    if invalid:
        yield bad(_PART, f"indexes that are not valid: {invalid}", f"REINDEX INDEX {invalid}")
    dead = await connection.execute(
        text(
            "SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables"
            " WHERE n_dead_tup > :least AND n_dead_tup > :share * (n_live_tup + 1)"
            " ORDER BY n_dead_tup DESC LIMIT 5"
        ),
        {"least": _DEAD_ROWS, "share": _DEAD_SHARE},
    )
    for name, rows, live in dead:
        yield poor(
            _PART,
            f"{name} has {rows} dead rows beside {live} live ones",
            f"VACUUM (ANALYZE) {name}; is autovacuum on, and does nobody hold a transaction open?",
        )
    async for finding in _nodes(connection):
        yield finding


async def _clock(connection: AsyncConnection) -> Finding:
    before = datetime.now(UTC)
    theirs = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    after = datetime.now(UTC)
    # Half of the way there and back is nobody's fault.
    middle = before + (after - before) / 2
    seconds = abs((theirs - middle).total_seconds()) - (after - before).total_seconds() / 2
    told = f"its clock and ours differ by {max(seconds, 0.0):.2f} s"
    if seconds < _CLOCK_SECONDS:
        return good(_PART, told)
    make = bad if seconds > _FAR_SECONDS else poor
    return make(_PART, told, "leases end too early or too late: have both follow one time server")


async def _nodes(connection: AsyncConnection) -> AsyncIterator[Finding]:
    """Who else is connected, by the name that each process gives."""
    rows = await connection.execute(
        text(
            "SELECT application_name, count(DISTINCT client_addr) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'opsin %'"
            " GROUP BY 1 ORDER BY 1"
        )
    )
    versions = {str(name).removeprefix("opsin "): hosts for name, hosts in rows}
    if len(versions) > 1:
        told = ", ".join(versions)
        yield poor(
            "nodes",
            f"different versions are connected: {told}",
            "well during a rolling upgrade; otherwise bring the others to one version",
        )
    elif versions:
        (version,) = versions
        yield good("nodes", f"all that are connected run {version}")


def _revision(connection: Any) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _migrations(revision: str | None) -> Finding:
    newest = newest_revision()
    if revision == newest:
        return good(_PART, f"its tables are those of this version ({newest})")
    if revision is None:
        return poor(_PART, "it has no tables yet", "opsin db upgrade, or start the server")
    if not is_known(revision):
        return bad(
            _PART,
            f"its tables ({revision}) are of a newer version than this one ({newest})",
            "install that version of Opsin here",
        )
    return bad(_PART, f"its tables are at {revision}, not at {newest}", "opsin db upgrade")


async def _tables(connection: AsyncConnection) -> AsyncIterator[Finding]:
    def missing(sync: Any) -> list[str]:
        inspector = inspect(sync)
        found: list[str] = []
        for table in metadata.sorted_tables:
            present = {one["name"] for one in inspector.get_indexes(table.name)}
            found += [str(one.name) for one in table.indexes if one.name not in present]
        return found

    lacking = await connection.run_sync(missing)
    if lacking:
        yield bad(
            _PART,
            f"indexes are missing: {', '.join(lacking[:5])}",
            "somebody has dropped them; the statement for each is in opsin/storage/migrations",
        )
    else:
        yield good(_PART, "every index is there")
