"""What a process of the cluster did for items that are traced; it goes home with their answers.

The process sends no spans itself: who asked records them in the trace that the item belongs to.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from opsin.core import tracing
from opsin.core.engine.batching import Ticket
from opsin.core.engine.figures import place_of


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that was done for an item."""

    name: str
    age: float
    """Seconds from its begin until the answers were sent; in the notebook, monotonic seconds."""
    seconds: float


Notes = Mapping[int, Sequence[Noted]]
"""By the item's place in its parcel."""


class Notebook:
    """The tracer of a process of the cluster: keeps what is told of expected places alone."""

    def __init__(self) -> None:
        self._kept: dict[tracing.Place, list[Noted]] = {}

    def expect(self, place: tracing.Place) -> None:
        self._kept[place] = []

    def taken(self, place: tracing.Place, now: float) -> list[Noted]:
        """What was noted for a place, which is expected no longer."""
        return [replace(one, age=now - one.age) for one in self._kept.pop(place, ())]

    def record(
        self,
        name: str,
        started: float,
        ended: float,
        attributes: tracing.Attributes,
        kind: tracing.Kind,
        parent: tracing.Place | None,
        links: Iterable[tracing.Place],
    ) -> None:
        """On any thread."""
        if parent is not None and (kept := self._kept.get(parent)) is not None:
            kept.append(Noted(name, started, ended - started))

    def span(
        self,
        name: str,
        attributes: tracing.Attributes,
        kind: tracing.Kind,
        parent: tracing.Place | None,
        links: Iterable[tracing.Place],
    ) -> AbstractContextManager[tracing.Span]:
        return tracing.NO_SPAN

    def place(self) -> None: ...

    def close(self) -> None: ...


def traced_among(tickets: Sequence[Ticket]) -> tuple[int, ...]:
    """The places of those that belong to a trace which is kept."""
    if tracing.tracer is None:
        return ()
    return tuple(n for n, ticket in enumerate(tickets) if tracing.is_kept(place_of(ticket)))


def tell(
    notes: Notes, tickets: Sequence[Ticket], what: str, process: str, sent: float, now: float
) -> None:
    """Record in each item's trace what a process did for it; it was sent at a time of this clock.

    The clocks of two machines are not compared: the way back counts as part of the way there.
    """
    if tracing.tracer is None:
        return
    told: dict[str, tracing.Value] = {"opsin.process": process}
    for number, noted in notes.items():
        parent = place_of(tickets[number])
        if parent is None or not noted:
            continue
        arrived = now - max(one.age for one in noted)
        tracing.record(f"send to {what}", sent, arrived, told, parent=parent)
        for one in noted:
            started = now - one.age
            tracing.record(one.name, started, started + one.seconds, told, parent=parent)
