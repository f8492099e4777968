"""The runners of one engine: each loadable's slot, made when it is first asked for."""

from collections.abc import Collection, Iterator

from opsin.core.contract import Loadable, RegionFinder, Target
from opsin.core.engine.batching import Owner
from opsin.core.engine.lanes import Lanes
from opsin.core.engine.loading import RunnerSource
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.slots import RunnerSlot
from opsin.core.engine.task import Task
from opsin.core.errors import UnknownOperation
from opsin.core.plugin_host import PluginHost, PluginInfo


class Runners:
    """Finds the slot of a task, a target or a text embedder; lives on the event loop.

    `pinned` names what is never evicted; `load_pause` is the seconds before a runner that failed to
    load is tried again.
    """

    def __init__(
        self,
        host: PluginHost,
        loader: RunnerSource,
        lanes: Lanes,
        mailbox: Mailbox,
        *,
        load_pause: float,
        pinned: Collection[str],
    ) -> None:
        self._host = host
        self._loader = loader
        self._lanes = lanes
        self._mailbox = mailbox
        self._load_pause = load_pause
        self._pinned = frozenset(pinned)
        self._slots: dict[int, RunnerSlot] = {}

    def __iter__(self) -> Iterator[RunnerSlot]:
        """Those that were asked for so far, in the order of their first request."""
        return iter(self._slots.values())

    def of_task(self, task: Task) -> RunnerSlot:
        """The slot of a task's operation."""
        operation = task.operation
        slot = self._slots.get(id(operation))
        if slot is not None:
            return slot
        registered = self._host.operations.get(operation.name)
        if registered is None or registered.operation is not operation:
            raise UnknownOperation(f"the operation {operation.name!r} is not registered here")
        return self.of(operation, registered.plugin)

    def finder(self, target: Target) -> RunnerSlot | None:
        """The slot of the finder for a target; None when no plugin has one."""
        registered = self._host.finders.get(target)
        if registered is None:
            return None
        return self.of(registered.finder, registered.plugin)

    def text_embedder(self, operation: str) -> RunnerSlot:
        """The slot of what embeds texts into the space of an operation's embeddings."""
        registered = self._host.text_embedders.get(operation)
        if registered is None:
            known = self._host.operation(operation)
            raise UnknownOperation(f"no plugin embeds texts for the operation {known.name!r}")
        return self.of(registered.embedder, registered.plugin)

    def of(self, loadable: Loadable, plugin: PluginInfo) -> RunnerSlot:
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

    @property
    def running(self) -> int:
        """Accepted items that are in a batch right now."""
        return sum(
            slot.running
            for slot in self._slots.values()
            if not isinstance(slot.loadable, RegionFinder)  # whose items were not counted
        )

    def discard(self, owner: Owner) -> None:
        """Forget the items of a caller that is gone."""
        for slot in self._slots.values():
            slot.discard(owner)
