"""The one reader of the event log in this process, and the newest events by who wants them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import StorageError
from opsin.core.histogram import Histogram
from opsin.core.patience import patiently
from opsin.storage.database import Database
from opsin.storage.event_log import Event, EventFilter, last_position, read_events

KEPT_EVENTS = 1000
"""How many of the newest events are kept for the followers of one filter."""
_READ_AT_ONCE = 1000
_SECONDS_PER_FOLLOWER, _LONGEST_GATHERING = 0.000_03, 0.05
"""About what it takes to write to one follower, whose first event costs more than the others."""
_LISTENING_POLL_SECONDS = 5.0
"""While PostgreSQL tells of commits, the poll only is for a connection that is lost silently."""

Shape = tuple[tuple[str, ...] | None, bool, bool, bool]
"""Which members of a filter are given: the kinds, and whether dataset, image and analysis are."""


class Feed:
    """The newest events that one filter wants, for all who follow it.

    Every such event past the position `since` is here; older ones are in the database.  A follower
    keeps nothing but its own position, so a slow one costs no more memory than a fast one.
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.followers = 0
        self._events: deque[Event] = deque()
        self._waiting: set[asyncio.Future[None]] = set()

    def after(self, position: int) -> list[Event]:
        """The events past a position that is not before `since`, oldest first."""
        found = []
        for event in reversed(self._events):
            if event.sequence <= position:
                break
            found.append(event)
        found.reverse()
        return found

    def add(self, event: Event) -> None:
        self._events.append(event)
        if len(self._events) > KEPT_EVENTS:
            self.since = self._events.popleft().sequence

    def wake(self) -> int:
        """Let those who wait look up; gives how many they are."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return len(waiting)

    async def changed(self) -> None:
        """Until the next event, or the end of the hub."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


class EventHub:
    """Reads each new event once, whoever's it is, and hands it to the feeds that want it.

    It reads until it is stopped, or until the database has been down for too long (`error`).
    """

    def __init__(
        self, database: Database, *, poll_seconds: float, delays: Histogram | None = None
    ) -> None:
        self.position = 0
        self.followers = 0
        self.error: StorageError | None = None
        self._is_reading = False
        self._is_stopped = False
        self._database = database
        self._poll_seconds = poll_seconds
        self._feeds: dict[EventFilter, Feed] = {}
        self._shapes: dict[Shape, int] = {}
        self._notifications = database.notifications(self._heard)
        self.delays = delays or Histogram()
        self._started = asyncio.Event()
        # For all who follow, not for the one whose request was the first.
        self.task = asyncio.create_task(self._run(), context=Context())

    async def started(self) -> None:
        """Until the end of the log is known; raises StorageError when it cannot be."""
        await self._started.wait()
        if self.error is not None:
            raise self.error

    def join(self, wanted: EventFilter) -> Feed:
        """The feed of a filter, from here on or from wherever others have it from."""
        feed = self._feeds.get(wanted)
        if feed is None:
            feed = self._feeds[wanted] = Feed(self.position)
            shape = _shape(wanted)
            self._shapes[shape] = self._shapes.get(shape, 0) + 1
        feed.followers += 1
        return feed

    def leave(self, wanted: EventFilter) -> None:
        feed = self._feeds[wanted]
        feed.followers -= 1
        if not feed.followers:
            del self._feeds[wanted]
            shape = _shape(wanted)
            self._shapes[shape] -= 1
            if not self._shapes[shape]:
                del self._shapes[shape]

    def wake(self) -> None:
        """Let all followers look up: something has changed that is no event."""
        self._started.set()
        for feed in self._feeds.values():
            feed.wake()

    def stop(self) -> None:
        """Read no more; a read that has begun is ended, so that its connection is not cut."""
        self._is_stopped = True
        if not self._is_reading:
            self.task.cancel()

    async def _run(self) -> None:
        listening = None
        if self._notifications is not None:
            listening = asyncio.create_task(self._notifications.run())
        try:
            await self._read_on()
        except StorageError as error:
            self.error = error
            self.wake()
        finally:
            if listening is not None:
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening

    async def _read_on(self) -> None:
        self.position = await patiently(self._end_of_log)
        self._started.set()
        while True:
            seen = self._database.committed.fired
            events = await patiently(self._read)
            woken = self._hand_out(events)
            # Meanwhile events gather, and many followers get several of them in one go.
            await asyncio.sleep(min(woken * _SECONDS_PER_FOLLOWER, _LONGEST_GATHERING))
            if len(events) < _READ_AT_ONCE:
                await self._database.committed.wait(seen, self._pause())

    def _pause(self) -> float:
        """Another process's commit is signalled by PostgreSQL only, hence the poll."""
        listening = self._notifications is not None and self._notifications.listening
        return max(self._poll_seconds, _LISTENING_POLL_SECONDS) if listening else self._poll_seconds

    async def _end_of_log(self) -> int:
        async with self._connection() as connection:
            return await last_position(connection)

    async def _read(self) -> list[Event]:
        async with self._connection() as connection:
            return await read_events(connection, None, after=self.position, limit=_READ_AT_ONCE)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        self._is_reading = True
        try:
            async with self._database.read() as connection:
                yield connection
        finally:
            self._is_reading = False
        if self._is_stopped:
            raise asyncio.CancelledError

    def _hand_out(self, events: Sequence[Event]) -> int:
        """Give each event to whoever wants it; gives how many followers that has woken."""
        changed: set[Feed] = set()
        now = datetime.now(UTC)
        for event in events:
            self.delays.add(max(0.0, (now - event.created_at).total_seconds()))
            for feed in self._wanting(event):
                feed.add(event)
                changed.add(feed)
        self.position = events[-1].sequence if events else self.position
        return sum(feed.wake() for feed in changed)

    def _wanting(self, event: Event) -> Iterator[Feed]:
        """The feeds of an event: at most one for each shape, however many filters there are."""
        for shape in self._shapes:
            kinds, dataset, image, analysis = shape
            wanted = EventFilter(
                event.company_id,
                kinds,
                event.dataset_id if dataset else None,
                event.image_id if image else None,
                event.analysis_id if analysis else None,
            )
            # An event that is of no image, say, is not for those who want one image's.
            fits = (kinds is None or event.kind in kinds) and _shape(wanted) == shape
            if fits and (feed := self._feeds.get(wanted)) is not None:
                yield feed

    def _heard(self, position: int | None) -> None:
        """PostgreSQL tells of a commit, maybe of this process, maybe read long since."""
        if position is None or position > self.position:
            self._database.committed.fire()


def _shape(wanted: EventFilter) -> Shape:
    return (
        wanted.kinds,
        wanted.dataset_id is not None,
        wanted.image_id is not None,
        wanted.analysis_id is not None,
    )
