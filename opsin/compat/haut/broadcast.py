"""Events for many sockets: a company's are read and written once, and each socket costs little."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial

from starlette.websockets import WebSocket, WebSocketDisconnect

from opsin.core.access import Principal
from opsin.core.errors import StorageError, Unauthenticated
from opsin.core.events import RESYNC, Events
from opsin.core.patience import patiently
from opsin.core.scope import sees
from opsin.storage.event_log import Event, EventFilter

log = logging.getLogger(__name__)

_AT_ONCE = 50
"""Events that are written together."""
MOST_WAITING = 4096
MOST_WAITING_CHARACTERS = 16 * 2**20
"""What may wait for one socket; a reader who is farther behind is let go."""
_CLOSE_SECONDS = 2.0
_RESTART, _REFUSED, _FAILED, _TOO_SLOW = 1012, 1008, 1011, 1013


@dataclass(frozen=True, slots=True)
class Frame:
    """One text to send, and the event that it tells of."""

    company_id: str
    dataset_id: str | None
    sequence: int
    text: str


Confirm = Callable[[], Awaitable[Mapping[str, Principal]]]
"""The caller as they are now, acting for each of the companies whose events are sent, by its id.

Raises Unauthenticated once the caller may see nothing more.
"""
Writer = Callable[[str, Sequence[Event]], Awaitable[Sequence[Frame]]]
"""The frames of a company's events; of some there may be none."""


class Listener:
    """One socket: what waits to be sent to it is bounded, and while nothing does, nothing runs."""

    __slots__ = (
        "_characters",
        "_closing",
        "_confirm",
        "_is_open",
        "_owner",
        "_sending",
        "_socket",
        "_waiting",
        "sent",
    )

    def __init__(self, socket: WebSocket, confirm: Confirm) -> None:
        self.sent: dict[str, int] = {}
        """The last event that was sent of each company."""
        self._socket = socket
        self._confirm = confirm
        self._waiting: deque[Frame] = deque()
        self._characters = 0
        self._is_open = False
        self._closing: int | None = None
        self._sending: asyncio.Task[None] | None = None
        self._owner: asyncio.Task[object] | None = None

    def offer(self, frames: Iterable[Frame]) -> None:
        """Have them sent, in order, behind those that wait."""
        if self._closing is not None:
            return
        for frame in frames:
            self._waiting.append(frame)
            self._characters += len(frame.text)
        if len(self._waiting) > MOST_WAITING or self._characters > MOST_WAITING_CHARACTERS:
            self.end(_TOO_SLOW)
        elif self._is_open and self._waiting and self._sending is None:
            self._sending = asyncio.create_task(self._send())

    def end(self, code: int) -> None:
        """Close the socket, which may be in the middle of a send that never ends."""
        if self._closing is None:
            self._closing = code
            self._waiting.clear()
            if self._owner is not None:
                self._owner.cancel()

    async def run(self, earlier: Sequence[Frame]) -> None:
        """Send `earlier` and then what is offered, until the client goes or `end`."""
        self._owner = asyncio.current_task()
        reached = {frame.company_id: frame.sequence for frame in earlier}
        try:
            await self._socket.accept()
            # What has been offered meanwhile comes behind what was before it, and not again.
            held, self._waiting, self._characters = self._waiting, deque(), 0
            self._is_open = True
            self.offer(earlier)
            self.offer(one for one in held if one.sequence > reached.get(one.company_id, 0))
            while self._closing is None:
                message = await self._socket.receive()  # what clients send says nothing
                if message["type"] == "websocket.disconnect":
                    return
        except (WebSocketDisconnect, RuntimeError):
            pass  # the client has gone
        except asyncio.CancelledError:
            if self._closing is None or self._owner is None:
                raise
            self._owner.uncancel()
        finally:
            self._closing = self._closing or _RESTART
            await self._stop()

    async def _stop(self) -> None:
        """End what is being sent, and say why, to whoever still reads."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._socket.close(self._closing or _RESTART)

    async def _send(self) -> None:
        try:
            while self._waiting:
                # After the event: a token that ended before it sees it no more.
                callers = await patiently(self._confirm)
                for _ in range(len(self._waiting)):
                    frame = self._waiting.popleft()
                    self._characters -= len(frame.text)
                    if sees(callers[frame.company_id], frame.company_id, frame.dataset_id):
                        await self._socket.send_text(frame.text)
                    self.sent[frame.company_id] = frame.sequence
        except Unauthenticated:
            self.end(_REFUSED)
        except StorageError:
            self.end(_FAILED)
        except (WebSocketDisconnect, RuntimeError, IndexError):
            self._waiting.clear()  # it has gone, or is being closed
        finally:
            self._sending = None


class Channel:
    """One company's events: followed once, and handed to all who listen."""

    def __init__(self, events: Events, wanted: EventFilter, write: Writer) -> None:
        self.listeners: set[Listener] = set()
        self._events = events
        self._wanted = wanted
        self._write = write
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())

    async def started(self) -> None:
        """Until whatever happens from now on will be told."""
        await asyncio.shield(self._started)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        code = _FAILED
        try:
            position = await patiently(self._events.position)
            if not self._started.done():
                self._started.set_result(None)
            await self._follow(position)
        except asyncio.CancelledError:
            code = _RESTART
            raise
        except Exception as error:
            expected = isinstance(error, StorageError)
            log.warning("sockets are closed: events cannot be followed", exc_info=not expected)
            if not self._started.done():
                self._started.set_exception(error)
                self._started.exception()  # whoever waited may have gone
        finally:
            self._started.cancel()
            for listener in list(self.listeners):
                listener.end(code)

    async def _follow(self, position: int) -> None:
        groups = self._events.follow(self._wanted, after=position)
        async with aclosing(groups):  # type: ignore[type-var]  # it is a generator
            async for group in groups:
                events = [event for event in group if event.kind != RESYNC]
                for start in range(0, len(events), _AT_ONCE):
                    part = events[start : start + _AT_ONCE]
                    write = partial(self._write, self._wanted.company_id, part)
                    frames = await patiently(write)
                    for listener in list(self.listeners) if frames else ():
                        listener.offer(frames)
                    await asyncio.sleep(0)  # so that they are sent meanwhile


class Broadcast:
    """The channels of one kind of socket, each for as long as somebody listens."""

    def __init__(self, events: Events, kinds: tuple[str, ...], write: Writer) -> None:
        self._events = events
        self._kinds = kinds
        self._write = write
        self._channels: dict[str, Channel] = {}

    async def join(self, listener: Listener, company_ids: Iterable[str]) -> None:
        """What happens in these companies from now on is offered to the listener."""
        joined = []
        for company_id in company_ids:
            channel = self._channels.get(company_id)
            if channel is None:
                wanted = EventFilter(company_id, self._kinds)
                channel = self._channels[company_id] = Channel(self._events, wanted, self._write)
            channel.listeners.add(listener)
            joined.append(channel)
        for channel in joined:
            await channel.started()

    async def leave(self, listener: Listener, company_ids: Iterable[str]) -> None:
        """Also where it has joined in part only."""
        for company_id in company_ids:
            channel = self._channels.get(company_id)
            if channel is None:
                continue
            channel.listeners.discard(listener)
            if not channel.listeners:
                del self._channels[company_id]
                await channel.stop()
