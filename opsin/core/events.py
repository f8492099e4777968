"""Following what happens: the log replayed from a cursor, then live, each event exactly once."""

from collections.abc import AsyncIterator

from opsin.core.errors import InvalidInput
from opsin.storage.database import Database
from opsin.storage.event_log import Event, EventFilter, last_position, read_events

_READ_AT_ONCE = 500
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
        """Events past `after` in order, in groups, for ever; None starts at the end of the log."""
        position = await self.position() if after is None else after
        while True:
            seen = self._database.committed.fired
            async with self._database.read() as connection:
                found = await read_events(connection, wanted, after=position, limit=_READ_AT_ONCE)
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
