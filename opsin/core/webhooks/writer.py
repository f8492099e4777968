"""Attempts' ends, written down together: one transaction for all webhooks of a sender."""

import asyncio
import logging

from opsin.core.errors import StorageError
from opsin.core.webhooks.attempt_ends import Ended
from opsin.core.webhooks.ledger import Ledger

log = logging.getLogger(__name__)

_GATHERING_SECONDS = 0.05
"""What was delivered in the last such time is sent again, with the same ids, after a kill -9."""
_MOST_UNWRITTEN = 10_000
_PAUSE_SECONDS = 0.5


class DeliveryWriter:
    """Gathers what ended for a moment; whoever must know waits until it is written."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ended: list[Ended] = []
        self._written = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._added = asyncio.Event()
        self._urgent = asyncio.Event()

    async def add(self, ended: Ended) -> None:
        """Have it written soon; waits while too much is not, as with a database that is down."""
        self._ended.append(ended)
        self._added.set()
        if len(self._ended) > _MOST_UNWRITTEN:
            await self.flush()

    async def flush(self) -> None:
        """Until all that has been added is written."""
        if not self._ended:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._written + len(self._ended), future))
        self._urgent.set()
        await future

    async def run(self) -> None:
        """Write until cancelled; a database that is down is waited for."""
        while True:
            await self._added.wait()
            if not self._waiting:
                await self._gather()
            try:
                await self._write()
            except Exception as error:
                expected = isinstance(error, StorageError)
                log.warning("deliveries cannot be written, trying again", exc_info=not expected)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def finish(self, seconds: float) -> None:
        """Write what is left, when `run` has ended; what cannot be written is sent again."""
        try:
            async with asyncio.timeout(seconds):
                while self._ended:
                    await self._write()
        except (TimeoutError, StorageError):
            log.warning("%d deliveries were not written and will be repeated", len(self._ended))

    async def _gather(self) -> None:
        self._urgent.clear()
        try:
            async with asyncio.timeout(_GATHERING_SECONDS):
                await self._urgent.wait()
        except TimeoutError:
            pass

    async def _write(self) -> None:
        # They are forgotten when they are written: cancelled in between, they are written again.
        ended = list(self._ended)
        await self._ledger.write(ended)
        del self._ended[: len(ended)]
        self._written += len(ended)
        if not self._ended:
            self._added.clear()
        waiting, self._waiting = self._waiting, []
        for count, future in waiting:
            if count > self._written:
                self._waiting.append((count, future))
            elif not future.done():
                future.set_result(None)
