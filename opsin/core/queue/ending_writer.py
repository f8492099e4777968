"""What a worker puts into the queue: endings, texts in progress, and what it gives back."""

import asyncio
import logging
import time
from collections.abc import Sequence

from opsin.core import tracing
from opsin.core.errors import OpsinError, StorageError
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.patience import Pauses, patiently
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.endings import UNEXPECTED, ending_after
from opsin.core.queue.finished import Finished
from opsin.core.records import Analysis

log = logging.getLogger(__name__)

GIVE_BACK_SECONDS = 5.0
"""For which a worker that stops waits for the database."""


class EndingWriter:
    """Writes under a lease, and raises nothing: what cannot be written is run again."""

    def __init__(self, queue: AnalysisQueue, *, first_pause: float) -> None:
        self._queue = queue
        self._first_pause = first_pause

    async def finish(self, lease_id: str, done: Sequence[Finished]) -> int:
        """Write endings, as many as can be; gives how many analyses they ended.

        What cannot be written is left: its lease ends, and it is run again.
        """
        begun = time.monotonic()
        try:
            ended = await patiently(
                lambda: self._queue.finish(lease_id, done),
                "results cannot be written now",
                Pauses(self._first_pause),
            )
            _trace(done, begun)
            return ended
        except StorageError:
            log.error("%d results were not written: the database is down", len(done))
            return 0
        except Exception:
            log.exception("%d results cannot be written together", len(done))
        # Whatever is wrong with one of them must not cost the others.
        return sum([await self._finish_alone(lease_id, item) for item in done])

    async def _finish_alone(self, lease_id: str, item: Finished) -> int:
        failure = ending_after(item.analysis, OpsinError(UNEXPECTED))
        for ending in (item, failure):
            try:
                return await self._queue.finish(lease_id, [ending])
            except Exception:
                log.exception("the ending of analysis %s cannot be written", item.analysis.id)
        return 0

    async def tell(self, lease_id: str, texts: Sequence[tuple[Analysis, str]]) -> None:
        """Tell followers the newest texts; what cannot be told now is not missed."""
        if not texts:
            return
        try:
            await self._queue.tell(lease_id, texts)
        except Exception as error:
            expected = isinstance(error, StorageError)
            log.warning("texts in progress could not be told", exc_info=not expected)

    async def give_back(
        self, lease_id: str, unfinished: Sequence[Analysis], *, count_attempt: bool
    ) -> None:
        """Put analyses back into the queue, if that can be done soon."""
        back = [
            Finished(
                analysis,
                AnalysisStatus.QUEUED,
                error_code=OpsinError.code,
                error_message=UNEXPECTED,
                count_attempt=count_attempt,
            )
            for analysis in unfinished
        ]
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._queue.finish(lease_id, back)
        except Exception as error:
            expected = isinstance(error, StorageError | TimeoutError)
            log.warning("work is left to the end of its lease", exc_info=not expected)


def _trace(done: Sequence[Finished], begun: float) -> None:
    """Say in each trace that asked for one of them that its results were written."""
    if tracing.tracer is None:
        return
    ended = time.monotonic()
    for place in dict.fromkeys(item.analysis.traceparent for item in done):
        if place is not None:
            tracing.record("write results", begun, ended, parent=place)
