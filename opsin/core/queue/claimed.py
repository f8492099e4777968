"""What a worker has claimed and not yet written: the running images, endings, texts in progress."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Sequence

from opsin.core.answers.reservations import Reservation
from opsin.core.queue.claims import Claim
from opsin.core.queue.finished import Finished
from opsin.core.records import Analysis

log = logging.getLogger(__name__)


class Claimed:
    """The work on one claim; lives on the event loop."""

    def __init__(self, claim: Claim, reservation: Reservation) -> None:
        self.claim = claim
        self.reservation = reservation
        """Of what is computed for it; closed when it ends."""
        self.left = len(claim.analyses)
        """Analyses that still count as being in the worker's hands."""
        self._unwritten = {analysis.id: analysis for analysis in claim.analyses}
        self._asked: dict[asyncio.Task[None], Sequence[Analysis]] = {}
        self._ended: list[Finished] = []
        self._texts: dict[str, tuple[Analysis, str]] = {}
        self._changed = asyncio.Event()
        self._moved = time.monotonic()

    @property
    def moved(self) -> float:
        """When one of them last came further, or waited for another process that has it."""
        return max(self._moved, self.reservation.waited_at)

    def start(self, asked: Sequence[Analysis], work: Coroutine[None, None, None]) -> None:
        """Run the work on one image, which says of each analysis how it `ended`."""
        task = asyncio.ensure_future(work)
        self._asked[task] = asked
        task.add_done_callback(self._stopped)

    @property
    def is_running(self) -> bool:
        return bool(self._asked or self._ended)

    @property
    def has_texts(self) -> bool:
        return bool(self._texts)

    def ended(self, ending: Finished) -> None:
        """An analysis has its ending, which is to be written."""
        self._texts.pop(ending.analysis.id, None)
        self._ended.append(ending)
        self._moved = time.monotonic()
        self._changed.set()

    def wrote(self, analysis: Analysis, text: str) -> None:
        """An analysis that still runs has written so much; only the newest text is kept."""
        if not self._texts:
            self._changed.set()
        self._texts[analysis.id] = analysis, text
        self._moved = time.monotonic()

    async def change(self, seconds: float | None) -> None:
        """Wait for an ending, the first text or the end of an image, so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    def take_ended(self) -> list[Finished]:
        taken, self._ended = self._ended, []
        return taken

    def take_texts(self) -> list[tuple[Analysis, str]]:
        """The texts of analyses that are still ours."""
        taken, self._texts = self._texts, {}
        return [entry for key, entry in taken.items() if key in self._unwritten]

    async def written(self, items: Sequence[Finished]) -> None:
        self.left -= len(items)
        for item in items:
            self._unwritten.pop(item.analysis.id, None)
        await self.reservation.ended([item.analysis.id for item in items])

    async def keep(self, held: frozenset[str]) -> None:
        """Drop what is no longer ours; an image none of whose analyses is held stops."""
        for task, asked in self._asked.items():
            if not any(analysis.id in held for analysis in asked):
                task.cancel()
        dropped = self._unwritten.keys() - held
        self._unwritten = {key: a for key, a in self._unwritten.items() if key in held}
        await self.reservation.ended(dropped)

    async def stop(self) -> list[Analysis]:
        """Cancel what still runs, leave it to others; gives the analyses that were not written."""
        running = list(self._asked)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.reservation.close()
        return list(self._unwritten.values())

    def _stopped(self, task: "asyncio.Task[None]") -> None:
        del self._asked[task]
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an image could not be worked through", exc_info=error)
