"""How late the event loop is: the first sign that something keeps it from its work."""

import asyncio

from opsin.core.histogram import Histogram

_EVERY_SECONDS = 0.25


class LoopLag:
    """Sleeps for a moment, again and again, and counts by how much longer it took."""

    def __init__(self) -> None:
        self.seconds = Histogram()

    async def watch(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY_SECONDS
            await asyncio.sleep(_EVERY_SECONDS)
            self.seconds.add(max(0.0, loop.time() - due))
