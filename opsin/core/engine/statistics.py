"""What the engine can tell of itself."""

from dataclasses import dataclass

from opsin.core.engine.loading import RunnerSlot, described


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


def runner_statistics(slot: RunnerSlot) -> RunnerStatistics:
    queue = slot.queue
    return RunnerStatistics(
        name=described(slot.loadable),
        device=queue.loaded.device if queue else None,
        queued=slot.queued,
        running=slot.running,
        batches=queue.batches if queue else 0,
        items=queue.items if queue else 0,
        mean_batch_size=queue.items / queue.batches if queue and queue.batches else 0.0,
        largest_batch=queue.sizes.largest if queue else 0,
        loads=slot.loads,
    )
