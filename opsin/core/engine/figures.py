"""What one runner's items go through, in numbers and, where somebody traces, in spans."""

from typing import TYPE_CHECKING

from opsin.core import tracing
from opsin.core.histogram import SIZES, Histogram

if TYPE_CHECKING:
    from opsin.core.engine.batching import Completed, Ticket

POOL = "pool"
"""Where runners work that need no device."""


class RunnerFigures:
    """Kept for as long as the engine, however often the runner is loaded and evicted."""

    def __init__(self) -> None:
        self.batch_sizes = Histogram(SIZES)
        self.waited = Histogram()
        """Seconds that items wait for their batch, preparation included."""
        self.ran = Histogram()
        """Seconds that batches run."""
        self.prepared = Histogram()
        """Seconds that the preparation of an item takes on the pool."""
        self.loaded = Histogram()
        """Seconds that loads take, those that fail included."""
        self.load_failures = 0
        self.is_on_device = False
        """Whether it runs on a device's own thread, not on the pool."""
        self.busy: dict[str, float] = {}
        """Seconds of its batches, by device; `pool` where it needs none."""

    def completed(self, completed: "Completed") -> None:
        """A batch was run."""
        self.batch_sizes.add(completed.batch_size)
        self.ran.add(completed.seconds)
        device = completed.origin.device if self.is_on_device else POOL
        self.busy[device] = self.busy.get(device, 0.0) + completed.seconds
        for ticket in completed.tickets:
            self.waited.add(max(0.0, completed.started - created_at(ticket)))
        if tracing.tracer is not None:
            _trace(completed)


def created_at(ticket: "Ticket") -> float:
    """When an item was queued, in monotonic seconds."""
    return ticket.order + ticket.owner.priority


def place_of(ticket: "Ticket") -> tracing.Place | None:
    """Where in a trace an item was asked; None outside of any."""
    place: tracing.Place | None = getattr(ticket.owner, "place", None)
    return place


def trace_item(name: str, ticket: "Ticket", started: float, ended: float) -> None:
    """What was done for one item, in its trace; times are monotonic seconds."""
    if (place := place_of(ticket)) is not None:
        tracing.record(name, started, ended, parent=place)


def _trace(completed: "Completed") -> None:
    """One span for the batch, and in each trace that has an item in it one that leads there."""
    places = [(ticket, place_of(ticket)) for ticket in completed.tickets]
    traced = [(ticket, place) for ticket, place in places if place is not None]
    if not traced:
        return
    what, origin = completed.queue.loaded.what, completed.origin
    ended = completed.started + completed.seconds
    told: dict[str, tracing.Value] = {
        "opsin.batch_size": completed.batch_size,
        "opsin.device": origin.device,
    }
    if origin.host:
        told["opsin.process"] = origin.host
    batch = tracing.record(
        f"batch {what}",
        completed.started,
        ended,
        told,
        parent=tracing.NOWHERE,
        links=list(dict.fromkeys(place for _, place in traced)),
    )
    links = () if batch is None else (batch,)
    for ticket, place in traced:
        tracing.record(f"wait for {what}", created_at(ticket), completed.started, parent=place)
        tracing.record(
            f"run {what}",
            completed.started,
            ended,
            told,
            parent=place,
            links=links,
        )
