"""A clock that stands still until a test moves it on."""

import asyncio
from datetime import UTC, datetime, timedelta

from opsin.core.webhooks.clock import Clock


class HandClock(Clock):
    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def move(self, by: timedelta) -> None:
        self._now += by
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def wait(self, woken: asyncio.Event, seconds: float | None) -> None:
        until = None if seconds is None else self._now + timedelta(seconds=seconds)
        waking = asyncio.ensure_future(woken.wait())
        try:
            while not woken.is_set() and (until is None or self._now < until):
                moving = asyncio.ensure_future(self._moved.wait())
                await asyncio.wait({waking, moving}, return_when=asyncio.FIRST_COMPLETED)
                moving.cancel()
        finally:
            waking.cancel()
