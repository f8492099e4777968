"""Which items run next, together: pure bookkeeping, guarded by the lane that owns it."""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from opsin.core.contract import Runner
from opsin.core.engine.batch_size import BatchSize, BatchSizes
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.figures import RunnerFigures
from opsin.core.errors import OpsinError

if TYPE_CHECKING:
    from opsin.core.engine.loading import LoadedRunner
    from opsin.core.engine.provenance import ModelUsed

_arrivals = count()


class Owner(Protocol):
    """Who asked for an item; its items are dropped once it is closed or its deadline is past."""

    @property
    def closed(self) -> bool: ...
    @property
    def deadline(self) -> float: ...
    @property
    def priority(self) -> int: ...
    def fail(self, error: OpsinError) -> None: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """An item's answer when there is none."""

    error: OpsinError


class Ticket:
    """An item, or a text, waiting for a runner; `then` gets the answer, once, on the event loop.

    A step of priority is worth one second of waiting: the urgent go first, nobody starves.
    """

    __slots__ = ("arrival", "item", "order", "owner", "prepared", "then")

    def __init__(self, item: Any, owner: Owner, now: float, then: "Answered") -> None:
        self.item = item
        self.owner = owner
        self.then = then
        self.prepared: Any = item
        self.order = now - owner.priority
        self.arrival = next(_arrivals)

    def entry(self) -> "Entry":
        """Made when needed: kept here it would be a cycle, and pixels would outlive their use."""
        return self.order, self.arrival, self

    def is_over(self, now: float) -> bool:
        return self.owner.closed or self.owner.deadline <= now


Entry: TypeAlias = tuple[float, int, Ticket]
"""How a ticket stands in a queue: its order, then its arrival, which no two share."""


class Origin(Protocol):
    """What made an answer."""

    @property
    def device(self) -> str: ...
    @property
    def models(self) -> "tuple[ModelUsed, ...]": ...
    @property
    def host(self) -> str:
        """Which process of a cluster; empty where it is this one."""
        ...


@dataclass(frozen=True, slots=True)
class Completed:
    """Items that left a lane together, with one answer each: an output or a Failure."""

    queue: "RunnerQueue"
    tickets: list[Ticket]
    answers: list[Any]
    started: float
    """Monotonic seconds."""
    seconds: float = 0.0
    ran: bool = True
    """False when the items failed before they were run."""
    shared_with: int = 0
    """Items of other processes that were in the same batch."""
    made_by: Origin | None = None
    """Which of several processes made the answers; None where the queue has one runner."""

    @property
    def origin(self) -> Origin:
        """The device and the models of these answers."""
        return self.made_by or self.queue.loaded

    @property
    def batch_size(self) -> int:
        """Items that were run together; 0 when they were not run."""
        return len(self.tickets) + self.shared_with if self.ran else 0


Answered: TypeAlias = Callable[[Any, Completed | None], None]
"""Called with an output or a Failure; without a `Completed` when no runner was reached."""


def deliver(ticket: Ticket, answer: Any, completed: Completed | None) -> None:
    """On the event loop: hand over an answer, unless nobody waits for it any more."""
    if ticket.owner.closed:
        return
    try:
        ticket.then(answer, completed)
    except Exception as error:  # not this ticket alone: its owner would wait for it for ever
        ticket.owner.fail(as_opsin_error(error, "the engine"))


class _Ready:
    """The items of one runner that may share a batch, the next first."""

    __slots__ = ("entries", "key", "size")

    def __init__(self, key: Hashable, size: BatchSize) -> None:
        self.key = key
        self.size = size
        self.entries: list[Entry] = []


class Batch(NamedTuple):
    """Items that are run together, and the batch size that learns from it."""

    tickets: list[Ticket]
    size: BatchSize


class RunnerQueue:
    """One runner's items: first unprepared, then ready by batch key; and what became of them."""

    def __init__(self, loaded: "LoadedRunner", sizes: BatchSizes, ahead: int) -> None:
        self.loaded = loaded
        self.sizes = sizes
        self.encodes = type(loaded.runner).encode is not Runner.encode
        self.used = 0.0
        """Seconds of device time, for the fair share; see `FairShare`."""
        self.active = False
        self.batches = self.items = self.running = self.in_encoding = 0
        self.last_used = time.monotonic()
        self.figures = RunnerFigures()
        """Those of the slot, once it has one."""
        self._ahead = ahead
        self.in_preparation = 0
        self._unprepared: list[Entry] = []
        # By batch key, few enough to search: a runner with keys has few items ready at a time.
        self._ready: list[_Ready] = []

    @property
    def waiting(self) -> int:
        """Items that wait for their batch."""
        return len(self._unprepared) + self.in_preparation + self._ready_count()

    @property
    def is_busy(self) -> bool:
        """Whether anything waits, runs or is being turned into results."""
        return bool(self.waiting or self.running or self.in_encoding)

    def add(self, ticket: Ticket) -> None:
        heappush(self._unprepared, ticket.entry())

    def next_to_prepare(self) -> Ticket | None:
        """The item to prepare now; None while enough wait ready, for they take memory."""
        if not self._unprepared:
            return None
        window = max(self._ahead, 2 * self.sizes.largest)
        if self.in_preparation + self._ready_count() >= window:
            return None
        self.in_preparation += 1
        return heappop(self._unprepared)[2]

    def preparation_ended(self) -> None:
        self.in_preparation -= 1

    def add_ready(self, ticket: Ticket, key: Hashable = None) -> None:
        """The only place where keys are compared, which is the plugin's code and may raise."""
        for ready in self._ready:
            if ready.key == key:
                break
        else:
            ready = _Ready(key, self.sizes.of(key))
            self._ready.append(ready)
        heappush(ready.entries, ticket.entry())

    def head(self) -> Entry | None:
        """The ready item whose turn it is."""
        return min((ready.entries[0] for ready in self._ready), default=None)

    def take(self, now: float) -> Batch | None:
        """The next batch: the first item and those that may share its batch, in their order.

        No more than can be done, as far as is known, before the earliest deadline among them.
        """
        while self._ready:
            ready = min(self._ready, key=lambda ready: ready.entries[0])
            entries, size, limit = ready.entries, ready.size, ready.size.limit
            batch: list[Ticket] = []
            deadline = math.inf
            while entries and len(batch) < limit:
                ticket = entries[0][2]
                if not ticket.is_over(now):
                    deadline = min(deadline, ticket.owner.deadline)
                    if batch and now + size.seconds(len(batch) + 1) > deadline:
                        break
                    batch.append(ticket)
                heappop(entries)
            if not entries:
                self._ready.remove(ready)
            if batch:
                self.running += len(batch)
                return Batch(batch, size)
        return None

    def ran(self, count: int, seconds: float) -> None:
        """A batch of `count` items is done."""
        self.running -= count
        self.items += count
        self.batches += 1
        self.used += seconds
        self.last_used = time.monotonic()

    def discard(self, owner: Owner) -> None:
        """Forget the items of a caller that is gone, so that they hold no place and no pixels."""
        self._unprepared = _without(owner, self._unprepared)
        for ready in self._ready:
            ready.entries = _without(owner, ready.entries)
        self._ready = [ready for ready in self._ready if ready.entries]

    def clear(self) -> list[Ticket]:
        """All that waits, which then waits no longer; what is in preparation comes back later."""
        waiting = [*self._unprepared, *(entry for ready in self._ready for entry in ready.entries)]
        self._unprepared, self._ready = [], []
        return [entry[2] for entry in waiting]

    def _ready_count(self) -> int:
        return sum(len(ready.entries) for ready in self._ready)


class FairShare:
    """Which of the runners on one device goes next: each gets an equal share of its time.

    So a backlog of slow items does not hold up quick ones.  Between equals the oldest item goes
    first, and a step of priority is worth one second of device time.
    """

    def __init__(self) -> None:
        self.queues: list[RunnerQueue] = []
        self._level = 0.0

    def next(self) -> RunnerQueue | None:
        """The runner to serve; None when nothing is ready."""
        best: tuple[float, Entry, RunnerQueue] | None = None
        for queue in self.queues:
            head = queue.head()
            if head is None:
                queue.active = False
                continue
            if not queue.active:
                # It starts level with the others: time spent idle is not saved up.
                queue.active, queue.used = True, max(queue.used, self._level)
            turn = queue.used - head[2].owner.priority
            if best is None or (turn, head) < best[:2]:
                best = turn, head, queue
        if best is None:  # all start level again, also the one that was alone until now
            self._level = max((queue.used for queue in self.queues), default=0.0)
            return None
        self._level = max(self._level, best[2].used)
        return best[2]


def _without(owner: Owner, entries: list[Entry]) -> list[Entry]:
    kept = [entry for entry in entries if entry[2].owner is not owner]
    if len(kept) < len(entries):
        heapify(kept)
    return kept
