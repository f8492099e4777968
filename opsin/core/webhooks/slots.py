"""How many attempts may be under way at once, so that who hangs does not hold up who answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Slots:
    """Most for receivers that answered last time, some for those that did not."""

    def __init__(self, most: int, is_held: Callable[[], bool] = lambda: True) -> None:
        self._answering = asyncio.Semaphore(most)
        self._failing = asyncio.Semaphore(max(1, most // 4))
        self._is_held = is_held
        self._renewed = asyncio.Event()

    def renewed(self) -> None:
        """The lease has been renewed: go on, if that is what was waited for."""
        renewed, self._renewed = self._renewed, asyncio.Event()
        renewed.set()

    @asynccontextmanager
    async def taken(self, *, is_failing: bool) -> AsyncIterator[None]:
        """A place, while the lease lasts for longer than an attempt can."""
        async with self._failing if is_failing else self._answering:
            while not self._is_held():
                await self._renewed.wait()
            yield
