"""What a pooler between Opsin and PostgreSQL does to sessions: found out by trying."""

from dataclasses import dataclass

from opsin.core.errors import StorageError
from opsin.storage.database import connect_without_pool, database_url
from opsin.storage.silent_peers import SERVER_SETTINGS

_REFUSES = "unsupported startup parameter"
"""How PgBouncer begins to say that it does not take a setting."""
_SECONDS = 10.0
_SHOWN = "idle_in_transaction_session_timeout"


@dataclass(frozen=True, slots=True)
class Pooling:
    """What becomes of a session's settings, and of the session itself."""

    refused: str | None = None
    """The setting that is not taken, and with it the connection."""
    keeps_settings: bool = True
    shares_sessions: bool = False
    """Whether two connections that are open get one session: transaction or statement pooling."""


async def pooling(url: str) -> Pooling:
    """Open two connections as Opsin does; StorageError where PostgreSQL cannot be reached."""
    import asyncpg

    engine = connect_without_pool(database_url(url))
    _, arguments = engine.dialect.create_connect_args(engine.url)

    async def opened() -> asyncpg.Connection:
        return await asyncpg.connect(
            **arguments,
            timeout=_SECONDS,
            command_timeout=_SECONDS,
            statement_cache_size=0,  # or a pooler that shares sessions would fail before it is seen
            server_settings=SERVER_SETTINGS,
        )

    connections = []
    try:
        first = await opened()
        connections.append(first)
        milliseconds = await first.fetchval(
            "SELECT setting FROM pg_settings WHERE name = $1", _SHOWN
        )
        process = await first.fetchval("SELECT pg_backend_pid()")
        # The first one is open, and does nothing: who shares sessions gives its own to the second.
        second = await opened()
        connections.append(second)
        other = await second.fetchval("SELECT pg_backend_pid()")
    except asyncpg.PostgresError as error:
        if _REFUSES in str(error):
            return Pooling(refused=str(error).rpartition(":")[2].strip())
        raise StorageError(f"PostgreSQL cannot be asked: {type(error).__name__}") from error
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise StorageError("PostgreSQL cannot be reached") from error
    finally:
        for connection in connections:
            connection.terminate()
        await engine.dispose()
    return Pooling(
        keeps_settings=milliseconds == SERVER_SETTINGS[_SHOWN], shares_sessions=process == other
    )
