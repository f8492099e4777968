"""Waiting for a store that is down, for those who would rather be late than miss something."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from opsin.core.errors import StorageError

log = logging.getLogger(__name__)

T = TypeVar("T")

_SECONDS = 150.0
"""For which one read or write waits while the store is down."""
_LONGEST_PAUSE = 5.0
_SHORT_PAUSE = 0.5


class Pauses:
    """Each twice as long as the one before, within a bound, and never quite the same."""

    def __init__(self, first: float, longest: float = _LONGEST_PAUSE) -> None:
        self.next = first
        self._longest = longest

    async def wait(self) -> None:
        await asyncio.sleep(self.next * random.uniform(0.8, 1.2))
        self.next = min(self.next * 2, self._longest)


async def patiently(
    call: Callable[[], Awaitable[T]], complaint: str | None = None, pauses: Pauses | None = None
) -> T:
    """What `call` gives as soon as the store answers; StorageError when it stays down.

    The pauses are those of somebody who is waited for, unless others are given; each is logged
    with the complaint, if there is one.
    """
    pauses = pauses or Pauses(_SHORT_PAUSE, _SHORT_PAUSE)
    down_since: float | None = None
    while True:
        try:
            return await call()
        except StorageError:
            now = time.monotonic()
            down_since = now if down_since is None else down_since
            if now - down_since > _SECONDS:
                raise
            if complaint is not None:
                log.warning("%s, trying again in %.1f s", complaint, pauses.next)
            await pauses.wait()
