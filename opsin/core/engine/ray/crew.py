"""The processes for one order of a runner, as this process knows them."""

import threading
import time
from typing import TYPE_CHECKING

from opsin.core.engine.ray.link import Link, lost
from opsin.core.engine.ray.order import Order, Told
from opsin.core.engine.ray.placement import Placement
from opsin.core.errors import ClusterLost, OpsinError

if TYPE_CHECKING:
    from opsin.core.engine.ray.lane import RemoteLane


class Crew:
    """One order's processes; remembers who has joined until there is a lane to hear of them."""

    def __init__(
        self, link: Link, order: Order, placement: Placement, what: str, start_seconds: float
    ) -> None:
        self.link = link
        self.order = order
        self.placement = placement
        self._start_seconds = start_seconds
        self._what = what
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._joined: dict[int, Told] = {}
        self._failure: OpsinError | None = None
        self._lane: RemoteLane | None = None
        self._loading: set[int] = set()
        self._is_closed = False
        self.number = link.open(order, placement, self)

    @property
    def patience(self) -> float:
        """Seconds for the first process: to find a machine for it, and then to load the model."""
        return self._start_seconds + (self.order.load_seconds if self._loading else 0.0)

    def first(self, closing: threading.Event) -> Told:
        """On a loading thread: what the first process tells; raises OpsinError."""
        asked = time.monotonic()
        while not closing.is_set():
            with self._changed:
                if self._joined:
                    return next(iter(self._joined.values()))
                if self._failure is not None:
                    raise self._failure
                self._changed.wait(0.25)
            if self.link.is_lost_for_long:
                raise lost(self._what)
            if time.monotonic() - asked > self.patience:
                raise ClusterLost(f"the cluster has no room for {self._what} now", retry_after=10.0)
        raise lost(self._what)

    def attach(self, lane: "RemoteLane") -> None:
        with self._lock:
            self._lane = lane
            joined = dict(self._joined)
        for number, told in joined.items():
            lane.joined(self, number, told)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.link.close_crew(self.number)

    def began(self, number: int) -> None:
        with self._lock:
            self._loading.add(number)

    def joined(self, number: int, told: Told) -> None:
        with self._changed:
            self._loading.discard(number)
            self._joined[number] = told
            self._changed.notify_all()
            lane = self._lane
        if lane is not None:
            lane.joined(self, number, told)

    def left(self, number: int, error: OpsinError | None, *, is_lost: bool) -> None:
        with self._changed:
            self._loading.discard(number)
            self._joined.pop(number, None)
            self._failure = error
            self._changed.notify_all()
            lane = self._lane
        if lane is not None:
            lane.left(self, number, error, is_lost=is_lost)

    def answered(self, shipment: int, reply: bytes) -> None:
        if self._lane is not None:
            self._lane.answered(shipment, reply)

    def failed(self, shipment: int, error: OpsinError | None) -> None:
        if self._lane is not None:
            self._lane.failed(shipment, error)

    def heard(self, shipment: int, texts: dict[int, str]) -> None:
        if self._lane is not None:
            self._lane.heard(shipment, texts)

    def disconnected(self) -> None:
        with self._lock:
            self._loading.clear()
            self._joined.clear()
            lane = self._lane
        if lane is not None:
            lane.disconnected(self)
