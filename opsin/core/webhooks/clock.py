"""The time, and waiting for it or for something to happen, whichever is first."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime


class Clock:
    """The real one; tests have one that they move on by hand."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def wait(self, woken: asyncio.Event, seconds: float | None) -> None:
        """Until `woken` is set, so many seconds at most; None waits for ever."""
        if seconds is not None and seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await woken.wait()
