"""The database: engines for SQLite and PostgreSQL, reads, and writes that carry their events."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from opsin.core.errors import ConfigurationError, MissingExtra, StorageError
from opsin.storage.audit import NewAuditEntry, append_audit
from opsin.storage.event_log import NewEvent, append_events
from opsin.storage.json_text import dump_json, load_json
from opsin.storage.key_locks import FileKeyLocks, KeyLocks, PostgresKeyLocks
from opsin.storage.notifications import Notifications
from opsin.storage.reader import PostgresReader, Reader, SqliteReader
from opsin.storage.silent_peers import SERVER_SETTINGS, connection_class
from opsin.storage.substring import CARRIES, carries
from opsin.storage.turns import Turns

_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # In WAL mode NORMAL survives a killed process; a power cut may undo the last moments.
    "PRAGMA synchronous=NORMAL",
    "PRAGMA busy_timeout=30000",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA mmap_size=268435456",
    "PRAGMA cache_size=-65536",
)

_SQLITE_READERS = 4
"""Threads that read for compiled reads; SQLite lets go of the interpreter while it works."""

_SQLITE_POOL = 4
_PATIENCE = 60.0
"""Seconds for which somebody waits for a connection that others use."""

_CLOSING = 10.0
"""Seconds for which a database that is closed waits for those who are at it."""

_BLOB_LOCK = 0x6F7073696C
_STAY = text("SET LOCAL idle_in_transaction_session_timeout = 0")


class _SqliteConnection(sqlite3.Connection):
    """Set up in one piece, and ends its transaction when closed.

    Whoever waits for it may be cancelled at any moment, and would leave one behind that is half
    set up.  SQLite keeps a closed connection, and its write lock, for as long as somebody holds a
    cursor with rows left; the traceback of a cancelled caller is such a somebody.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The driver must not begin transactions of its own; ours begin in `on_begin`.
        self.isolation_level = None
        try:
            for pragma in _SQLITE_PRAGMAS:
                self.execute(pragma)
        except sqlite3.DatabaseError as error:
            # The first statement tells of it; the driver would complain of a connection not made.
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
        self.create_function(CARRIES, 3, carries, deterministic=True)

    def close(self) -> None:
        try:
            with suppress(sqlite3.ProgrammingError):  # a cancelled caller closes a second time
                if self.in_transaction:
                    self.rollback()
        finally:
            super().close()


class Transaction:
    """One write: its connection, and the events and audit entries that are committed with it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.events: list[NewEvent] = []
        self.audited: list[NewAuditEntry] = []

    async def lock_blobs(self, *, exclusive: bool, for_long: bool = False) -> None:
        """Keep the sweeper (exclusive) and those who are about to name a blob (shared) apart.

        `for_long`: PostgreSQL shall not end this transaction because nothing is asked in it.
        """
        if self.connection.dialect.name == "postgresql":
            function = "pg_advisory_xact_lock" + ("" if exclusive else "_shared")
            await self.connection.execute(text(f"SELECT {function}(:key)"), {"key": _BLOB_LOCK})
            if for_long:
                await self.connection.execute(_STAY)
        # On SQLite the transaction itself excludes every other writer.

    def emit(self, event: NewEvent) -> None:
        """Tell of a change made in this transaction."""
        self.events.append(event)

    def audit(self, entry: NewAuditEntry) -> None:
        """Note who did what in this transaction; see `opsin.core.audit`."""
        self.audited.append(entry)


class Signal:
    """Wakes whoever waits for a commit: of this process, or of another that was heard of."""

    def __init__(self) -> None:
        self.fired = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def fire(self) -> None:
        self.fired += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, since: int, seconds: float) -> None:
        """Until it has fired more than `since` times, so many seconds at most.

        Take `fired` before looking at the database, so that a commit during the look is not missed.
        """
        if self.fired != since:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait_for(future, seconds)
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(future)


class Database:
    """Reads on a pool of connections, writes one transaction at a time on SQLite.

    `name` is what PostgreSQL, and so `opsin doctor` elsewhere, is told of who is connected.
    """

    def __init__(self, url: str, *, pool_size: int = 16, name: str = "opsin") -> None:
        self.url = database_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.committed = Signal()
        self._name = name
        self.reader: Reader
        self._straight: PostgresReader | None = None
        self._overflow = 0
        if self.is_sqlite:
            if self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            self._reader = _sqlite_engine(self.url, begin="BEGIN", pool_size=_SQLITE_POOL)
            self._read_turns = Turns(_SQLITE_POOL, _PATIENCE)
            # One writer per process: waiting in a queue of ours is fair, SQLite's is not.
            self._writer = _sqlite_engine(self.url, begin="BEGIN IMMEDIATE", pool_size=1)
            self._write_turns = Turns(1, _PATIENCE)
            self.reader = SqliteReader(self._connect_to_read, _SQLITE_READERS)
        else:
            self._reader = self._writer = _engine(
                self.url,
                pool_size=pool_size,
                max_overflow=pool_size,
                pool_pre_ping=True,
                connect_args={
                    "server_settings": SERVER_SETTINGS | {"application_name": name},
                    "connection_class": _connection_class(),
                },
            )
            self._read_turns = self._write_turns = Turns(2 * pool_size, _PATIENCE)
            _, arguments = self._reader.dialect.create_connect_args(self.url)
            self.reader = self._straight = PostgresReader(arguments, pool_size, name)
            self._overflow = pool_size

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one snapshot on SQLite, committed rows on PostgreSQL."""
        with _storage_errors():
            async with self._read_turns, self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """A transaction; its events are appended last and committed with it.

        Raises StorageError when the database cannot be reached, IntegrityError as SQLAlchemy does.
        """
        with _storage_errors():
            async with self._write_turns, self._writer.begin() as connection:
                transaction = Transaction(connection)
                yield transaction
                if transaction.events:
                    await append_events(connection, transaction.events, transaction.audited)
                elif transaction.audited:
                    await append_audit(connection, transaction.audited)
        if transaction.events:
            self.committed.fire()

    def notifications(self, heard: Callable[[int | None], None]) -> Notifications | None:
        """What tells of other processes' commits, to be run; None where only a poll can."""
        if self.is_sqlite:
            return None
        _, arguments = self._reader.dialect.create_connect_args(self.url)
        return Notifications(arguments, heard)

    def key_locks(self) -> KeyLocks:
        """Locks that all processes at this database see; closed by who asks for them."""
        if self.is_sqlite:
            return FileKeyLocks(Path(f"{self.url.database}-locks"))
        _, arguments = self._reader.dialect.create_connect_args(self.url)
        return PostgresKeyLocks(arguments, self._name)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """What runs statements, for those who watch it: one engine, or a reader and a writer."""
        found = (self._reader, self._writer)
        return tuple(one.sync_engine for one in dict.fromkeys(found))

    def pool_use(self) -> dict[str, tuple[int, int]]:
        """By pool: the connections that are in use now, and how many there may be."""
        pools = {"read": self._reader.pool, "write": self._writer.pool}
        if self._reader is self._writer:
            pools = {"main": self._reader.pool}
        found = {
            name: (pool.checkedout(), pool.size() + self._overflow)
            for name, pool in pools.items()
            if isinstance(pool, QueuePool)
        }
        if self._straight is not None:
            found["compiled"] = self._straight.in_use, self._straight.size
        return found

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Let `committed` fire at other processes' commits, too, where PostgreSQL tells of them."""
        notifications = self.notifications(lambda _position: self.committed.fire())
        if notifications is None:
            yield
            return
        task = asyncio.create_task(notifications.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _connect_to_read(self) -> sqlite3.Connection:
        # Made in the thread that uses it, closed by the one that closes the database.
        connection = sqlite3.connect(
            self.url.database or "", check_same_thread=False, factory=_SqliteConnection
        )
        connection.execute("PRAGMA query_only=ON")
        return connection

    async def close(self) -> None:
        """Wait a moment for those who are at it, then close every connection."""
        await self.reader.close()
        await asyncio.gather(
            *(turns.close(_CLOSING) for turns in {self._read_turns, self._write_turns})
        )
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()


def database_url(url: str) -> URL:
    """The URL with the async driver that Opsin uses for its database."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (SQLAlchemyError, ValueError):
        raise ConfigurationError(
            "OPSIN_DATABASE_URL cannot be read: use sqlite:///path or postgresql://user@host/name"
        ) from None
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    if backend == "postgres":
        backend = "postgresql"
    if backend not in drivers:
        raise ConfigurationError(
            f"OPSIN_DATABASE_URL: {backend!r} is not supported, use sqlite or postgresql"
        )
    return parsed.set(drivername=drivers[backend])


def _connection_class() -> type[Any]:
    try:
        return connection_class()
    except ModuleNotFoundError:
        raise MissingExtra("a PostgreSQL database", "postgres") from None


def connect_without_pool(url: URL) -> AsyncEngine:
    """An engine for a single task, such as a migration."""
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        return _engine(url, poolclass=NullPool, connect_args={"factory": _SqliteConnection})
    return _engine(url, poolclass=NullPool)


def _engine(url: URL, **options: Any) -> AsyncEngine:
    try:
        return create_async_engine(
            url, json_serializer=dump_json, json_deserializer=load_json, **options
        )
    except (ModuleNotFoundError, NoSuchModuleError):
        raise MissingExtra("a PostgreSQL database", "postgres") from None


def _sqlite_engine(url: URL, *, begin: str, pool_size: int) -> AsyncEngine:
    engine = _engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"factory": _SqliteConnection},
    )

    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "begin", on_begin)
    return engine


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeout, OSError) as error:
        raise StorageError("the database could not do this now; try again") from error
