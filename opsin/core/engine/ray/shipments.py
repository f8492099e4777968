"""Items on their way together, the processes they go to, and which of these is next."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from opsin.core.engine.batching import Completed, Failure, RunnerQueue, Ticket
from opsin.core.engine.ray.crew import Crew
from opsin.core.engine.ray.order import Fault, Told
from opsin.core.engine.ray.parcels import Ran

AT_ONCE = 2
"""Shipments at one process: one runs, one travels."""
_MOST_BYTES = 64 * 2**20
"""Pixels of one shipment, unless a single item has more."""


@dataclass(slots=True, eq=False)
class Shipment:
    """Items on their way together, and how often a process has ended under them."""

    tickets: list[Ticket]
    deaths: int = 0
    after: int | None = None
    """The number of the process that ended under it last."""
    followed: bool = False
    again_at: float = 0.0
    sent_at: float = 0.0
    """Both in monotonic seconds."""

    @property
    def is_suspect(self) -> bool:
        return self.deaths > 0

    def after_death(self, number: int) -> "list[Shipment]":
        """What to send now that the process of that number has ended under it; [] if nothing is.

        As it is at first, then in halves, until an item that ends processes is alone.
        """
        if self.deaths == 0:
            self.deaths, self.after = 1, number
            return [self]
        if len(self.tickets) == 1:
            return []
        half = len(self.tickets) // 2
        return [Shipment(part, 1, number) for part in (self.tickets[:half], self.tickets[half:])]

    def completed(self, run: Ran, queue: RunnerQueue, told: Told, now: float) -> Completed:
        """Those of its items that were run together, whose answers came at `now`."""
        answers = [
            Failure(answer.error()) if isinstance(answer, Fault) else answer
            for answer in run.answers
        ]
        return Completed(
            queue,
            [self.tickets[place] for place in run.places],
            answers,
            now - run.age,  # the way back is left out
            run.seconds,
            run.ran,
            run.shared_with,
            told,
        )


@dataclass(slots=True, eq=False)
class Replica:
    """A process that can be sent batches, and what it has of ours."""

    number: int
    told: Told
    crew: Crew
    shipments: list[Shipment] = field(default_factory=list)

    @property
    def has_suspect(self) -> bool:
        return any(shipment.is_suspect for shipment in self.shipments)


def free_among(replicas: Iterable[Replica], kept_free: Replica | None) -> Replica | None:
    """The process that has least of ours, and room for more; never `kept_free`."""
    free = [
        replica
        for replica in replicas
        if replica is not kept_free and len(replica.shipments) < AT_ONCE and not replica.has_suspect
    ]
    return min(free, key=_order, default=None)


def place_for(
    shipment: Shipment, replicas: Iterable[Replica], kept_free: Replica | None
) -> Replica | None:
    """A suspect goes to a process that has nothing of ours, another one if there is any."""
    if not shipment.is_suspect:
        return free_among(replicas, kept_free)
    every = list(replicas)
    others = [one for one in every if one.number != shipment.after]
    return min(others or every, key=_order, default=None)


def parted(tickets: list[Ticket]) -> tuple[list[Ticket], list[Ticket]]:
    """As many as should travel together, and the others, which go next."""
    pictures: dict[int, int] = {}
    for place, ticket in enumerate(tickets):
        if isinstance(ticket.item, str):
            continue
        pictures[id(ticket.item.picture)] = _bytes_of(ticket.item.picture)
        if place and sum(pictures.values()) > _MOST_BYTES:
            return tickets[:place], tickets[place:]
    return tickets, []


def _order(replica: Replica) -> tuple[int, int]:
    return len(replica.shipments), replica.number


def _bytes_of(picture: Any) -> int:
    return 0 if picture.strides[:2] == (0, 0) else int(picture.nbytes)
