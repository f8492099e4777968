"""The engine: takes pictures and tasks from the event loop and gives one outcome per task back."""

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from opsin.core.contract import Embedding, Loadable, RegionFinder, Target
from opsin.core.engine.admission import Admission
from opsin.core.engine.batching import Completed, deliver
from opsin.core.engine.bounded_cache import CacheCounts
from opsin.core.engine.decoding import Decoder, Picture
from opsin.core.engine.device import check_device_name
from opsin.core.engine.lanes import Lanes
from opsin.core.engine.loading import Loader
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.memory import PATIENCE, DeviceMemory
from opsin.core.engine.memory_limit import MemoryLimit
from opsin.core.engine.plan import OnOutcome, PicturePlan
from opsin.core.engine.pool import CpuPool
from opsin.core.engine.region_cache import RegionCache
from opsin.core.engine.request import Request
from opsin.core.engine.slots import RunnerSlot
from opsin.core.engine.statistics import MemoryStatistics, RunnerStatistics, runner_statistics
from opsin.core.engine.steps import steps_of
from opsin.core.engine.task import Analyzed, Task
from opsin.core.engine.texts import TextRequest, of_unit_length
from opsin.core.engine.warming import preload, to_warm
from opsin.core.errors import Cancelled, DeadlineExceeded, UnknownOperation
from opsin.core.imaging import DecodedImage, DecodeOptions, ImageLimits, Source
from opsin.core.plugin_host import PluginHost, PluginInfo

if TYPE_CHECKING:
    from opsin.core.models.store import ModelStore

_DEFAULT_LIMITS = ImageLimits()
_DEFAULT_OPTIONS = DecodeOptions()


class Engine:
    """Plans, batches and runs tasks; used from one event loop at a time, which it never blocks.

    `queue_limit` bounds the items that wait, `picture_memory` the bytes of decoded pictures, of
    which `picture_cache` may be kept for the next asker;
    `load_pause` is the seconds before a runner that failed to load is tried again (doubled each
    time), `cpu_threads` defaults to the cores this process may use.  `device_memory` is what models
    may take of each device (`12GB`, `80%`), `pinned` names what is never evicted, and
    `load_patience` is the seconds after which a load no longer waits for busy runners.
    """

    def __init__(
        self,
        host: PluginHost,
        models: "ModelStore",
        *,
        device: str = "auto",
        limits: ImageLimits = _DEFAULT_LIMITS,
        queue_limit: int = 4096,
        cpu_threads: int | None = None,
        picture_memory: int = 2**30,
        picture_cache: int = 0,
        load_pause: float = 1.0,
        device_memory: str | None = None,
        pinned: Collection[str] = (),
        load_patience: float = PATIENCE,
    ) -> None:
        self._host = host
        self._load_pause = load_pause
        self._pinned = frozenset(pinned)
        self._mailbox = Mailbox()
        self._memory = DeviceMemory(self._mailbox, MemoryLimit.parse(device_memory), load_patience)
        cores = _usable_cores()
        self._loader = Loader(host, models, check_device_name(device), self._memory, cores)
        self._pool = CpuPool(cpu_threads or cores)
        self._lanes = Lanes(self._pool, self._post)
        self._decoder = Decoder(self._pool, self._mailbox, limits, picture_memory, picture_cache)
        self.regions = RegionCache()
        self._admission = Admission(queue_limit)
        self._slots: dict[int, RunnerSlot] = {}
        self._requests: set[Request[Any]] = set()
        self._closed = False

    async def analyze(
        self,
        source: Source | DecodedImage,
        tasks: Sequence[Task],
        *,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        deadline: float | None = None,
        priority: int = 0,
        on_outcome: OnOutcome | None = None,
        content: str | None = None,
    ) -> Analyzed:
        """Run the tasks on one picture; outcomes come in the tasks' order and number.

        `deadline` is a time of the loop's clock (`loop.time() + seconds`); higher priorities go
        first.  `on_outcome` is called on the loop with each task's number and outcome as soon as
        there is one.  `content` names the encoded bytes: of one name, pixels and found regions
        are shared.  A task that fails is an outcome; for the whole this raises InvalidImage,
        TooLarge, Overloaded, DeadlineExceeded, or Cancelled when the engine is closed.
        """
        plan = await self._plan(source, tasks, options, deadline, priority, on_outcome, content)
        return plan.future.result()

    async def decode(
        self,
        source: Source,
        *,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        content: str | None = None,
    ) -> DecodedImage:
        """Decode on the pool, within the engine's limits; `content` and errors as of `analyze`."""
        plan = await self._plan(source, (), options, None, 0, None, content)
        assert plan.image is not None  # or the plan would have failed
        return plan.image

    async def embed_texts(
        self,
        operation: str,
        texts: Sequence[str],
        *,
        normalize: bool = False,
        deadline: float | None = None,
        priority: int = 0,
    ) -> list[Embedding]:
        """Embed texts into the space of an operation's embeddings, one for each, in their order.

        `normalize` scales the vectors to length 1.  Raises UnknownOperation when no plugin embeds
        texts for that operation, what the embedder's runner raised, and for the rest as `analyze`.
        """
        slot = self._text_embedder(operation)
        if not texts:
            return []
        loop = asyncio.get_running_loop()
        request = TextRequest(
            tuple(texts),
            slot,
            self.ended,
            loop.create_future(),
            deadline=_deadline(deadline),
            priority=priority,
        )
        await self._carry_out(request, request.start)
        found = request.future.result()
        return [of_unit_length(embedding) for embedding in found] if normalize else found

    @property
    def picture_counts(self) -> CacheCounts:
        """How often a picture that has a name was decoded already."""
        return self._decoder.counts

    def statistics(self) -> tuple[RunnerStatistics, ...]:
        """The runners that were asked for so far, in the order of their first request."""
        return tuple(runner_statistics(slot) for slot in self._slots.values())

    def memory_statistics(self) -> tuple[MemoryStatistics, ...]:
        """The devices that something was loaded for so far."""
        used = self._memory.used()
        return tuple(MemoryStatistics(device, *told) for device, told in used.items())

    def preload(self, names: Collection[str]) -> None:
        """Load operations and finders of these names, and the finders that their targets need.

        One after the other, beside everything else, as far as nothing has to go for them; what
        cannot be loaded is logged.
        """
        if names:
            self._attach(asyncio.get_running_loop())
        preload([self._slot(*found) for found in to_warm(self._host, names)])

    async def close(self, grace: float = 10.0) -> None:
        """Answer everyone with Cancelled, end the threads and close the runners.

        A batch that is running is not interrupted: after `grace` seconds it is left behind.
        """
        self._closed = True
        for request in tuple(self._requests):
            request.fail(Cancelled("the engine was closed"))
        loads = [thread for slot in self._slots.values() if (thread := slot.close())]
        self._memory.close()
        await asyncio.to_thread(self._end_threads, loads, time.monotonic() + grace)

    def of_task(self, task: Task) -> RunnerSlot:
        """The slot of a task's operation."""
        operation = task.operation
        slot = self._slots.get(id(operation))
        if slot is not None:
            return slot
        registered = self._host.operations.get(operation.name)
        if registered is None or registered.operation is not operation:
            raise UnknownOperation(f"the operation {operation.name!r} is not registered here")
        return self._slot(operation, registered.plugin)

    def finder(self, target: Target) -> RunnerSlot | None:
        """The slot of the finder for a target; None when no plugin has one."""
        registered = self._host.finders.get(target)
        if registered is None:
            return None
        return self._slot(registered.finder, registered.plugin)

    def ended(self) -> None:
        """An item has come to its end."""
        self._admission.leave(1)

    def _text_embedder(self, operation: str) -> RunnerSlot:
        registered = self._host.text_embedders.get(operation)
        if registered is None:
            known = self._host.operation(operation)
            raise UnknownOperation(f"no plugin embeds texts for the operation {known.name!r}")
        return self._slot(registered.embedder, registered.plugin)

    def _slot(self, loadable: Loadable, plugin: PluginInfo) -> RunnerSlot:
        # By identity, which a slot keeps alive: names of operations and finders may be equal.
        slot = self._slots.get(id(loadable))
        if slot is None:
            slot = self._slots[id(loadable)] = RunnerSlot(
                loadable,
                plugin,
                self._loader,
                self._lanes,
                self._mailbox,
                self._load_pause,
                pinned=loadable.name in self._pinned,
            )
        return slot

    async def _plan(
        self,
        source: Source | DecodedImage,
        tasks: Sequence[Task],
        options: DecodeOptions,
        deadline: float | None,
        priority: int,
        on_outcome: OnOutcome | None,
        content: str | None,
    ) -> PicturePlan:
        """Plan the work on one picture and carry it out."""
        loop = asyncio.get_running_loop()
        plan = PicturePlan(
            len(tasks),
            steps_of(self._host, tasks),
            self,
            self._mailbox,
            loop.create_future(),
            deadline=_deadline(deadline),
            priority=priority,
            on_outcome=on_outcome,
            content=None if content is None else (content, options),
        )
        picture = None
        try:
            if isinstance(source, DecodedImage):
                await self._carry_out(plan, partial(plan.decoded, source, 0.0))
            else:
                picture = Picture(source, options, plan.decoded, content)
                await self._carry_out(plan, partial(self._decoder.start, picture, priority))
            return plan
        finally:
            if picture is not None:
                self._decoder.release(picture)
            del plan, picture  # as below

    async def _carry_out(self, request: Request[Any], start: Callable[[], None]) -> None:
        """Accept a request and wait for its answer; whatever happens, nothing of it stays."""
        loop = asyncio.get_running_loop()
        self._enter(loop, request.deadline)
        # A picture counts as well, as long as it has to be decoded for no task at all.
        alone = 0 if request.missing else 1
        self._admission.enter(request.missing + alone, self._running())
        self._requests.add(request)
        timer = None
        if request.deadline < math.inf:
            timer = loop.call_at(request.deadline, request.expire)
        try:
            start()
            await request.future
        finally:
            request.closed = True
            if timer is not None:
                timer.cancel()
            if not request.is_complete:
                self.regions.leave(request)
                for slot in self._slots.values():
                    slot.discard(request)
            self._requests.discard(request)
            self._admission.leave(request.missing + alone)
            # An error's traceback holds this frame: it must not lead back to the error's future,
            # or the pixels would stay until the garbage collector finds the cycle.
            del request, start, timer

    def _enter(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        if self._closed:
            raise Cancelled("the engine is closed")
        if deadline <= loop.time():
            raise DeadlineExceeded("the deadline had passed before anything was done")
        self._attach(loop)

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._mailbox.loop is not loop:
            if self._requests:
                raise RuntimeError("an engine serves one event loop at a time")
            self._mailbox.attach(loop)
            self._pool.start()

    def _running(self) -> int:
        """Accepted items that are in a batch right now."""
        return sum(
            slot.running
            for slot in self._slots.values()
            if not isinstance(slot.loadable, RegionFinder)  # whose items were not counted
        )

    def _post(self, completed: Completed) -> None:
        self._mailbox.post(self._completed, completed)

    def _completed(self, completed: Completed) -> None:
        if completed.ran:
            self._admission.ran(len(completed.tickets), completed.seconds)
        for ticket, answer in zip(completed.tickets, completed.answers, strict=True):
            deliver(ticket, answer, completed)
        self._memory.left()

    def _end_threads(self, loads: list[threading.Thread], until: float) -> None:
        self._lanes.close(until)
        self._pool.close(until)
        for thread in loads:
            thread.join(max(until - time.monotonic(), 0.0))


def _deadline(given: float | None) -> float:
    return math.inf if given is None else given


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
