"""What a worker has done with the queue since its start, in numbers."""

from collections import Counter
from dataclasses import dataclass, field

from opsin.core.histogram import Histogram


@dataclass(slots=True)
class QueueCounts:
    """Claims and endings of this process."""

    claims: int = 0
    """Claims that took something."""
    claimed: int = 0
    """Analyses that they took."""
    waited: Histogram = field(default_factory=Histogram)
    """Seconds from when an analysis was asked for to its first claim."""
    endings: Counter[str] = field(default_factory=Counter)
    """Endings written, by status; QUEUED: given back, to be run again."""
    dropped: int = 0
    """Endings that were not written, because the lease had been lost or the analysis cancelled."""
    recovered: int = 0
    """Analyses taken from workers that had gone silent."""
