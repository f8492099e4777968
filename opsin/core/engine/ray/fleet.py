"""The processes of one order as the messenger sees them: brought up, found, watched, let go."""

import logging
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from opsin import __version__
from opsin.core.engine.ray.order import Fault, Order, Told
from opsin.core.engine.ray.placement import Placement
from opsin.core.engine.ray.runner_actor import RunnerActor
from opsin.core.engine.ray.wire import Began, Joined, Left
from opsin.core.errors import OperationFailed

logger = logging.getLogger("opsin.engine")

_RETRY = 0.5  # seconds until a process that is being started again is asked again
_LOADS = 3
"""Processes that may end while they load, one after the other, until it is the model's fault."""
_ROOM_PATIENCE = 5.0  # seconds until somebody else has to go
_SLOW_START = 60.0
_IDLE_SHARE = 5
"""A process that is not the first of its order ends so many times sooner."""


@dataclass(slots=True, eq=False)
class Replica:
    """One process of an order, from the wish for it until it is gone."""

    number: int
    handle: Any
    asked: float
    is_there: bool = False
    """Ray has found a place for it."""
    is_ready: bool = False
    loads_since: float = 0.0
    deaths: int = 0
    retry_at: float | None = None


class Fleet:
    """The actors of one order; everything runs on the messenger's one thread of control.

    They have names: every process of the installation meets the same ones, and names are all that
    they agree on.
    """

    def __init__(
        self,
        crew: int,
        order: Order,
        placement: Placement,
        namespace: str,
        tell: Callable[[Any], None],
        soon: Callable[[Callable[[], None]], None],
    ) -> None:
        import ray

        self._ray: Any = ray
        self.crew = crew
        self.placement = placement
        self.replicas: dict[int, Replica] = {}
        self._wanted: set[int] = set()
        self.prefix = f"{order.kind}:{order.name}:{order.digest()}:"
        self._order = order
        self._bytes = pickle.dumps(order)
        self._namespace = namespace
        self._tell = tell
        self._soon = soon

    def bring_up(self, number: int) -> None:
        """Have the process of that number, new or found, and load its runner."""
        if number in self.replicas:
            return
        gpus = self.placement.gpus if self._has_gpu() else 0
        idle = self._order.idle_seconds / (_IDLE_SHARE if number else 1)
        actor = self._ray.remote(RunnerActor).options(
            name=f"{self.prefix}{number}",
            namespace=self._namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_concurrency=1000,
            num_cpus=self.placement.cpus,
            num_gpus=gpus,
            memory=self.placement.memory,
        )
        try:
            handle = actor.remote(__version__, self._bytes, idle)
        except Exception as error:  # somebody else's of that name is just coming or going
            logger.info("%s%d is asked for again: %s", self.prefix, number, error)
            self._wanted.add(number)
            return
        replica = self.replicas[number] = Replica(number, handle, time.monotonic())
        self._begin(replica)

    def discovered(self, names: set[str]) -> None:
        """Which actors there are in the whole cluster now: others may have made or ended some."""
        for number in range(self.placement.replicas):
            if f"{self.prefix}{number}" in names:
                self.bring_up(number)
        for replica in tuple(self.replicas.values()):
            gone = f"{self.prefix}{replica.number}" not in names
            if gone and replica.is_ready and replica.retry_at is None:
                self._forget(replica, None)

    def died(self, number: int) -> None:
        """A call of that process ended with its death."""
        replica = self.replicas.get(number)
        if replica is None or not replica.is_ready:
            return
        replica.is_ready = replica.is_there = False
        replica.asked = time.monotonic()
        self._tell(Left(self.crew, number, None, is_lost=True))
        self._again(replica)

    def tick(self, now: float) -> None:
        wanted, self._wanted = self._wanted, set()
        for number in wanted:
            self.bring_up(number)
        for replica in tuple(self.replicas.values()):
            if replica.retry_at is not None and now >= replica.retry_at:
                replica.retry_at = None
                self._begin(replica)

    def lacks_room(self, now: float) -> bool:
        """Whether no process has found a machine with room, and will not by waiting alone.

        Where all machines together have enough, it is more likely that one is slow to start it.
        """
        waiting = [replica for replica in self.replicas.values() if not replica.is_there]
        if len(waiting) < len(self.replicas) or not waiting:
            return False
        seconds = max(now - replica.asked for replica in waiting)
        if seconds < _ROOM_PATIENCE or seconds >= _SLOW_START:
            return seconds >= _SLOW_START
        free = self._ray.available_resources()
        placement = self.placement
        wanted = {"CPU": placement.cpus, "memory": placement.memory}
        if placement.gpus and self._has_gpu():
            wanted["GPU"] = placement.gpus
        return any(free.get(kind, 0.0) < amount for kind, amount in wanted.items())

    def _begin(self, replica: Replica) -> None:
        try:
            started = replica.handle.started.remote().future()
            loaded = replica.handle.load.remote().future()
        except Exception as error:
            self._unreachable(replica, error)
            return
        started.add_done_callback(partial(self._done, replica, self._started))
        loaded.add_done_callback(partial(self._done, replica, self._loaded))

    def _done(self, replica: Replica, then: Callable[[Replica, Any], None], future: Any) -> None:
        """On a thread of Ray's."""
        self._soon(partial(then, replica, future))

    def _started(self, replica: Replica, future: Any) -> None:
        if future.exception() is not None or self.replicas.get(replica.number) is not replica:
            return
        if not replica.is_there:
            replica.is_there, replica.loads_since = True, time.monotonic()
            self._tell(Began(self.crew, replica.number))

    def _loaded(self, replica: Replica, future: Any) -> None:
        if self.replicas.get(replica.number) is not replica:
            return
        error = future.exception()
        if error is not None:
            self._unreachable(replica, error)
            return
        told = pickle.loads(future.result())
        if isinstance(told, Fault):
            self._forget(replica, told)
        elif isinstance(told, Told):
            replica.is_there = replica.is_ready = True
            replica.deaths = 0
            self._tell(Joined(self.crew, replica.number, told))

    def _unreachable(self, replica: Replica, error: BaseException) -> None:
        exceptions = self._ray.exceptions
        if isinstance(error, exceptions.RayTaskError):  # our own code in the process has failed
            self._forget(replica, Fault.of(error, f"loading {self._order.name!r}"))
            return
        if replica.is_there:
            if time.monotonic() - replica.loads_since > self._order.load_seconds:
                self._ray.kill(replica.handle, no_restart=True)  # nobody may be told there
                self._forget(replica, Fault.of(self._order.overdue(), self._order.what))
                return
            replica.deaths += 1
            replica.is_there = False
            replica.asked = time.monotonic()
        if isinstance(error, exceptions.ActorUnschedulableError) or replica.deaths >= _LOADS:
            what = self._order.what
            logger.error("%s: %s", what, error)
            failure = OperationFailed(
                f"the process that loads {what} in the cluster ends each time"
            )
            self._forget(replica, Fault.of(failure, what))
            return
        self._again(replica, is_gone=isinstance(error, exceptions.ActorDiedError))

    def _again(self, replica: Replica, *, is_gone: bool = False) -> None:
        """Ask once more soon: Ray starts it again, unless it was told to end."""
        if is_gone:  # a new one of the same name
            del self.replicas[replica.number]
            self.bring_up(replica.number)
            if (again := self.replicas.get(replica.number)) is not None:
                again.deaths = replica.deaths
        else:
            replica.retry_at = time.monotonic() + _RETRY

    def _forget(self, replica: Replica, fault: Fault | None) -> None:
        self.replicas.pop(replica.number, None)
        self._tell(Left(self.crew, replica.number, fault))

    def _has_gpu(self) -> bool:
        resources: dict[str, float] = self._ray.cluster_resources()
        return bool(resources.get("GPU"))
