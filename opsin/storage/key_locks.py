"""Locks by number that all processes at one database see, and that end with their process."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from opsin.storage.silent_peers import SERVER_SETTINGS, connection_class

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds for which the database is waited for; nobody is worse off without a lock."""


class KeyLocks(Protocol):
    """Held by the process, not by who asked: taking one again says yes, and counts."""

    async def take(self, keys: Sequence[int]) -> frozenset[int]:
        """Those of the keys, each of 63 bits, that no other process holds, now held by this one.

        Where nobody can be asked that is all of them: the locks save work, and protect nothing.
        """

    async def release(self, keys: Sequence[int]) -> None:
        """Give up what was taken, each as often as it is named."""

    async def close(self) -> None:
        """Give up everything."""


class FileKeyLocks:
    """Each lock is a byte, which need not exist, of a file beside SQLite's.

    A process is asked by its number: two databases opened in one process do not see each other's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._taken: Counter[int] = Counter()

    async def take(self, keys: Sequence[int]) -> frozenset[int]:
        try:
            import fcntl  # not on Windows, where several processes may do the same work
        except ModuleNotFoundError:
            return frozenset(keys)
        try:
            file = self._opened()
        except OSError as error:
            log.debug("no lock can be had of %s: %s", self._path, error)
            return frozenset(keys)
        taken = set()
        for key in keys:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, key)
            except (BlockingIOError, PermissionError):
                continue  # another process has it
            except OSError as error:
                log.debug("no lock can be had of %s: %s", self._path, error)
            self._taken[key] += 1
            taken.add(key)
        return frozenset(taken)

    async def release(self, keys: Sequence[int]) -> None:
        for key in keys:
            self._taken[key] -= 1
            if self._taken[key] > 0:
                continue
            del self._taken[key]
            if self._file is not None:
                import fcntl

                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, key)

    async def close(self) -> None:
        self._taken.clear()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file


class PostgresKeyLocks:
    """Advisory locks of one session, which is opened when the first is wanted."""

    def __init__(self, connect_arguments: Mapping[str, Any], name: str) -> None:
        self._connect_arguments = connect_arguments
        self._settings = SERVER_SETTINGS | {"application_name": name}
        self._turn = asyncio.Lock()
        self._connection: Any = None
        self._taken: Counter[int] = Counter()

    async def take(self, keys: Sequence[int]) -> frozenset[int]:
        import asyncpg

        unreachable = OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError
        try:
            async with asyncio.timeout(_PATIENCE), self._turn:
                connection = await self._opened()
                rows = await connection.fetch(_TAKE, list(keys))
        except unreachable:
            log.debug("the database cannot be asked for locks now", exc_info=True)
            self._drop()  # nobody knows what it has taken
            return frozenset(keys)
        taken = frozenset(row[0] for row in rows)
        self._taken.update(taken)
        return taken

    async def release(self, keys: Sequence[int]) -> None:
        import asyncpg

        unreachable = OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError
        try:
            async with asyncio.timeout(_PATIENCE), self._turn:
                # Those of a session that was lost are gone with it.
                held = [key for key in keys if self._taken[key] > 0]
                self._taken.subtract(held)
                self._taken = +self._taken
                if held and self._connection is not None:
                    await self._connection.execute(_RELEASE, held)
        except unreachable:
            self._drop()  # the session that ends gives them up

    async def close(self) -> None:
        async with self._turn:
            self._drop()

    async def _opened(self) -> Any:
        import asyncpg

        if self._connection is None or self._connection.is_closed():
            self._drop()
            self._connection = await asyncpg.connect(
                **self._connect_arguments,
                connection_class=connection_class(),
                server_settings=self._settings,
            )
        return self._connection

    def _drop(self) -> None:
        self._taken.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


_TAKE = "SELECT key FROM unnest($1::bigint[]) AS key WHERE pg_try_advisory_lock(key)"
_RELEASE = "SELECT pg_advisory_unlock(key) FROM unnest($1::bigint[]) AS key"
