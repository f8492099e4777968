"""The engine: takes pictures and tasks from the event loop and gives one outcome per task back."""

import asyncio
import math
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opsin.core.contract import Loadable, Target
from opsin.core.engine.admission import Admission
from opsin.core.engine.batching import Completed, deliver
from opsin.core.engine.decoding import Decoder, Picture
from opsin.core.engine.device import check_device_name
from opsin.core.engine.lanes import Lanes
from opsin.core.engine.loading import Loader, RunnerSlot
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.plan import PicturePlan
from opsin.core.engine.pool import CpuPool
from opsin.core.engine.statistics import RunnerStatistics, runner_statistics
from opsin.core.engine.task import Analyzed, Task
from opsin.core.errors import Cancelled, DeadlineExceeded, UnknownOperation
from opsin.core.imaging import DecodedImage, DecodeOptions, ImageLimits, Source
from opsin.core.plugin_host import PluginHost, PluginInfo

if TYPE_CHECKING:
    from opsin.core.model_store import ModelStore

_DEFAULT_LIMITS = ImageLimits()
_DEFAULT_OPTIONS = DecodeOptions()


class Engine:
    """Plans, batches and runs tasks; used from one event loop at a time, which it never blocks.

    `queue_limit` bounds the items that wait, `picture_memory` the bytes of decoded pictures,
    `load_pause` is the seconds before a runner that failed to load is tried again (doubled each
    time), `cpu_threads` defaults to the cores this process may use.
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
        load_pause: float = 1.0,
    ) -> None:
        self._host = host
        self._loader = Loader(host, models, check_device_name(device))
        self._load_pause = load_pause
        self._mailbox = Mailbox()
        self._pool = CpuPool(cpu_threads or _usable_cores())
        self._lanes = Lanes(self._pool, self._post)
        self._decoder = Decoder(self._pool, self._mailbox, limits, picture_memory)
        self._admission = Admission(queue_limit)
        self._slots: dict[int, RunnerSlot] = {}
        self._plans: set[PicturePlan] = set()
        self._closed = False

    async def analyze(
        self,
        source: Source | DecodedImage,
        tasks: Sequence[Task],
        *,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        deadline: float | None = None,
        priority: int = 0,
    ) -> Analyzed:
        """Run the tasks on one picture; outcomes come in the tasks' order and number.

        `deadline` is a time of the loop's clock (`loop.time() + seconds`); higher priorities go
        first.  A task that fails is an outcome; for the whole this raises InvalidImage, TooLarge,
        Overloaded, DeadlineExceeded, or Cancelled when the engine is closed.
        """
        plan = await self._carry_out(source, tasks, options, deadline, priority)
        return plan.future.result()

    async def decode(
        self, source: Source, *, options: DecodeOptions = _DEFAULT_OPTIONS
    ) -> DecodedImage:
        """Decode on the pool, within the engine's limits; raises as `analyze` does."""
        plan = await self._carry_out(source, (), options, None, 0)
        assert plan.image is not None  # or the plan would have failed
        return plan.image

    def statistics(self) -> tuple[RunnerStatistics, ...]:
        """The runners that were asked for so far, in the order of their first request."""
        return tuple(runner_statistics(slot) for slot in self._slots.values())

    async def close(self, grace: float = 10.0) -> None:
        """Answer everyone with Cancelled, end the threads and close the runners.

        A batch that is running is not interrupted: after `grace` seconds it is left behind.
        """
        self._closed = True
        for plan in tuple(self._plans):
            plan.fail(Cancelled("the engine was closed"))
        loads = [thread for slot in self._slots.values() if (thread := slot.close())]
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

    def settled(self) -> None:
        """A task has its outcome."""
        self._admission.leave(1)

    def _slot(self, loadable: Loadable, plugin: PluginInfo) -> RunnerSlot:
        # By identity, which a slot keeps alive: names of operations and finders may be equal.
        slot = self._slots.get(id(loadable))
        if slot is None:
            slot = self._slots[id(loadable)] = RunnerSlot(
                loadable, plugin, self._loader, self._lanes, self._mailbox, self._load_pause
            )
        return slot

    async def _carry_out(
        self,
        source: Source | DecodedImage,
        tasks: Sequence[Task],
        options: DecodeOptions,
        deadline: float | None,
        priority: int,
    ) -> PicturePlan:
        """Accept one picture and wait for its plan; whatever happens, nothing of it stays."""
        loop = asyncio.get_running_loop()
        self._enter(loop, deadline)
        plan = PicturePlan(
            tuple(tasks),
            self,
            loop.create_future(),
            deadline=math.inf if deadline is None else deadline,
            priority=priority,
        )
        # A picture counts as well, as long as it has to be decoded for no task at all.
        alone = 0 if plan.tasks else 1
        self._admission.enter(plan.missing + alone, self._running())
        self._plans.add(plan)
        timer = loop.call_at(deadline, plan.expire) if deadline is not None else None
        picture = None
        try:
            if isinstance(source, DecodedImage):
                plan.decoded(source, 0.0)
            else:
                picture = Picture(source, options, plan.decoded)
                self._decoder.start(picture, priority)
            await plan.future
            return plan
        finally:
            plan.closed = True
            if timer is not None:
                timer.cancel()
            if not plan.is_complete:
                for slot in self._slots.values():
                    slot.discard(plan)
            if picture is not None:
                self._decoder.release(picture)
            self._plans.discard(plan)
            self._admission.leave(plan.missing + alone)
            # An error's traceback holds this frame: it must not lead back to the error's future,
            # or the pixels would stay until the garbage collector finds the cycle.
            del plan, picture, timer

    def _enter(self, loop: asyncio.AbstractEventLoop, deadline: float | None) -> None:
        if self._closed:
            raise Cancelled("the engine is closed")
        if deadline is not None and deadline <= loop.time():
            raise DeadlineExceeded("the deadline had passed before the picture was looked at")
        if self._mailbox.loop is not loop:
            if self._plans:
                raise RuntimeError("an engine serves one event loop at a time")
            self._mailbox.attach(loop)
            self._pool.start()

    def _running(self) -> int:
        """Accepted items that are in a batch right now."""
        return sum(slot.running for slot in self._slots.values() if slot.is_operation)

    def _post(self, completed: Completed) -> None:
        self._mailbox.post(self._completed, completed)

    def _completed(self, completed: Completed) -> None:
        if completed.ran:
            self._admission.ran(len(completed.tickets), completed.seconds)
        for ticket, answer in zip(completed.tickets, completed.answers, strict=True):
            deliver(ticket, answer, completed)

    def _end_threads(self, loads: list[threading.Thread], until: float) -> None:
        self._lanes.close(until)
        self._pool.close(until)
        for thread in loads:
            thread.join(max(until - time.monotonic(), 0.0))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
