"""The worker: claims queued analyses, runs them in the engine, writes what it finds."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import TypeVar

from opsin.core.analysis_queue import AnalysisQueue, Claim, Finished
from opsin.core.endings import UNEXPECTED, ending_after, ending_of
from opsin.core.engine import Engine, Task, make_task
from opsin.core.errors import BlobNotFound, OpsinError, StorageError
from opsin.core.images import Images
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.pacing import ByteBudget, Pace
from opsin.core.plugin_host import PluginHost
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


class Worker:
    """One loop that keeps up to `batch` claimed analyses in the engine."""

    def __init__(
        self,
        queue: AnalysisQueue,
        images: Images,
        engine: Engine,
        host: PluginHost,
        committed: Signal,
        *,
        batch: int,
        lease: timedelta,
        poll_seconds: float,
    ) -> None:
        self._queue = queue
        self._images = images
        self._engine = engine
        self._host = host
        self._committed = committed
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
        pending = _Pending(claim)
        heartbeat = asyncio.create_task(self._renew(pending))
        started = time.monotonic()
        stopped = False
        try:
            by_image: dict[str, list[Analysis]] = {}
            for analysis in claim.analyses:
                by_image.setdefault(analysis.image_id, []).append(analysis)
            for image_id, asked in by_image.items():
                image = claim.images.get(image_id)
                pending.start(asked, self._analyze(image, asked))
            await self._write(pending)
            self._pace.ended(len(claim.analyses), time.monotonic() - started)
        except asyncio.CancelledError:
            stopped = True
            raise
        except Exception:
            log.exception("a claim could not be worked through")
        finally:
            heartbeat.cancel()
            unfinished = await pending.stop()
            await asyncio.gather(heartbeat, return_exceptions=True)
            if unfinished:
                await self._give_back(claim.lease_id, unfinished, count_attempt=not stopped)
            self._leases.discard(claim.lease_id)
            self._let_go(pending.left)

    async def _analyze(self, image: Image | None, asked: Sequence[Analysis]) -> list[Finished]:
        """All analyses of one image: read once, decoded once, planned together."""
        finished: list[Finished] = []
        tasks: list[Task] = []
        runnable: list[Analysis] = []
        for analysis in asked:
            name, params = analysis.operation or "", analysis.parameters
            try:
                tasks.append(make_task(self._host, analysis.id, name, params))
                runnable.append(analysis)
            except Exception as error:  # the plugin's params may have validators of their own
                finished.append(ending_after(analysis, error))
        if image is None or not tasks:
            return finished  # a deleted image takes its analyses with it
        try:
            async with self._bytes.hold(image.size_bytes):
                content = await self._content(image)
                analyzed = await self._engine.analyze(content, tasks)
        except Exception as error:
            return finished + [ending_after(analysis, error) for analysis in runnable]
        pairs = zip(runnable, analyzed.outcomes, strict=True)
        return finished + [ending_of(analysis, outcome) for analysis, outcome in pairs]

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

    async def _write(self, pending: "_Pending") -> None:
        """Write whatever is done at once; while that is written, more gets done."""
        while pending.running:
            await asyncio.wait(pending.running, return_when=asyncio.FIRST_COMPLETED)
            done = pending.take_done()
            if done:
                self.finished += await self._finish(pending.claim.lease_id, done)
                pending.written(done)
                self._let_go(len(done))

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

    async def _renew(self, pending: "_Pending") -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                pending.keep(await self._queue.renew(pending.claim.lease_id))
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


class _Pending:
    """The running images of one claim and the analyses not yet written."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.running: set[asyncio.Task[list[Finished]]] = set()
        self._asked: dict[asyncio.Task[list[Finished]], Sequence[Analysis]] = {}
        self._unwritten = {analysis.id: analysis for analysis in claim.analyses}
        self.left = len(claim.analyses)
        """Analyses that still count as being in the worker's hands."""

    def start(self, asked: Sequence[Analysis], work: Coroutine[None, None, list[Finished]]) -> None:
        task = asyncio.ensure_future(work)
        self.running.add(task)
        self._asked[task] = asked

    def take_done(self) -> list[Finished]:
        done = {task for task in self.running if task.done()}
        self.running -= done
        return [item for task in done if not task.cancelled() for item in task.result()]

    def written(self, items: Sequence[Finished]) -> None:
        self.left -= len(items)
        for item in items:
            self._unwritten.pop(item.analysis.id, None)

    def keep(self, held: frozenset[str]) -> None:
        """Drop what is no longer ours; an image none of whose analyses is held stops."""
        for task, asked in self._asked.items():
            if not any(analysis.id in held for analysis in asked):
                task.cancel()
        self._unwritten = {key: a for key, a in self._unwritten.items() if key in held}

    async def stop(self) -> list[Analysis]:
        """Cancel what still runs; gives the analyses that were not written."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        return list(self._unwritten.values())
