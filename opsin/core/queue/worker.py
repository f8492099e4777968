"""The worker: claims queued analyses, runs them in the engine, writes what it finds."""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from opsin.core.answers.answers import Answers
from opsin.core.answers.earlier_results import is_restorable
from opsin.core.answers.referring import ReferenceStore, with_references
from opsin.core.answers.stored_info import stored_info
from opsin.core.engine import Outcome, Task, make_task
from opsin.core.errors import BlobNotFound, OpsinError, StorageError
from opsin.core.images import Images
from opsin.core.imaging import DecodeOptions
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.plugin_host import PluginHost
from opsin.core.queue.analysis_queue import AnalysisQueue, Claim, Finished
from opsin.core.queue.claimed import Claimed
from opsin.core.queue.endings import UNEXPECTED, ending_after, ending_of
from opsin.core.queue.pacing import ByteBudget, Pace
from opsin.core.records import Analysis, Image
from opsin.storage.database import Signal

log = logging.getLogger(__name__)

T = TypeVar("T")

_LONGEST_PAUSE = 30.0
_MOST_TRIES = 12
"""Of one read or write while a store is down: about two and a half minutes."""
_GIVE_BACK_SECONDS = 5.0
_PICTURE_BYTES = 256 * 2**20
"""Files held in memory at once, beside one that is larger."""
_DECODING = DecodeOptions()
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
        *,
        batch: int,
        lease: timedelta,
        poll_seconds: float,
        references: ReferenceStore | None = None,
    ) -> None:
        self._queue = queue
        self._images = images
        self._answers = answers
        self._host = host
        self._committed = committed
        self._references = references
        self._lease = lease.total_seconds()
        self._poll_seconds = poll_seconds
        self._pace = Pace(batch)
        self._bytes = ByteBudget(_PICTURE_BYTES)
        self._running: set[asyncio.Task[None]] = set()
        self._leases: set[str] = set()
        self._in_hand = 0
        self._freed = asyncio.Event()
        self.finished = 0

    async def run(self) -> None:
        """Work until cancelled; then what is in hand goes back into the queue."""
        next_recovery, pause = 0.0, self._poll_seconds
        loop = asyncio.get_running_loop()
        try:
            while True:
                seen = self._committed.fired
                try:
                    if loop.time() >= next_recovery:
                        await self._queue.recover(holding=self._leases)
                        next_recovery = loop.time() + self._lease / 4
                    claimed = await self._claim()
                    pause = self._poll_seconds
                except Exception as error:
                    # What is queued stays queued: ask again later, also when the database is down.
                    expected = isinstance(error, StorageError)
                    log.warning("no work can be claimed, trying again", exc_info=not expected)
                    await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                    pause = min(pause * 2, _LONGEST_PAUSE)
                    continue
                if not claimed:
                    await self._committed.wait(seen, self._poll_seconds)
        finally:
            await self._stop()

    async def drain(self) -> int:
        """Run what is queued, also what a lost worker left, until nothing is.

        Gives how many analyses ended; cancelled, it puts what is in hand back as `run` does.
        """
        before = self.finished
        try:
            await self._queue.recover()
            while await self._claim() or self._running:
                if self._running:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._stop()
        return self.finished - before

    async def _stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _claim(self) -> bool:
        """Claim one batch when there is room; False when there is nothing to claim."""
        while self._in_hand > self._pace.size // 2:
            self._freed.clear()
            await self._freed.wait()
        claiming = asyncio.ensure_future(self._queue.claim(self._pace.size - self._in_hand))
        try:
            claim = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # What a claim under way has taken would be nobody's until its lease ends.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_GIVE_BACK_SECONDS):
                    claim = await claiming
                await self._give_back(claim.lease_id, claim.analyses, count_attempt=False)
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
        work = Claimed(claim)
        heartbeat = asyncio.create_task(self._renew(work))
        started = time.monotonic()
        stopped = False
        try:
            by_image: dict[str, list[Analysis]] = {}
            for analysis in claim.analyses:
                by_image.setdefault(analysis.image_id, []).append(analysis)
            for image_id, asked in by_image.items():
                image = claim.images.get(image_id)
                work.start(asked, self._analyze(work, image, asked))
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
            if unfinished:
                await self._give_back(claim.lease_id, unfinished, count_attempt=not stopped)
            self._leases.discard(claim.lease_id)
            self._let_go(work.left)

    async def _analyze(self, work: Claimed, image: Image | None, asked: Sequence[Analysis]) -> None:
        """All analyses of one image: read and decoded once, and only for what is not known yet."""
        tasks: list[Task] = []
        left: dict[int, Analysis] = {}
        for analysis in asked:
            name, params = analysis.operation or "", analysis.parameters
            follow = partial(work.wrote, analysis)
            try:
                task = make_task(self._host, analysis.id, name, params, progress=follow)
                tasks.append(replace(task, reuse=analysis.reuse))
                left[len(tasks) - 1] = analysis
            except Exception as error:  # the plugin's params may have validators of their own
                work.ended(ending_after(analysis, error))
        if image is None or not tasks:
            return  # a deleted image takes its analyses with it

        def settled(number: int, outcome: Outcome) -> None:
            ending = ending_of(left.pop(number), outcome)
            if outcome.result_key is not None and ending.result is not None:
                key = outcome.result_key if is_restorable(outcome) else None
                ending = replace(ending, result_key=key)
            work.ended(ending)

        try:
            tasks = await with_references(tasks, image.company_id, self._references)
            await self._answers.analyze(
                partial(self._open, image),
                tasks,
                company_id=image.company_id,
                content_sha256=image.sha256,
                info=stored_info(image, _DECODING),
                on_outcome=settled,
            )
        except Exception as error:
            for analysis in left.values():
                work.ended(ending_after(analysis, error))

    @contextlib.asynccontextmanager
    async def _open(self, image: Image) -> AsyncIterator[bytes]:
        async with self._bytes.hold(image.size_bytes):
            yield await self._content(image)

    async def _content(self, image: Image) -> bytes:
        async def read() -> bytes | BlobNotFound:
            try:
                return await self._images.content(image)
            except BlobNotFound as error:
                return error  # waiting would not bring it back

        content = await self._patiently(read, "pictures cannot be read now")
        if isinstance(content, BlobNotFound):
            raise content
        return content

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
                self.finished += await self._finish(work.claim.lease_id, done)
                work.written(done)
                self._let_go(len(done))
            if work.has_texts and loop.time() >= told + _PROGRESS_SECONDS:
                await self._tell(work)
                told = loop.time()

    async def _tell(self, work: Claimed) -> None:
        """Tell followers the newest texts; what cannot be told now is not missed."""
        texts = work.take_texts()
        if not texts:
            return
        try:
            await self._queue.tell(work.claim.lease_id, texts)
        except Exception as error:
            expected = isinstance(error, StorageError)
            log.warning("texts in progress could not be told", exc_info=not expected)

    async def _finish(self, lease_id: str, done: Sequence[Finished]) -> int:
        """Write endings, as many as can be; gives how many analyses they ended.

        What cannot be written is left: its lease ends, and it is run again.
        """
        try:
            return await self._patiently(
                lambda: self._queue.finish(lease_id, done), "results cannot be written now"
            )
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

    async def _patiently(self, call: Callable[[], Awaitable[T]], complaint: str) -> T:
        """The call's answer; a store that is down is waited for."""
        pause = self._poll_seconds
        for _ in range(_MOST_TRIES - 1):
            try:
                return await call()
            except StorageError:
                log.warning("%s, trying again in %.1f s", complaint, pause)
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(pause * 2, _LONGEST_PAUSE)
        return await call()

    def _let_go(self, count: int) -> None:
        self._in_hand -= count
        self._freed.set()

    async def _renew(self, work: Claimed) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                work.keep(await self._queue.renew(work.claim.lease_id))
            except Exception as error:  # the next time may come soon enough
                expected = isinstance(error, StorageError)
                log.warning("a lease could not be renewed", exc_info=not expected)

    async def _give_back(
        self, lease_id: str, unfinished: Sequence[Analysis], *, count_attempt: bool
    ) -> None:
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
            async with asyncio.timeout(_GIVE_BACK_SECONDS):
                await self._queue.finish(lease_id, back)
        except Exception as error:
            expected = isinstance(error, StorageError | TimeoutError)
            log.warning("work is left to the end of its lease", exc_info=not expected)
