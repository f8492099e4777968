"""How much a worker takes on: analyses for about a second, bytes of pictures within a budget."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LEAST = 16
_QUICK_SECONDS = 0.5
_SLOW_SECONDS = 2.0


class Pace:
    """The size of the next claim: doubled while claims end quickly, halved when they take long.

    So a worker on slow operations does not hold what another worker could run.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = min(_LEAST, most)

    def ended(self, count: int, seconds: float) -> None:
        """A claim of `count` analyses took this long."""
        if seconds < _QUICK_SECONDS and count >= self.size // 2:
            self.size = min(self.size * 2, self._most)
        elif seconds > _SLOW_SECONDS:
            self.size = max(self.size // 2, min(_LEAST, self._most))


class ByteBudget:
    """Lets holders in while their bytes fit together; one that is larger than all goes alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Wait until `size` bytes fit, and keep them until the block ends."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._held or self._held + size <= self._limit)
            self._held += size
        try:
            yield
        finally:
            self._held -= size
            async with self._changed:
                self._changed.notify_all()
