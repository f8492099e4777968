"""Waiting for a store that is down: what it was asked is asked again, for minutes."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from opsin.core.errors import StorageError

log = logging.getLogger(__name__)

T = TypeVar("T")

_LONGEST_PAUSE = 30.0
_MOST_TRIES = 12
"""Of one read or write while a store is down: about two and a half minutes."""


class Pauses:
    """Each twice as long as the one before, within a bound, and never quite the same."""

    def __init__(self, first: float) -> None:
        self.next = first

    async def wait(self) -> None:
        await asyncio.sleep(self.next * random.uniform(0.8, 1.2))
        self.next = min(self.next * 2, _LONGEST_PAUSE)


async def patiently(call: Callable[[], Awaitable[T]], complaint: str, *, first_pause: float) -> T:
    """The call's answer; StorageError when the store stays down."""
    pauses = Pauses(first_pause)
    for _ in range(_MOST_TRIES - 1):
        try:
            return await call()
        except StorageError:
            log.warning("%s, trying again in %.1f s", complaint, pauses.next)
            await pauses.wait()
    return await call()
