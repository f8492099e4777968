"""The worker: claims queued analyses, runs them in the engine, writes what it finds."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

from opsin.core.analysis_queue import AnalysisQueue, Claim, Finished
from opsin.core.annotations import storable_json, validate_annotations
from opsin.core.engine import Engine, Outcome, Task, TaskStatus, make_task
from opsin.core.errors import (
    Cancelled,
    OperationFailed,
    OpsinError,
    Overloaded,
    PluginError,
    StorageError,
)
from opsin.core.images import Images
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.pacing import ByteBudget, Pace
from opsin.core.plugin_host import PluginHost
from opsin.core.records import Analysis, Image
from opsin.storage.database import Signal

log = logging.getLogger(__name__)

# Errors of the moment, not of the picture: another try may succeed.
_TRANSIENT = (Overloaded, PluginError, StorageError)
_LONGEST_PAUSE = 30.0
_PICTURE_BYTES = 256 * 2**20
"""Files held in memory at once, beside one that is larger."""
_UNEXPECTED = "Something unexpected failed; the server's log has the details"


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
        self._in_hand = 0
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
                        await self._queue.recover()
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
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        claim = await self._queue.claim(self._pace.size - self._in_hand)
        if not claim.analyses:
            return False
        self._in_hand += len(claim.analyses)
        task = asyncio.create_task(self._process(claim))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _process(self, claim: Claim) -> None:
        """Run one claim to its end, renewing the lease meanwhile."""
        pending = _Pending(claim)
        heartbeat = asyncio.create_task(self._renew(pending))
        started = time.monotonic()
        shutdown = True
        try:
            by_image: dict[str, list[Analysis]] = {}
            for analysis in claim.analyses:
                by_image.setdefault(analysis.image_id, []).append(analysis)
            for image_id, asked in by_image.items():
                image = claim.images.get(image_id)
                pending.start(asked, self._analyze(image, asked))
            await self._write(pending)
            self._pace.ended(len(claim.analyses), time.monotonic() - started)
        except Exception:
            log.exception("a claim could not be worked through")
            shutdown = False
        finally:
            heartbeat.cancel()
            unfinished = await pending.stop()
            self._in_hand -= pending.left
            with contextlib.suppress(asyncio.CancelledError):
                await heartbeat
            if unfinished:
                await self._give_back(claim.lease_id, unfinished, count_attempt=not shutdown)

    async def _analyze(self, image: Image | None, asked: Sequence[Analysis]) -> list[Finished]:
        """All analyses of one image: read once, decoded once, planned together."""
        finished: list[Finished] = []
        tasks: list[Task] = []
        runnable: list[Analysis] = []
        for analysis in asked:
            try:
                tasks.append(
                    make_task(
                        self._host, analysis.id, analysis.operation or "", analysis.parameters
                    )
                )
                runnable.append(analysis)
            except OpsinError as error:
                finished.append(_failed(analysis, error))
        if image is None or not tasks:
            return finished  # a deleted image takes its analyses with it
        try:
            async with self._bytes.hold(image.size_bytes):
                content = await self._images.content(image)
                analyzed = await self._engine.analyze(content, tasks)
        except OpsinError as error:
            return finished + [_failed(analysis, error) for analysis in runnable]
        except Exception:
            log.exception("analysing image %s failed", image.id)
            unexpected = OpsinError(_UNEXPECTED)
            return finished + [_failed(analysis, unexpected) for analysis in runnable]
        pairs = zip(runnable, analyzed.outcomes, strict=True)
        return finished + [_finished(analysis, outcome) for analysis, outcome in pairs]

    async def _write(self, pending: "_Pending") -> None:
        """Write whatever is done at once; while that is written, more gets done."""
        while pending.running:
            await asyncio.wait(pending.running, return_when=asyncio.FIRST_COMPLETED)
            done = pending.take_done()
            if done:
                self.finished += await self._finish(pending.claim.lease_id, done)
                pending.written(done)
                self._in_hand -= len(done)

    async def _finish(self, lease_id: str, done: Sequence[Finished]) -> int:
        pause = self._poll_seconds
        for _ in range(8):
            try:
                return await self._queue.finish(lease_id, done)
            except StorageError:
                log.warning("results cannot be written now, trying again in %.1f s", pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        return 0  # the lease ends and another worker runs them again

    async def _renew(self, pending: "_Pending") -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            with contextlib.suppress(StorageError):
                pending.keep(await self._queue.renew(pending.claim.lease_id))

    async def _give_back(
        self, lease_id: str, unfinished: Sequence[Analysis], *, count_attempt: bool
    ) -> None:
        back = [
            Finished(
                analysis,
                AnalysisStatus.QUEUED,
                error_code=OpsinError.code,
                error_message=_UNEXPECTED,
                count_attempt=count_attempt,
            )
            for analysis in unfinished
        ]
        with contextlib.suppress(StorageError):
            await self._queue.finish(lease_id, back)


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


def _finished(analysis: Analysis, outcome: Outcome) -> Finished:
    provenance = outcome.provenance.as_json()
    if outcome.status is TaskStatus.SUCCESS and outcome.result is not None:
        try:
            return Finished(
                analysis,
                AnalysisStatus.COMPLETED,
                result_type=type(outcome.result).__name__,
                result=storable_json(outcome.result.model_dump(mode="json")),
                provenance=provenance,
                annotations=validate_annotations(list(outcome.result.annotations())),
            )
        except Exception as error:  # `annotations` is the plugin's code
            log.exception("the result of %s cannot be stored", analysis.operation)
            reason = error.message if isinstance(error, OpsinError) else type(error).__name__
            return _failed(analysis, OperationFailed(f"The result cannot be stored: {reason}"))
    error = outcome.error or OpsinError("The operation gave neither a result nor a reason")
    return _failed(analysis, error, provenance, skipped=outcome.status is TaskStatus.SKIPPED)


def _failed(
    analysis: Analysis,
    error: OpsinError,
    provenance: dict[str, Any] | None = None,
    *,
    skipped: bool = False,
) -> Finished:
    if isinstance(error, Cancelled):
        return Finished(analysis, AnalysisStatus.QUEUED, count_attempt=False)
    transient = isinstance(error, _TRANSIENT)
    return Finished(
        analysis,
        AnalysisStatus.QUEUED if transient else AnalysisStatus.FAILED,
        provenance=provenance,
        error_code="SKIPPED" if skipped else error.code,
        error_message=error.message.replace("\x00", ""),
        retry_after=timedelta(seconds=2.0**analysis.attempts) if transient else timedelta(0),
    )
