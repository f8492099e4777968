"""Loading runners: each on its own thread, once for all who wait, tried again after a pause."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opsin.core.contract import Loadable, Operation, RegionFinder, Runner
from opsin.core.engine.batching import Failure, Owner, RunnerQueue, Ticket, deliver
from opsin.core.engine.device import resolve_device
from opsin.core.engine.failures import as_opsin_error, safe_text
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.provenance import ModelUsed, models_used
from opsin.core.errors import OperationUnavailable, OpsinError, PluginError
from opsin.core.plugin_host import PluginFailure, PluginHost, PluginInfo

if TYPE_CHECKING:
    from opsin.core.engine.lanes import Lane, Lanes
    from opsin.core.model_store import ModelStore

logger = logging.getLogger("opsin.engine")

LONGEST_PAUSE = 60.0  # seconds between attempts to load what keeps failing


@dataclass(frozen=True, slots=True, eq=False)
class LoadedRunner:
    """A runner that is in memory; `what` names it in messages."""

    what: str
    runner: Runner[Any, Any]
    device: str
    models: tuple[ModelUsed, ...]
    is_plain: bool
    """Nothing is to be done before `run`, so that its items need not visit the pool."""

    def close(self) -> None:
        try:
            self.runner.close()
        except Exception:
            logger.exception("closing the runner of %s failed", self.what)


@dataclass(frozen=True, slots=True)
class Loader:
    """Builds runners; called on any thread."""

    host: PluginHost
    models: "ModelStore"
    device: str

    def load(self, loadable: Loadable, plugin: PluginInfo) -> LoadedRunner:
        """Raises OpsinError; what is not just something missing here is reported to the host."""
        try:
            return self._load(loadable)
        except OperationUnavailable:
            raise
        except BaseException as error:  # a plugin's SystemExit too
            what = described(loadable)
            logger.error("%s could not be loaded", what, exc_info=error)
            self.host.report(PluginFailure.of(plugin.name, "load", error))
            if isinstance(error, OpsinError):
                raise
            message = f"{what} could not be loaded: {safe_text(error)}"
            raise PluginError(plugin.name, message) from None

    def _load(self, loadable: Loadable) -> LoadedRunner:
        # Before the device: a missing torch is to be called that, not a missing GPU.
        if reason := self.models.missing(loadable):
            subject = loadable.name
            if isinstance(loadable, RegionFinder):
                subject = f"finding the region {loadable.target.value!r}"
            raise OperationUnavailable(f"{subject} {reason}")
        # Only torch knows its devices, and importing it takes seconds: others stay on the CPU.
        plain_cpu = self.device == "auto" and "torch" not in loadable.requires
        context = self.models.context(loadable, "cpu" if plain_cpu else resolve_device(self.device))
        runner = loadable.load(context)
        if not isinstance(runner, Runner):
            raise TypeError(f"load returned a {type(runner).__name__}, not a Runner")
        return LoadedRunner(
            what=described(loadable),
            runner=runner,
            device=context.device,
            models=models_used(context),
            is_plain=_is_inherited(runner.prepare) and _is_inherited(runner.batch_key),
        )


class RunnerSlot:
    """A loadable's place: empty, loading while items wait, or loaded; lives on the event loop."""

    def __init__(
        self,
        loadable: Loadable,
        plugin: PluginInfo,
        loader: Loader,
        lanes: "Lanes",
        mailbox: Mailbox,
        pause: float,
    ) -> None:
        self.loadable = loadable
        self.plugin = plugin
        self.queue: RunnerQueue | None = None
        self.loads = 0
        self._loader = loader
        self._lanes = lanes
        self._mailbox = mailbox
        self._pause = pause
        self._thread: threading.Thread | None = None
        self._lane: Lane | None = None
        self._waiting: list[Ticket] = []
        self._failure: OpsinError | None = None
        self._failures = 0
        self._retry_at = 0.0
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
    def is_operation(self) -> bool:
        return isinstance(self.loadable, Operation)

    def failure(self) -> OpsinError | None:
        """Why the last load failed, for a short while; then the next request tries again."""
        return self._failure if time.monotonic() < self._retry_at else None

    def warm(self) -> None:
        """Begin to load, unless it is loaded, loading or known to fail."""
        idle = self._lane is None and self._thread is None and not self._closed
        if idle and not self.failure():
            self._start()

    def submit(self, tickets: list[Ticket]) -> None:
        """Queue items for the runner, loading it when it is not there."""
        if self._lane and self.queue:
            self._put(self._lane, self.queue, tickets)
        elif failure := self.failure():
            _fail(tickets, failure)
        else:
            self._waiting += tickets
            self.warm()

    def discard(self, owner: Owner) -> None:
        """Forget the items of a caller that is gone."""
        self._waiting = [ticket for ticket in self._waiting if ticket.owner is not owner]
        if self._lane and self.queue:
            self._lane.discard(self.queue, owner)

    def close(self) -> threading.Thread | None:
        """Load no more; a runner that still comes out of its load, on this thread, is closed."""
        self._closed = True
        return self._thread

    def _start(self) -> None:
        self.loads += 1
        name = f"opsin-load-{self.loadable.name}"
        self._thread = threading.Thread(target=self._load, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the machine has no thread left
            self._loaded(as_opsin_error(error, f"loading {described(self.loadable)}"))

    def _load(self) -> None:
        answer: LoadedRunner | OpsinError
        try:
            answer = self._loader.load(self.loadable, self.plugin)
        except BaseException as error:
            answer = as_opsin_error(error, f"loading {described(self.loadable)}")
        self._mailbox.post(self._loaded, answer)

    def _loaded(self, answer: LoadedRunner | OpsinError) -> None:
        self._thread = None
        waiting, self._waiting = self._waiting, []
        if isinstance(answer, LoadedRunner) and self._closed:
            answer.close()
            return
        try:
            if isinstance(answer, OpsinError):
                raise answer
            self._lane, self.queue = self._lanes.place(answer)
        except Exception as error:
            # Remembered for a moment only: weights may arrive, memory may become free.
            self._failure = as_opsin_error(error, f"loading {described(self.loadable)}")
            self._retry_at = time.monotonic() + min(self._pause * 2**self._failures, LONGEST_PAUSE)
            self._failures += 1
            if isinstance(answer, LoadedRunner):
                answer.close()
            _fail(waiting, self._failure)
        else:
            self._failure, self._failures = None, 0
            self._put(self._lane, self.queue, waiting)

    def _put(self, lane: "Lane", queue: RunnerQueue, tickets: list[Ticket]) -> None:
        try:
            lane.put(queue, tickets)
        except Exception as error:  # some may be queued: only their owners can end it for all
            failure = as_opsin_error(error, f"queueing for {described(self.loadable)}")
            for ticket in tickets:
                ticket.owner.fail(failure)


def _is_inherited(method: Any) -> bool:
    """Whether a runner's method is the base class's own: then it need not be called."""
    name = getattr(method, "__name__", "")
    return getattr(method, "__func__", None) is getattr(Runner, name, method)


def described(loadable: Loadable) -> str:
    """How messages name it: `operation 'caption'`."""
    kind = "region finder" if isinstance(loadable, RegionFinder) else "operation"
    return f"{kind} {loadable.name!r}"


def _fail(tickets: list[Ticket], error: OpsinError) -> None:
    for ticket in tickets:
        deliver(ticket, Failure(error), None)
