"""What the HTTP server has answered since its start, in numbers."""

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Of the histogram, in seconds."""
_FIRST_ERROR = 400


@dataclass(slots=True)
class RequestCounts:
    """Requests that were answered, whatever their path; the time is that until an answer begins."""

    statuses: Counter[int] = field(default_factory=Counter)
    errors: int = 0
    """Answers with a status of 400 or more."""
    total: int = 0
    seconds: float = 0.0
    durations: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """By the first of BOUNDS that is not below; the last are those that took longer."""
    started: float = field(default_factory=time.monotonic)

    def add(self, status: int, seconds: float) -> None:
        self.total += 1
        self.errors += status >= _FIRST_ERROR
        self.statuses[status] += 1
        self.seconds += seconds
        self.durations[bisect_left(BOUNDS, seconds)] += 1

    def uptime(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started
