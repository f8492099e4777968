"""The worker: claims queued analyses, runs them in the engine, writes what it finds."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from opsin.core.answers.answers import Answers
from opsin.core.answers.referring import ReferenceStore
from opsin.core.answers.reservations import Reservations
from opsin.core.errors import OperationFailed, StorageError
from opsin.core.images import Images
from opsin.core.patience import Pauses
from opsin.core.plugin_host import PluginHost
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.claimed import Claimed
from opsin.core.queue.claims import Claim
from opsin.core.queue.counts import QueueCounts
from opsin.core.queue.ending_writer import GIVE_BACK_SECONDS, EndingWriter
from opsin.core.queue.image_work import ImageWork
from opsin.core.queue.pacing import Pace
from opsin.core.records import Analysis
from opsin.storage.database import Signal

log = logging.getLogger(__name__)

_SUSPECTS_SECONDS = 1.0
"""Between two looks for what lost workers had in hand."""
_LONGEST_TURN = 5.0
"""After which those that are under no suspicion go on."""
_PROGRESS_SECONDS = 0.25
"""Between two tellings of what an analysis has written so far."""


class Worker:
    """One loop that keeps up to `batch` claimed analyses on their way to an answer."""

    def __init__(
        self,
        queue: AnalysisQueue,
        images: Images,
        answers: Answers,
        host: PluginHost,
        committed: Signal,
        reservations: Reservations,
        *,
        batch: int,
        lease: timedelta,
        poll_seconds: float,
        stuck_seconds: float = 0.0,
        references: ReferenceStore | None = None,
        listening: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._queue = queue
        self._images = ImageWork(images, answers, host, references, first_pause=poll_seconds)
        self._writer = EndingWriter(queue, first_pause=poll_seconds)
        self._committed = committed
        self._reservations = reservations
        self._listening = listening
        self._lease = lease.total_seconds()
        self._poll_seconds = poll_seconds
        self._pace = Pace(batch)
        self._running: set[asyncio.Task[None]] = set()
        self._leases: set[str] = set()
        self._stuck_seconds = stuck_seconds
        self._is_stuck = False
        self._claims: set[Claimed] = set()
        self._in_hand = 0
        self._freed = asyncio.Event()
        self.finished = 0

    @property
    def counts(self) -> QueueCounts:
        """What it has claimed and ended."""
        return self._queue.counts

    @property
    def in_hand(self) -> int:
        """Analyses that are claimed and not yet ended."""
        return self._in_hand

    async def run(self) -> None:
        """Work until cancelled; then what is in hand goes back into the queue.

        Raises OperationFailed when something in hand has come no further for `stuck_seconds` (0:
        never): a thread that hangs ends with its process only.  What is in hand is left to the end
        of its lease then, as suspects.
        """
        working = asyncio.ensure_future(self._listen_and_work())
        look = min(self._stuck_seconds / 4, _LONGEST_TURN) or None
        try:
            while not (await asyncio.wait({working}, timeout=look))[0]:
                since = min((work.moved for work in self._claims), default=math.inf)
                if time.monotonic() - since > self._stuck_seconds:
                    self._is_stuck = True
                    raise OperationFailed(
                        f"no analysis has come further for {self._stuck_seconds:g} s: one hangs"
                    )
            working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await self._stop()

    async def _listen_and_work(self) -> None:
        """Hear of what other processes queue at once, where the database tells of it."""
        async with self._listening():
            await self._work()

    async def _work(self) -> None:
        next_recovery, next_turn, pauses = 0.0, 0.0, Pauses(self._poll_seconds)
        loop = asyncio.get_running_loop()
        while True:
            seen = self._committed.fired
            try:
                if loop.time() >= next_recovery:
                    await self._queue.recover(holding=self._leases)
                    next_recovery = loop.time() + self._lease / 4
                if loop.time() >= next_turn:
                    seconds = await self._try_suspects()
                    next_turn = loop.time() + max(seconds, _SUSPECTS_SECONDS)
                claimed = await self._claim()
                pauses = Pauses(self._poll_seconds)
            except Exception as error:
                # What is queued stays queued: ask again later, also when the database is down.
                expected = isinstance(error, StorageError)
                log.warning("no work can be claimed, trying again", exc_info=not expected)
                await pauses.wait()
                continue
            if not claimed:
                await self._committed.wait(seen, self._poll_seconds)

    async def drain(self) -> int:
        """Run what is queued, also what a lost worker left, until nothing is.

        Gives how many analyses ended; cancelled, it puts what is in hand back as `run` does.
        """
        before = self.finished
        try:
            await self._queue.recover()
            while await self._claim() or self._running or await self._try_suspects():
                if self._running:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._stop()
        return self.finished - before

    async def _stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _try_suspects(self) -> float:
        """Run what lost workers had in hand, beside nothing else, for a few seconds at most.

        Gives how many seconds it took; 0 when there was nothing.
        """
        if not await self._queue.has_suspects():
            return 0.0
        started = time.monotonic()
        while True:
            if self._running:
                await asyncio.wait(self._running)
            taken = await self._take(self._queue.claim_suspects())
            if not taken or time.monotonic() - started > _LONGEST_TURN:
                if self._running:
                    await asyncio.wait(self._running)
                return time.monotonic() - started

    async def _claim(self) -> bool:
        """Claim one batch when there is room; False when there is nothing to claim."""
        while self._in_hand > self._pace.size // 2:
            self._freed.clear()
            await self._freed.wait()
        return await self._take(self._queue.claim(self._pace.size - self._in_hand))

    async def _take(self, claimed: Coroutine[None, None, Claim]) -> bool:
        claiming = asyncio.ensure_future(claimed)
        try:
            claim = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # What a claim under way has taken would be nobody's until its lease ends.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(GIVE_BACK_SECONDS):
                    claim = await claiming
                await self._writer.give_back(claim.lease_id, claim.analyses, count_attempt=False)
            raise
        if not claim.analyses:
            return False
        self._in_hand += len(claim.analyses)
        self._leases.add(claim.lease_id)
        task = asyncio.create_task(self._process(claim))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _process(self, claim: Claim) -> None:
        """Run one claim to its end, renewing the lease meanwhile."""
        work = Claimed(claim, self._reservations.open())
        self._claims.add(work)
        heartbeat = asyncio.create_task(self._renew(work))
        started = time.monotonic()
        stopped = False
        try:
            by_image: dict[str, list[Analysis]] = {}
            for analysis in claim.analyses:
                by_image.setdefault(analysis.image_id, []).append(analysis)
            for image_id, asked in by_image.items():
                image = claim.images.get(image_id)
                work.start(asked, self._images.run(work, image, asked))
            await self._write(work)
            self._pace.ended(len(claim.analyses), time.monotonic() - started)
        except asyncio.CancelledError:
            stopped = True
            raise
        except Exception:
            log.exception("a claim could not be worked through")
        finally:
            heartbeat.cancel()
            unfinished = await work.stop()
            await asyncio.gather(heartbeat, return_exceptions=True)
            self._claims.discard(work)
            if unfinished and not self._is_stuck:
                await self._writer.give_back(claim.lease_id, unfinished, count_attempt=not stopped)
            self._leases.discard(claim.lease_id)
            self._let_go(work.left)

    async def _write(self, work: Claimed) -> None:
        """Write whatever is done at once; while that is written, more gets done.

        Texts in progress are told now and then, by the same hand: never after the ending.
        """
        loop = asyncio.get_running_loop()
        told = -math.inf
        while work.is_running:
            pause = told + _PROGRESS_SECONDS - loop.time() if work.has_texts else None
            if pause is None or pause > 0:
                await work.change(pause)
            if done := work.take_ended():
                self.finished += await self._writer.finish(work.claim.lease_id, done)
                await work.written(done)
                self._let_go(len(done))
            if work.has_texts and loop.time() >= told + _PROGRESS_SECONDS:
                await self._writer.tell(work.claim.lease_id, work.take_texts())
                told = loop.time()

    def _let_go(self, count: int) -> None:
        self._in_hand -= count
        self._freed.set()

    async def _renew(self, work: Claimed) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                await work.keep(await self._queue.renew(work.claim.lease_id))
            except Exception as error:  # the next time may come soon enough
                expected = isinstance(error, StorageError)
                log.warning("a lease could not be renewed", exc_info=not expected)
