"""The load of what a process of the cluster was ordered to run, which does not last for ever."""

import asyncio
import faulthandler
import os
import socket
from functools import partial

from opsin.core.contract import Loadable, Target
from opsin.core.engine.batch_size import BatchSizes
from opsin.core.engine.batching import RunnerQueue
from opsin.core.engine.lane import Lane, Post
from opsin.core.engine.lanes import Lanes
from opsin.core.engine.loading import LoadedRunner, Loader, described
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.memory import DeviceMemory
from opsin.core.engine.memory_limit import MemoryLimit
from opsin.core.engine.pool import CpuPool
from opsin.core.engine.ray.order import Order, Told
from opsin.core.errors import OperationUnavailable
from opsin.core.plugin_host import PluginHost, PluginInfo

_LAST_WORDS = 5.0  # seconds for a load that is overdue to be told of


class OrderedLoad:
    """One order's runner, and the lane and the queue that batch for it once it is loaded.

    `completed` is called on the event loop with every batch.
    """

    def __init__(self, order: Order, completed: Post) -> None:
        self.lane: Lane
        self.queue: RunnerQueue
        self._order = order
        self._completed = completed
        self._mailbox = Mailbox()

    async def told(self) -> Told:
        """What the runner is like; raises what loading it raises, PluginError when it is overdue.

        Then the process has to end soon: the thread that loads is still there.
        """
        seconds = self._order.load_seconds
        # The counting is C's, which a plugin that never gives the interpreter back cannot stop.
        faulthandler.dump_traceback_later(seconds + _LAST_WORDS, exit=True, file=2)
        self._mailbox.attach(asyncio.get_running_loop())
        loading = asyncio.ensure_future(asyncio.to_thread(self._loaded))
        await asyncio.wait({loading}, timeout=seconds)
        if not loading.done():
            faulthandler.dump_traceback(file=2)
            raise self._order.overdue()
        faulthandler.cancel_dump_traceback_later()
        return _told(loading.result())

    def _loaded(self) -> LoadedRunner:
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
        self.lane, self.queue = lanes.place(loaded, sizes)
        return loaded


class _Resident:
    """The only tenant of its process: never in anybody's way."""

    pinned = True
    is_wanted = True
    idle_seconds = None

    def evict(self) -> bool:
        return False

    def retire(self) -> None: ...

    def resume(self) -> None: ...


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
