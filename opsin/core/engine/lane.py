"""Where one runner's batches run, or those of several: one batch at a time, each item once."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from opsin.core import tracing
from opsin.core.engine.batching import (
    Batch,
    Completed,
    Failure,
    FairShare,
    Owner,
    RunnerQueue,
    Ticket,
)
from opsin.core.engine.execution import encode_answers, run_batch
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.figures import trace_item
from opsin.core.engine.pool import CpuPool
from opsin.core.errors import OperationFailed

if TYPE_CHECKING:
    from opsin.core.engine.loading import LoadedRunner

logger = logging.getLogger("opsin.engine")

Post = Callable[[Completed], None]
Work = Callable[[], None]


class Lane(ABC):
    """Runs the items of its queues, one batch at a time; called from any thread.

    Each item that is not discarded is posted exactly once, whatever raises.
    """

    is_shared = False
    """Whether it serves several runners."""

    def __init__(self, pool: CpuPool, post: Post) -> None:
        self._pool = pool
        self._post = post
        self._share = FairShare()
        self._changed = threading.Condition(threading.Lock())
        self._closing = False

    @property
    def replicas(self) -> int:
        """Processes of a cluster that run its batches; 0 where they run here."""
        return 0

    @property
    def lost(self) -> int:
        """How often one of these processes ended though nobody told it to."""
        return 0

    @abstractmethod
    def close(self, until: float) -> None:
        """Finish the running batch, waiting at most until then, and close the runners."""

    @abstractmethod
    def _wake(self) -> None:
        """Something became ready; called with the lock held."""

    def adopt(self, queue: RunnerQueue) -> None:
        """Serve this queue from now on."""
        with self._changed:
            self._share.queues.append(queue)

    def put(self, queue: RunnerQueue, tickets: list[Ticket]) -> None:
        """Queue items; they start at once when the lane is idle."""
        with self._changed:
            if queue.loaded.is_plain:
                for ticket in tickets:
                    queue.add_ready(ticket)
                self._wake()
            else:
                for ticket in tickets:
                    queue.add(ticket)
                self._prepare_ahead(queue)

    def discard(self, queue: RunnerQueue, owner: Owner) -> None:
        """Forget what waits for a caller that is gone."""
        with self._changed:
            queue.discard(owner)
            self._prepare_ahead(queue)

    def withdraw(self, queue: RunnerQueue) -> list[Ticket]:
        """Take back what has not begun; what is being prepared goes its way."""
        with self._changed:
            return queue.clear()

    def release(self, queue: RunnerQueue) -> bool:
        """Serve the queue no more and close its runner where it ran; False while it is busy."""
        with self._changed:
            if queue.is_busy or queue not in self._share.queues:
                return False
            self._share.queues.remove(queue)
            self._close_soon(queue)
        return True

    @abstractmethod
    def _close_soon(self, queue: RunnerQueue) -> None:
        """Close a runner that is not served any more; called with the lock held."""

    def _prepare_ahead(self, queue: RunnerQueue) -> None:
        while ticket := queue.next_to_prepare():
            self._pool.submit(partial(self._prepare, queue, ticket), first=True)

    def _prepare(self, queue: RunnerQueue, ticket: Ticket) -> None:
        """On the pool: make one item ready; a bad one fails alone."""
        runner, what = queue.loaded.runner, queue.loaded.what
        failure = key = None
        begun = time.monotonic()
        if not ticket.is_over(begun):
            try:
                ticket.prepared = runner.prepare(ticket.item)
                key = runner.batch_key(ticket.prepared)
            except BaseException as error:  # a plugin's SystemExit too
                failure = Failure(as_opsin_error(error, what))
        ended = time.monotonic()
        if tracing.tracer is not None:
            trace_item(f"prepare for {what}", ticket, begun, ended)
        with self._changed:
            queue.preparation_ended()
            queue.figures.prepared.add(ended - begun)
            # Asked again under the lock: a discard that has passed will not come back.
            if failure is None and not ticket.is_over(time.monotonic()):
                try:
                    queue.add_ready(ticket, key)
                    self._wake()
                except Exception as error:
                    failure = Failure(as_opsin_error(error, what))
            self._prepare_ahead(queue)
        if failure is not None:
            self._post(Completed(queue, [ticket], [failure], time.monotonic(), ran=False))

    def _take(self) -> Work | None:
        """The next batch; None when nothing is ready.  Called with the lock held."""
        while (queue := self._share.next()) is not None:
            batch = queue.take(time.monotonic())
            self._prepare_ahead(queue)
            if batch:
                return partial(self._run, queue, batch)
        return None

    def _run(self, queue: RunnerQueue, batch: Batch) -> None:
        tickets, size = batch
        started = time.monotonic()
        try:
            prepared = [ticket.prepared for ticket in tickets]
            answers = run_batch(queue.loaded.runner, prepared, queue.loaded.what, size)
            del prepared
        except BaseException:  # somebody ends this thread: the items still leave with an answer
            logger.critical("running %s was cut short", queue.loaded.what, exc_info=True)
            answers = [_stopped(queue.loaded)] * len(tickets)
        seconds = time.monotonic() - started
        with self._changed:
            queue.ran(len(tickets), seconds)
            queue.in_encoding += queue.encodes
            if not any(isinstance(answer, Failure) for answer in answers):
                size.ran(len(tickets), seconds)
        completed = Completed(queue, tickets, answers, started, seconds)
        if queue.encodes:
            # On the pool: the device goes on with the next batch meanwhile.
            self._pool.submit(partial(self._encode, completed), first=True)
        else:
            self._post(completed)

    def _encode(self, completed: Completed) -> None:
        """On the pool: make results of what the device gave."""
        loaded = completed.queue.loaded
        answers = encode_answers(loaded.runner, completed.answers, loaded.what)
        with self._changed:
            completed.queue.in_encoding -= 1
        self._post(replace(completed, answers=answers))

    def _collapse(self, error: BaseException) -> None:
        """Our own bookkeeping failed: what waits gets an answer now, and the lane goes on."""
        logger.critical("a lane of the engine failed", exc_info=error)
        with self._changed:
            lost = [(queue, queue.clear()) for queue in self._share.queues]
        for queue, tickets in lost:
            answers = [_stopped(queue.loaded)] * len(tickets)
            self._post(Completed(queue, tickets, answers, time.monotonic(), ran=False))


def _stopped(loaded: "LoadedRunner") -> Failure:
    return Failure(OperationFailed(f"the thread that ran {loaded.what} was stopped"))
