"""The requests that were let in: each until it has its answer, and nothing of it stays."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from opsin.core.engine.admission import Admission
from opsin.core.engine.region_cache import RegionCache
from opsin.core.engine.request import Request
from opsin.core.engine.runners import Runners
from opsin.core.errors import Cancelled, DeadlineExceeded


class Requests:
    """Lets requests in, waits for their answers, and clears up behind them; on the event loop.

    `attach` is told the loop before anything is done on it.
    """

    def __init__(
        self,
        queue_limit: int,
        runners: Runners,
        regions: RegionCache,
        attach: Callable[[asyncio.AbstractEventLoop], None],
    ) -> None:
        self.admission = Admission(queue_limit)
        self._runners = runners
        self._regions = regions
        self._attach = attach
        self._open: set[Request[Any]] = set()
        self._closed = False

    @property
    def are_open(self) -> bool:
        """Whether anybody waits for an answer."""
        return bool(self._open)

    async def carry_out(self, request: Request[Any], start: Callable[[], None]) -> None:
        """Accept a request and wait for its answer; whatever happens, nothing of it stays."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise Cancelled("the engine is closed")
        if request.deadline <= loop.time():
            raise DeadlineExceeded("the deadline had passed before anything was done")
        self._attach(loop)
        # A picture counts as well, as long as it has to be decoded for no task at all.
        alone = 0 if request.missing else 1
        self.admission.enter(request.missing + alone, self._runners.running)
        self._open.add(request)
        timer = None
        if request.deadline < math.inf:
            timer = loop.call_at(request.deadline, request.expire)
        try:
            start()
            await request.future
        finally:
            request.closed = True
            if timer is not None:
                timer.cancel()
            if not request.is_complete:
                self._regions.leave(request)
                self._runners.discard(request)
            self._open.discard(request)
            self.admission.leave(request.missing + alone)
            # An error's traceback holds this frame: it must not lead back to the error's future,
            # or the pixels would stay until the garbage collector finds the cycle.
            del request, start, timer

    def item_ended(self) -> None:
        """An item has come to its end, and waits no longer."""
        self.admission.leave(1)

    def close(self) -> None:
        """Let nothing in any more; who waits is told so."""
        self._closed = True
        for request in tuple(self._open):
            request.fail(Cancelled("the engine was closed"))
