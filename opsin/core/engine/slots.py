"""A loadable's place in the engine: empty, loading while items wait, or loaded."""

import logging
import threading
import time
from collections.abc import Callable

from opsin.core.contract import Loadable
from opsin.core.engine.batch_size import LearnedSizes
from opsin.core.engine.batching import Failure, Owner, RunnerQueue, Ticket, deliver
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.figures import RunnerFigures
from opsin.core.engine.lane import Lane
from opsin.core.engine.lanes import Lanes
from opsin.core.engine.load_failures import LoadFailures
from opsin.core.engine.loading import LoadedRunner, RunnerSource, described
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.memory import NoFreeRoom
from opsin.core.errors import OpsinError
from opsin.core.plugin_host import PluginInfo

logger = logging.getLogger("opsin.engine")


class RunnerSlot:
    """Loads a runner once for all who wait, and again when it was evicted; on the event loop.

    A load that fails is tried again after a pause.
    """

    def __init__(
        self,
        loadable: Loadable,
        plugin: PluginInfo,
        loader: RunnerSource,
        lanes: Lanes,
        mailbox: Mailbox,
        pause: float,
        *,
        pinned: bool = False,
    ) -> None:
        self.loadable = loadable
        self.plugin = plugin
        self.pinned = pinned
        """It is never evicted."""
        self.queue: RunnerQueue | None = None
        self.loads = self.evictions = 0
        self.figures = RunnerFigures()
        self._past_batches = self._past_items = 0
        self._last_used: float | None = None
        self._last_asked = 0.0
        self._loader = loader
        self._lanes = lanes
        self._mailbox = mailbox
        self._thread: threading.Thread | None = None
        self._load_begun = 0.0
        self._lane: Lane | None = None
        self._learned = LearnedSizes()
        self._waiting: list[Ticket] = []
        self._wanted = False
        self._retired = False
        self._ended: list[Callable[[], None]] = []
        self._failures = LoadFailures(pause)
        self._closed = False

    @property
    def queued(self) -> int:
        """Items that wait for the load or for their batch."""
        return len(self._waiting) + (self.queue.waiting if self.queue else 0)

    @property
    def running(self) -> int:
        """Items in a batch right now."""
        return self.queue.running if self.queue else 0

    @property
    def replicas(self) -> int:
        """Processes of a cluster that run its batches; 0 where they run here."""
        return self._lane.replicas if self._lane else 0

    @property
    def lost(self) -> int:
        """How often one of these processes ended though nobody told it to."""
        return self._lane.lost if self._lane else 0

    @property
    def batches(self) -> int:
        return self._past_batches + (self.queue.batches if self.queue else 0)

    @property
    def items(self) -> int:
        return self._past_items + (self.queue.items if self.queue else 0)

    @property
    def is_wanted(self) -> bool:
        """Somebody waits for it to be loaded, or soon will."""
        return self._wanted

    @property
    def idle_seconds(self) -> float | None:
        """How long the runner has had nothing to do; None while it has, or is not there."""
        if self.queue is None or self.queue.is_busy:
            return None
        return time.monotonic() - max(self.queue.last_used, self._last_asked)

    @property
    def last_used(self) -> float | None:
        """When the last batch ended, in monotonic seconds; None before the first."""
        if self.queue is not None and self.queue.batches:
            return self.queue.last_used
        return self._last_used

    def failure(self) -> OpsinError | None:
        """Why the last load failed, for a short while; then the next request tries again."""
        return self._failures.current

    def warm(self) -> None:
        """Begin to load, unless it is loaded, loading or known to fail: items will come."""
        self._last_asked = time.monotonic()
        self._wanted = self.queue is None
        self._begin()

    def preload(self, then: Callable[[], None]) -> None:
        """Load it though nobody asks, if nothing has to go for it; `then` is called at the end."""
        self._begin()
        if self._thread is None:
            then()
        else:
            self._ended.append(then)

    def submit(self, tickets: list[Ticket]) -> None:
        """Queue items for the runner, loading it when it is not there."""
        if self._lane and self.queue and not self._retired:
            self._put(self._lane, self.queue, tickets)
        elif self.queue is None and (failure := self.failure()):
            _fail(tickets, failure)
        else:
            self._waiting += tickets
            self.warm()

    def discard(self, owner: Owner) -> None:
        """Forget the items of a caller that is gone."""
        if self._waiting:
            self._waiting = [ticket for ticket in self._waiting if ticket.owner is not owner]
            self._wanted = bool(self._waiting)
        if self._lane and self.queue:
            self._lane.discard(self.queue, owner)

    def evict(self) -> bool:
        """Give the runner up, if it has nothing to do; it is closed where it ran."""
        lane, queue = self._lane, self.queue
        if lane is None or queue is None or not self._lanes.release(lane, queue):
            return False
        self._last_used = self.last_used
        self._past_batches += queue.batches
        self._past_items += queue.items
        self.evictions += 1
        self._lane = self.queue = None
        self._retired = False
        if self._waiting:
            self.warm()
        return True

    def retire(self) -> None:
        """Begin nothing new: another runner needs the memory, and this one has had its turn."""
        if self._lane and self.queue and not self._retired:
            self._retired = True
            self._waiting += self._lane.withdraw(self.queue)

    def resume(self) -> None:
        """Go on with what was held back."""
        if self._lane and self.queue and self._retired:
            self._retired = False
            waiting, self._waiting = self._waiting, []
            self._put(self._lane, self.queue, waiting)

    def close(self) -> threading.Thread | None:
        """Load no more; a runner that still comes out of its load, on this thread, is closed."""
        self._closed = True
        return self._thread

    def _begin(self) -> None:
        if self._lane or self._thread or self._closed or self.failure():
            return
        self.loads += 1
        self._load_begun = time.monotonic()
        name = f"opsin-load-{self.loadable.name}"
        self._thread = threading.Thread(target=self._load, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the machine has no thread left
            self._loaded(as_opsin_error(error, f"loading {described(self.loadable)}"))

    def _load(self) -> None:
        answer: LoadedRunner | OpsinError
        try:
            answer = self._loader.load(self.loadable, self.plugin, self)
        except BaseException as error:
            answer = as_opsin_error(error, f"loading {described(self.loadable)}")
        self._mailbox.post(self._loaded, answer)

    def _loaded(self, answer: LoadedRunner | OpsinError) -> None:
        self._thread = None
        self.figures.loaded.add(time.monotonic() - self._load_begun)
        waiting, self._waiting = self._waiting, []
        wanted, self._wanted = self._wanted, False
        if self._closed:
            if isinstance(answer, LoadedRunner):
                answer.close()
            return
        if isinstance(answer, NoFreeRoom) and wanted:  # by now somebody waits
            self._waiting = waiting
            self.warm()
            return
        try:
            if isinstance(answer, OpsinError):
                raise answer
            answer.publish()
            kind = answer.device, answer.models
            sizes = self._learned.of(kind, answer.runner.max_batch)
            self.figures.is_on_device = answer.runner.uses_device
            self._lane, self.queue = self._lanes.place(answer, sizes)
            self.queue.figures = self.figures
        except Exception as error:
            failure = as_opsin_error(error, f"loading {described(self.loadable)}")
            self.figures.load_failures += 1
            if isinstance(answer, LoadedRunner):
                answer.close()
            if wanted:
                self._failures.add(failure)
                _fail(waiting, failure)
            else:
                logger.warning("%s", failure.message)
        else:
            self._failures.clear()
            self._put(self._lane, self.queue, waiting)
        ended, self._ended = self._ended, []
        for then in ended:
            then()

    def _put(self, lane: Lane, queue: RunnerQueue, tickets: list[Ticket]) -> None:
        try:
            lane.put(queue, tickets)
        except Exception as error:  # some may be queued: only their owners can end it for all
            failure = as_opsin_error(error, f"queueing for {described(self.loadable)}")
            for ticket in tickets:
                ticket.owner.fail(failure)


def _fail(tickets: list[Ticket], error: OpsinError) -> None:
    for ticket in tickets:
        deliver(ticket, Failure(error), None)
