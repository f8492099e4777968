"""The process in the cluster: one operation's runner, and the batches that callers send it."""

import asyncio
import faulthandler
import importlib
import logging
import pickle
import threading
import time
from collections.abc import Sequence
from typing import Any

from opsin import __version__
from opsin.core.engine.batching import Completed, deliver
from opsin.core.engine.ray.errands import Errands, picture_of
from opsin.core.engine.ray.order import Fault, Order
from opsin.core.engine.ray.ordered_load import OrderedLoad
from opsin.core.engine.ray.parcels import Parcel, packed_answers
from opsin.core.engine.ray.spans import Notebook
from opsin.core.errors import OperationUnavailable

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
        self._parcels: dict[str, Errands] = {}
        self._alone: str | None = None
        self._loading: asyncio.Task[bytes] | None = None
        self._notebook = Notebook()
        self._quiet = asyncio.Condition()
        self._problem = ""
        if version != __version__:
            self._problem = f"a machine of the cluster has Opsin {__version__}, this is {version}"
            return
        self._order: Order = pickle.loads(order)
        self._load_of_order = OrderedLoad(self._order, self._completed)
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
        self._idle_since = received = time.monotonic()
        pictures = [picture_of(kind, which, small, large) for kind, which in layout]
        sent: Parcel = pickle.loads(parcel)
        if self._alone is not None:
            return REFUSED
        if sent.alone:
            self._alone = sent.name
        try:
            if sent.alone:
                async with self._quiet:
                    await self._quiet.wait_for(lambda: not self._parcels)
            return await self._run(Errands(sent, pictures, self._notebook), sent.name, received)
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
        what = self._order.what
        try:
            told = await self._load_of_order.told()
        except BaseException as error:
            logger.exception("%s could not be loaded", what)
            fault = pickle.dumps(Fault.of(error, f"loading {what}"))
            threading.Timer(1.0, self._end).start()  # the next try begins in a clean process
            return fault
        self._idle_since = time.monotonic()
        return pickle.dumps(told)

    async def _run(self, errands: Errands, name: str, received: float) -> bytes:
        loaded = self._load_of_order  # `run` has seen to it
        what = loaded.queue.loaded.what
        self._parcels[name] = errands
        self._rewind()
        try:
            errands.begin(what, received)
            loaded.lane.put(loaded.queue, errands.tickets)
            await errands.done
        finally:
            del self._parcels[name]
            self._idle_since = time.monotonic()
            self._rewind()
            async with self._quiet:
                self._quiet.notify_all()
        return packed_answers(errands.end(), what)

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
