"""Following what happens: the log replayed from a cursor, then live, each event exactly once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from opsin.core.access import Principal
from opsin.core.errors import InvalidInput
from opsin.core.event_hub import EventHub, Feed
from opsin.core.histogram import Histogram
from opsin.core.patience import patiently
from opsin.storage.database import Database
from opsin.storage.event_log import Event, EventFilter, last_position, last_position_in, read_events

T = TypeVar("T")

RESYNC = "resync"
"""The kind of the event, of no analysis and in no log, that tells a follower it is far behind."""

_READ_AT_ONCE = 500
CURSOR_DIGITS = 16


class Events:
    """Follows the log for subscribers, each at its own pace; nothing is queued for one.

    Whoever is behind reads the database for itself; whoever has caught up shares what the hub, the
    one reader of this process, reads once for all.
    """

    def __init__(self, database: Database, *, poll_seconds: float) -> None:
        self._is_stopped = False
        self.delays = Histogram()
        """Seconds from an event to when it is read for those who follow."""
        self._database = database
        self._poll_seconds = poll_seconds
        self._hub: EventHub | None = None
        self._unfinished: set[asyncio.Task[Any]] = set()

    @property
    def followers(self) -> int:
        """How many follow the log now, webhooks included."""
        return 0 if self._hub is None else self._hub.followers

    @property
    def read_to(self) -> int | None:
        """How far the log has been read for them; None while nobody follows."""
        return None if self._hub is None else self._hub.position

    async def position(self, company_id: str | None = None) -> int:
        """Where the log ends now, or the part of it that is one company's."""
        async with self._database.read() as connection:
            return await last_position(connection, company_id)

    async def position_for(self, principal: Principal) -> int:
        """Where the part of the log ends that the caller sees."""
        company_id, readable = principal.company_id, principal.rights.readable
        if readable is None:
            return await self.position(company_id)
        async with self._database.read() as connection:
            return await last_position_in(connection, company_id, readable)

    async def follow(
        self,
        wanted: EventFilter,
        *,
        after: int | None,
        datasets: Callable[[], Awaitable[Sequence[str] | None]] | None = None,
    ) -> AsyncIterator[list[Event]]:
        """Events past `after` in order, in groups, for ever; None starts at the end of the log.

        A follower that was live and is overtaken by more than the hub keeps gets a group of one
        RESYNC whose position is the follower's own; then goes on from there, and misses nothing.

        What happened before is looked for only in the `datasets` that the follower sees by then,
        if they do not see all of the company.  Of what is live they get, and pass over, the rest.

        A database that is down is waited for: nothing is missed meanwhile.  Raises StorageError
        when it stays down, CancelledError when the process is about to end (`stop`).
        """
        # Before anything else: what happens from now on is what the caller waits for.
        position = await self._whole(self.position) if after is None else after
        async with self._feed(wanted) as (hub, feed):
            is_live = False
            while True:
                if hub.error is not None:
                    raise hub.error
                if self._is_stopped:
                    raise asyncio.CancelledError
                if position >= feed.since:
                    is_live = True
                    if found := feed.after(position):
                        position = found[-1].sequence
                        yield found
                    else:
                        await feed.changed()
                    continue
                if is_live:
                    is_live = False
                    yield [_resync(wanted, position)]
                # Taken before the look at the database, which shows at least as much.
                reached = hub.position
                within = None if datasets is None else await datasets()
                found = await self._whole(partial(self._read, wanted, position, within))
                if found:
                    position = found[-1].sequence
                    yield found
                if len(found) < _READ_AT_ONCE:
                    position = max(position, reached)

    def stop(self) -> None:
        """Cancel all who follow, now and later: the process is about to end."""
        self._is_stopped = True
        if self._hub is not None:
            self._hub.wake()

    async def close(self) -> None:
        """Stop, and let go of the database."""
        self.stop()
        if self._hub is not None:
            self._hub.stop()
        if self._unfinished:
            await asyncio.wait(self._unfinished)

    async def _whole(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `read` gives, patiently; a caller who goes does not cut it in the middle.

        A driver that is cancelled while it opens a connection would leave that open for ever.
        """
        return await patiently(lambda: asyncio.shield(self._finish(asyncio.create_task(read()))))

    def _finish(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Have `close` wait for it."""
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def _read(
        self, wanted: EventFilter, position: int, datasets: Sequence[str] | None
    ) -> list[Event]:
        async with self._database.read() as connection:
            return await read_events(
                connection, wanted, after=position, limit=_READ_AT_ONCE, datasets=datasets
            )

    @asynccontextmanager
    async def _feed(self, wanted: EventFilter) -> AsyncIterator[tuple[EventHub, Feed]]:
        """The hub, which runs for as long as anybody follows, and its feed of `wanted`."""
        if self._hub is None or self._hub.error is not None:
            self._hub = EventHub(
                self._database, poll_seconds=self._poll_seconds, delays=self.delays
            )
            self._finish(self._hub.task)
        hub = self._hub
        hub.followers += 1
        try:
            await hub.started()
            feed = hub.join(wanted)
            try:
                yield hub, feed
            finally:
                hub.leave(wanted)
        finally:
            hub.followers -= 1
            if not hub.followers:
                hub.stop()
                if self._hub is hub:
                    self._hub = None


def _resync(wanted: EventFilter, position: int) -> Event:
    return Event(position, wanted.company_id, RESYNC, None, None, None, {}, datetime.now(UTC))


def encode_position(sequence: int) -> str:
    """The cursor for a position of the log."""
    return f"{sequence:0{CURSOR_DIGITS}d}"


def decode_position(cursor: str) -> int:
    """The position a cursor names; raises InvalidInput for any other text."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= CURSOR_DIGITS):
        raise InvalidInput("'after' is not a cursor of the event log")
    return int(cursor)
