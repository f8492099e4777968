"""The engine: takes pictures and tasks from the event loop and gives one outcome per task back."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

from opsin.core import tracing
from opsin.core.bounded_cache import CacheCounts
from opsin.core.contract import Embedding
from opsin.core.engine.batching import Completed, deliver
from opsin.core.engine.decoding import Decoder
from opsin.core.engine.device import check_device_name, expected_device
from opsin.core.engine.lanes import Lanes
from opsin.core.engine.loading import Loader, RunnerSource
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.memory import PATIENCE, DeviceMemory
from opsin.core.engine.memory_limit import MemoryLimit
from opsin.core.engine.opening import Opener
from opsin.core.engine.pictures import Pictures
from opsin.core.engine.placed import blank
from opsin.core.engine.plan import OnOutcome, Terms
from opsin.core.engine.pool import CpuPool, usable_cores
from opsin.core.engine.region_cache import RegionCache
from opsin.core.engine.requests import Requests
from opsin.core.engine.runners import Runners
from opsin.core.engine.statistics import MemoryStatistics, RunnerStatistics, runner_statistics
from opsin.core.engine.steps import KnownInputs, steps_of
from opsin.core.engine.task import Analyzed, Task
from opsin.core.engine.texts import TextRequest, of_unit_length
from opsin.core.engine.warming import preload, to_warm
from opsin.core.imaging import DecodedImage, DecodeOptions, ImageInfo, ImageLimits, Source
from opsin.core.plugin_host import PluginHost

if TYPE_CHECKING:
    from opsin.core.models.store import ModelStore

_DEFAULT_LIMITS = ImageLimits()
_DEFAULT_OPTIONS = DecodeOptions()
_NOTHING_KNOWN = KnownInputs()


class Engine:
    """Plans, batches and runs tasks; used from one event loop at a time, which it never blocks.

    `queue_limit` bounds the items that wait, `picture_memory` the bytes of decoded pictures, of
    which `picture_cache` may be kept for the next asker; `load_pause` is the seconds before a
    runner that failed to load is tried again (doubled each time), `cpu_threads` defaults to the
    cores this process may use.  `device_memory` is what models may take of each device (`12GB`,
    `80%`), `pinned` names what is never evicted, and `load_patience` is the seconds after which a
    load no longer waits for busy runners.  `elsewhere` gives the source of runners, such as those
    of a cluster, that stands before the one of this process.
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
        elsewhere: Callable[[Loader], RunnerSource] | None = None,
    ) -> None:
        self._host = host
        self._mailbox = Mailbox()
        self._memory = DeviceMemory(self._mailbox, MemoryLimit.parse(device_memory), load_patience)
        cores = usable_cores()
        self._loader = Loader(host, models, check_device_name(device), self._memory, cores)
        self._source = elsewhere(self._loader) if elsewhere else self._loader
        self._pool = CpuPool(cpu_threads or cores)
        self._lanes = Lanes(self._pool, partial(self._mailbox.post, self._completed))
        self._decoder = Decoder(self._pool, self._mailbox, limits, picture_memory, picture_cache)
        self.regions = RegionCache()
        self.runners = Runners(
            host, self._source, self._lanes, self._mailbox, load_pause=load_pause, pinned=pinned
        )
        self.is_warm = True
        """Whether all is loaded, as far as can be, that `preload` was asked for."""
        self._requests = Requests(queue_limit, self.runners, self.regions, self._attach)
        self._pictures = Pictures(
            self._decoder, self._requests, self.runners, self.regions, self._mailbox
        )

    async def analyze(
        self,
        source: Source | Opener | DecodedImage,
        tasks: Sequence[Task],
        *,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        deadline: float | None = None,
        priority: int = 0,
        on_outcome: OnOutcome | None = None,
        content: str | None = None,
        info: ImageInfo | None = None,
        inputs: KnownInputs = _NOTHING_KNOWN,
    ) -> Analyzed:
        """Run the tasks on one picture; outcomes come in the tasks' order and number.

        `deadline` is a time of the loop's clock (`loop.time() + seconds`); higher priorities go
        first.  `on_outcome` is called on the loop with each task's number and outcome as soon as
        there is one.  `content` names the encoded bytes: of one name, pixels and found regions
        are shared.  With `info`, what the decoded picture is like, it is neither opened nor decoded
        unless what is computed looks at it.  A task that fails is an outcome; for the whole this
        raises InvalidImage, TooLarge, Overloaded, DeadlineExceeded, or Cancelled once it is closed.
        """
        steps = steps_of(self._host, tasks, inputs.outcomes)
        is_seen = any(step.task.operation.uses_picture for step in steps)
        if info is not None and steps and not is_seen:
            source = DecodedImage(blank(info.height, info.width), info)
        with tracing.part("analyze", {"opsin.tasks": len(tasks)}):
            terms = Terms(options, content, deadline, priority, on_outcome, inputs.computed)
            plan = await self._pictures.carry_out(source, steps, len(tasks), terms)
        return plan.future.result()

    def decoded(
        self,
        source: Source,
        *,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        content: str | None = None,
    ) -> AbstractAsyncContextManager[DecodedImage]:
        """The picture, decoded on the pool within the engine's limits.

        Its pixels count as in use until the end, so that not all who wait for something hold one;
        whoever asks for the same `content` meanwhile shares them.  Errors as of `analyze`.
        """
        return self._pictures.decoded(source, Terms(options, content))

    async def decode(
        self,
        source: Source,
        *,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        content: str | None = None,
    ) -> DecodedImage:
        """As `decoded`; the pixels are the caller's, and count no more."""
        async with self.decoded(source, options=options, content=content) as image:
            return image

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
        slot = self.runners.text_embedder(operation)
        if not texts:
            return []
        request = TextRequest(
            tuple(texts),
            slot,
            self._requests.item_ended,
            asyncio.get_running_loop().create_future(),
            deadline=deadline,
            priority=priority,
        )
        await self._requests.carry_out(request, request.start)
        found = request.future.result()
        return [of_unit_length(embedding) for embedding in found] if normalize else found

    @property
    def device(self) -> str:
        """Where models run; before the first of them is loaded, where they are expected to."""
        return expected_device(self._loader.device)

    @property
    def picture_counts(self) -> CacheCounts:
        """How often a picture that has a name was decoded already."""
        return self._decoder.counts

    def statistics(self) -> tuple[RunnerStatistics, ...]:
        """The runners that were asked for so far, in the order of their first request."""
        return tuple(runner_statistics(slot) for slot in self.runners)

    def batch_seconds(self, task: Task) -> float | None:
        """How long a batch with such a task takes on average; None before the first."""
        ran = self.runners.of_task(task).figures.ran
        return ran.sum / ran.total if ran.total else None

    def memory_statistics(self) -> tuple[MemoryStatistics, ...]:
        """The devices that something was loaded for so far."""
        used = self._memory.used()
        return tuple(MemoryStatistics(device, *told) for device, told in used.items())

    def preload(self, names: Collection[str]) -> None:
        """Load operations and finders of these names, and the finders that their targets need.

        One after the other, as far as nothing has to go for them; what cannot be loaded is logged.
        """
        if names:
            self._attach(asyncio.get_running_loop())
        self.is_warm = False
        preload([self.runners.of(*found) for found in to_warm(self._host, names)], self._warmed)

    def _warmed(self) -> None:
        self.is_warm = True

    async def close(self, grace: float = 10.0) -> None:
        """Answer everyone with Cancelled, end the threads and close the runners.

        A batch that is running is not interrupted: after `grace` seconds it is left behind.
        """
        self._requests.close()
        loads = [thread for slot in self.runners if (thread := slot.close())]
        self._memory.close()
        await asyncio.to_thread(self._end_threads, loads, time.monotonic() + grace)

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._mailbox.loop is not loop:
            if self._requests.are_open:
                raise RuntimeError("an engine serves one event loop at a time")
            self._mailbox.attach(loop)
            self._pool.start()

    def _completed(self, completed: Completed) -> None:
        if completed.ran:
            self._requests.admission.ran(len(completed.tickets), completed.seconds)
            completed.queue.figures.completed(completed)
        for ticket, answer in zip(completed.tickets, completed.answers, strict=True):
            deliver(ticket, answer, completed)
        self._memory.left()

    def _end_threads(self, loads: list[threading.Thread], until: float) -> None:
        self._lanes.close(until)
        self._source.close(until)
        self._pool.close(until)
        for thread in loads:
            thread.join(max(until - time.monotonic(), 0.0))
