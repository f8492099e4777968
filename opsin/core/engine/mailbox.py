"""How threads reach the event loop: many messages, one wake-up."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

logger = logging.getLogger("opsin.engine")

T = TypeVar("T")


class Mailbox:
    """Messages from any thread, handled in order on the event loop."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._messages: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._woken = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve this loop from now on; what came since the last one was closed is not lost."""
        self.loop = loop
        self._woken = True
        loop.call_soon(self._open)

    def post(self, handler: Callable[[T], None], message: T) -> None:
        """Have `handler(message)` called on the loop, soon."""
        self._messages.append((handler, message))
        if self._woken or self.loop is None:
            return
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._open)
        except RuntimeError:  # the loop is closed: nobody waits for an answer any more
            logger.debug("a message came after its event loop was closed")

    def _open(self) -> None:
        # Before the messages are counted: one that comes later wakes the loop again.
        self._woken = False
        for _ in range(len(self._messages)):
            handler, message = self._messages.popleft()
            try:
                handler(message)
            except Exception:  # the next message is somebody else's
                logger.exception("the engine could not handle a message")
