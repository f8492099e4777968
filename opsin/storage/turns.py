"""Turns at a pool of connections: who comes first goes first, and nobody waits for a lost one."""

import asyncio
from contextlib import suppress
from types import TracebackType


class Turns:
    """Lets as many in at once as a pool has connections, so that nobody waits inside of the pool.

    Whoever waits in SQLAlchemy's pool is woken by a connection that comes back, but not when the
    making of one fails or is cancelled: it would wait out its whole time while the pool is idle.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._free = asyncio.Semaphore(most)
        self._is_closed = False

    async def __aenter__(self) -> None:
        """Raises TimeoutError for whoever has waited so many seconds, and at once when closed."""
        if self._free.locked():
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        else:
            await self._free.acquire()  # at once
        if self._is_closed:
            self._free.release()
            raise ConnectionError("the database is closed")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._free.release()

    async def close(self, seconds: float) -> None:
        """Let nobody in any more, and wait for those inside, so many seconds at most.

        A pool that is disposed of closes what it has at home; what comes back later stays open.
        """
        self._is_closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for _ in range(self._most):
                    await self._free.acquire()
        for _ in range(self._most):
            self._free.release()
