"""Following what happens: the log replayed from a cursor, then live, each event exactly once."""

import asyncio
import time
from collections.abc import AsyncIterator

from opsin.core.errors import InvalidInput, StorageError
from opsin.storage.database import Database
from opsin.storage.event_log import Event, EventFilter, last_position, read_events

_READ_AT_ONCE = 500
_PATIENCE_SECONDS = 120.0
_OUTAGE_POLL_SECONDS = 0.5
_CURSOR_DIGITS = 16


class Events:
    """Reads the log for subscribers; each pulls at its own pace, nothing is queued for it."""

    def __init__(self, database: Database, *, poll_seconds: float) -> None:
        self._database = database
        self._poll_seconds = poll_seconds

    async def position(self) -> int:
        """Where the log ends now."""
        async with self._database.read() as connection:
            return await last_position(connection)

    async def follow(self, wanted: EventFilter, *, after: int | None) -> AsyncIterator[list[Event]]:
        """Events past `after` in order, in groups, for ever; None starts at the end of the log.

        A database that is down is waited for: nothing is missed meanwhile.  Raises StorageError
        when it stays down.
        """
        position = await self.position() if after is None else after
        down_since: float | None = None
        while True:
            seen = self._database.committed.fired
            try:
                async with self._database.read() as connection:
                    found = await read_events(
                        connection, wanted, after=position, limit=_READ_AT_ONCE
                    )
            except StorageError:
                now = time.monotonic()
                down_since = now if down_since is None else down_since
                if now - down_since > _PATIENCE_SECONDS:
                    raise
                await asyncio.sleep(max(self._poll_seconds, _OUTAGE_POLL_SECONDS))
                continue
            down_since = None
            if found:
                position = found[-1].sequence
                yield found
            if len(found) < _READ_AT_ONCE:
                # Another process's commit is not signalled here, hence the limit on the wait.
                await self._database.committed.wait(seen, self._poll_seconds)


def encode_position(sequence: int) -> str:
    """The cursor for a position of the log."""
    return f"{sequence:0{_CURSOR_DIGITS}d}"


def decode_position(cursor: str) -> int:
    """The position a cursor names; raises InvalidInput for any other text."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _CURSOR_DIGITS):
        raise InvalidInput("'after' is not a cursor of the event log")
    return int(cursor)
