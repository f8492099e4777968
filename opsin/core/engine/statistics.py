"""What the engine can tell of itself."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from opsin.core.engine.figures import RunnerFigures
from opsin.core.engine.loading import described
from opsin.core.engine.slots import RunnerSlot


@dataclass(frozen=True, slots=True)
class RunnerStatistics:
    """One runner's queue and what it has done since the engine was made."""

    name: str
    """As in messages: `operation 'caption'`."""
    device: str | None
    """None until it is loaded."""
    queued: int
    running: int
    batches: int
    items: int
    mean_batch_size: float
    largest_batch: int
    """The most items that may share a batch now; less than declared when memory
    ran out, or when smaller ones turned out to be cheaper."""
    loads: int
    """Attempts to load it, failed ones included."""
    evictions: int = 0
    """Times it was closed to make room for others."""
    bytes: int = 0
    """Memory that its models take, those that it shares included; 0 while it is not loaded."""
    last_used: datetime | None = None
    """When its last batch ended."""
    replicas: int = 0
    """Processes of a cluster that run its batches; 0 where they run here."""
    lost: int = 0
    """Times such a process ended though nobody told it to."""
    figures: RunnerFigures = field(default_factory=RunnerFigures)
    """How long its items wait, are prepared and run."""


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """What the models on one device take, each counted once, and what they may."""

    device: str
    used_bytes: int
    limit_bytes: int


def runner_statistics(slot: RunnerSlot) -> RunnerStatistics:
    queue = slot.queue
    return RunnerStatistics(
        name=described(slot.loadable),
        device=queue.loaded.device if queue else None,
        queued=slot.queued,
        running=slot.running,
        batches=slot.batches,
        items=slot.items,
        mean_batch_size=slot.items / slot.batches if slot.batches else 0.0,
        largest_batch=queue.sizes.largest if queue else 0,
        loads=slot.loads,
        evictions=slot.evictions,
        bytes=queue.loaded.usage.total if queue else 0,
        replicas=slot.replicas,
        lost=slot.lost,
        figures=slot.figures,
        last_used=None if slot.last_used is None else _wall_time(slot.last_used),
    )


def _wall_time(monotonic: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=time.monotonic() - monotonic)
