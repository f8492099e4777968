"""The process in the cluster: one operation's runner, and the batches that callers send it."""

import asyncio
import faulthandler
import importlib
import logging
import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from opsin import __version__
from opsin.core.contract import Loadable, Target
from opsin.core.engine.batch_size import BatchSizes
from opsin.core.engine.batching import Completed, Failure, RunnerQueue, Ticket, deliver
from opsin.core.engine.lanes import Lane, Lanes
from opsin.core.engine.loading import LoadedRunner, Loader, described
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.memory import DeviceMemory
from opsin.core.engine.memory_limit import MemoryLimit
from opsin.core.engine.pool import CpuPool
from opsin.core.engine.ray.order import Fault, Order, Told
from opsin.core.engine.ray.parcels import Parcel, Ran, SentText, packed_answers
from opsin.core.errors import OperationUnavailable, OpsinError
from opsin.core.plugin_host import PluginHost, PluginInfo

logger = logging.getLogger("opsin.engine")

REFUSED = b""
"""The answer to a parcel that has to come again later."""
_LOOK_AROUND = 1.0  # seconds


class RunnerActor:
    """Batches the items of all callers as the engine of one machine would; methods run on one loop.

    It ends itself when it was idle for long, and when no batch comes to an end for too long: Ray
    starts it again then, with a runner that works.
    """

    def __init__(self, version: str, order: bytes, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._idle_since = time.monotonic()
        self._parcels: dict[str, _Errands] = {}
        self._alone: str | None = None
        self._queue: RunnerQueue | None = None
        self._lane: Lane | None = None
        self._loading: asyncio.Task[bytes] | None = None
        self._mailbox = Mailbox()
        self._quiet = asyncio.Condition()
        self._problem = ""
        if version != __version__:
            self._problem = f"a machine of the cluster has Opsin {__version__}, this is {version}"
            return
        self._order: Order = pickle.loads(order)
        threading.Thread(target=self._watch, name="opsin-idle", daemon=True).start()

    async def started(self) -> bool:
        """The process is there; its runner may not be loaded yet."""
        return True

    async def load(self) -> bytes:
        """What the runner is like, or a `Fault`; loads it once."""
        if self._problem:
            threading.Timer(1.0, self._end).start()  # the next try may find another machine
            return pickle.dumps(Fault.of(OperationUnavailable(self._problem), "the cluster"))
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._load())
        return await asyncio.shield(self._loading)

    async def run(
        self, parcel: bytes, layout: Sequence[tuple[str, Any]], small: list[Any], *large: Any
    ) -> bytes:
        """The answers to a parcel whose pictures are `small` and `large` ones."""
        told = pickle.loads(await self.load())
        if isinstance(told, Fault):
            return pickle.dumps(told)
        self._idle_since = time.monotonic()
        pictures = [_picture(kind, which, small, large) for kind, which in layout]
        sent: Parcel = pickle.loads(parcel)
        if self._alone is not None:
            return REFUSED
        if sent.alone:
            self._alone = sent.name
        try:
            if sent.alone:
                async with self._quiet:
                    await self._quiet.wait_for(lambda: not self._parcels)
            return await self._run(sent, pictures)
        finally:
            if sent.alone:
                self._alone = None

    async def heard(self, name: str) -> dict[int, str]:
        """The texts that followed items of a parcel have come to, by place."""
        errands = self._parcels.get(name)
        return {} if errands is None else dict(errands.texts)

    async def idle(self) -> float | None:
        """Seconds without work; None while there is some."""
        return None if self._parcels or self._is_loading else time.monotonic() - self._idle_since

    async def leave(self, idle_for: float) -> bool:
        """End, if it has been idle for so many seconds: somebody else needs the room."""
        idle = await self.idle()
        if idle is None or idle < idle_for:
            return False
        threading.Timer(0.05, self._end).start()  # once this answer is on its way
        return True

    @property
    def _is_loading(self) -> bool:
        return self._loading is not None and not self._loading.done()

    async def _load(self) -> bytes:
        what = f"{self._order.kind} {self._order.name!r}"
        try:
            self._mailbox.attach(asyncio.get_running_loop())
            told = await asyncio.to_thread(self._loaded)
        except BaseException as error:
            logger.exception("%s could not be loaded", what)
            fault = pickle.dumps(Fault.of(error, f"loading {what}"))
            threading.Timer(1.0, self._end).start()  # the next try begins in a clean process
            return fault
        self._idle_since = time.monotonic()
        return pickle.dumps(told)

    def _loaded(self) -> Told:
        order = self._order
        host, models = order.open_plugins()
        loadable, plugin = _find(host, order)
        if (loadable.version, plugin.version) != (order.version, order.plugin_version):
            raise OperationUnavailable(
                f"a machine of the cluster has another version of {described(loadable)}"
            )
        memory = DeviceMemory(self._mailbox, MemoryLimit.parse(None))
        loader = Loader(host, models, order.device, memory, order.cores)
        loaded = loader.load(loadable, plugin, _Resident())
        if loaded.models != order.models:
            raise OperationUnavailable(
                f"a machine of the cluster has other weights for {described(loadable)}: "
                "OPSIN_RAY_DATA_DIR must hold the same files there"
            )
        loaded.publish()
        pool = CpuPool(order.cores)
        pool.start()
        lanes = Lanes(pool, partial(self._mailbox.post, self._completed))
        sizes = BatchSizes(loaded.runner.max_batch)
        self._lane, self._queue = lanes.place(loaded, sizes)
        return _told(loaded)

    async def _run(self, sent: Parcel, pictures: list[Any]) -> bytes:
        assert self._lane is not None and self._queue is not None  # `load` has seen to it
        errands = _Errands(sent, pictures)
        self._parcels[sent.name] = errands
        self._rewind()
        try:
            self._lane.put(self._queue, errands.tickets)
            await errands.done
        finally:
            del self._parcels[sent.name]
            self._idle_since = time.monotonic()
            self._rewind()
            async with self._quiet:
                self._quiet.notify_all()
        return packed_answers(errands.runs(), self._queue.loaded.what)

    def _completed(self, completed: Completed) -> None:
        self._rewind()
        for ticket, answer in zip(completed.tickets, completed.answers, strict=True):
            deliver(ticket, answer, completed)

    def _rewind(self) -> None:
        """Begin to count anew: something has come to an end, or the first has come.

        The counting is C's, which a plugin that never gives the interpreter back cannot stop.
        """
        if self._parcels:
            faulthandler.dump_traceback_later(self._order.batch_seconds, exit=True, file=2)
        else:
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_AROUND)
            idle = time.monotonic() - self._idle_since
            if idle > self._idle_seconds and not self._parcels and not self._is_loading:
                self._end()

    def _end(self) -> None:
        """End for good: killed so, Ray does not start it again."""
        ray = importlib.import_module("ray")
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


class _Resident:
    """The only tenant of its process: never in anybody's way."""

    pinned = True
    is_wanted = True
    idle_seconds = None

    def evict(self) -> bool:
        return False

    def retire(self) -> None: ...

    def resume(self) -> None: ...


class _Errand:
    """Whose item a ticket is."""

    closed = False
    deadline = float("inf")

    def __init__(self, priority: int, fail: Callable[[OpsinError], None]) -> None:
        self.priority = priority
        self.fail = fail


class _Errands:
    """A parcel in hand: its tickets, and what has become of them."""

    def __init__(self, sent: Parcel, pictures: list[Any]) -> None:
        self.texts: dict[int, str] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers: dict[int, tuple[Any, Completed | None]] = {}
        self._expected = len(sent.items)
        now = time.monotonic()
        self.tickets = []
        for place, one in enumerate(sent.items):
            item: Any
            if isinstance(one, SentText):
                item = one.text
            else:
                item = one.item(pictures, partial(self.texts.__setitem__, place))
            owner = _Errand(one.priority, partial(self._failed, place))
            self.tickets.append(Ticket(item, owner, now, partial(self._answered, place)))

    def runs(self) -> list[Ran]:
        """The answers, by the batch that they were made in."""
        now = time.monotonic()
        runs: dict[int, Ran] = {}
        for place, (answer, completed) in self._answers.items():
            run = runs.setdefault(id(completed), Ran())
            run.places.append(place)
            if isinstance(answer, Failure):
                answer = Fault.of(answer.error, "the operation")
            run.answers.append(answer)
            if completed is None:
                run.ran = False
            else:
                run.age, run.seconds = now - completed.started, completed.seconds
                run.ran = completed.ran
                run.shared_with = len(completed.tickets)
        for run in runs.values():
            run.shared_with = max(run.shared_with - len(run.places), 0)
        return list(runs.values())

    def _answered(self, place: int, answer: Any, completed: Completed | None) -> None:
        self._answers[place] = answer, completed
        if len(self._answers) == self._expected and not self.done.done():
            self.done.set_result(None)

    def _failed(self, place: int, error: OpsinError) -> None:
        self._answered(place, Failure(error), None)


def _picture(kind: str, which: Any, small: list[Any], large: Sequence[Any]) -> Any:
    if kind == "blank":
        from opsin.core.engine.placed import blank

        return blank(*which)
    return small[which] if kind == "small" else large[which]


def _find(host: PluginHost, order: Order) -> tuple[Loadable, PluginInfo]:
    if order.kind == "operation":
        if order.name in host.operations:
            operation = host.operations[order.name]
            return operation.operation, operation.plugin
    elif order.kind == "finder":
        for target in Target:
            finder = host.finders.get(target)
            if finder is not None and finder.finder.name == order.name:
                return finder.finder, finder.plugin
    else:
        for embedder in host.text_embedders.values():
            if embedder.embedder.name == order.name:
                return embedder.embedder, embedder.plugin
    raise OperationUnavailable(
        f"a machine of the cluster has no plugin that provides {order.name!r}"
    )


def _told(loaded: LoadedRunner) -> Told:
    return Told(
        loaded.device,
        loaded.models,
        loaded.runner.max_batch,
        loaded.usage.total,
        f"{socket.gethostname()}:{os.getpid()}",
    )
