"""Waiting for a database that is down, for those who would rather be late than miss something."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from opsin.core.errors import StorageError

T = TypeVar("T")

_SECONDS = 120.0
_PAUSE_SECONDS = 0.5


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What `read` gives as soon as the database answers; raises StorageError when it stays down."""
    down_since: float | None = None
    while True:
        try:
            return await read()
        except StorageError:
            now = time.monotonic()
            down_since = now if down_since is None else down_since
            if now - down_since > _SECONDS:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
