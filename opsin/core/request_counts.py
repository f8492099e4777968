"""What the HTTP server has answered since its start, in numbers."""

import time
from collections import Counter
from dataclasses import dataclass, field

from opsin.core.histogram import Histogram

_FIRST_ERROR = 400


@dataclass(slots=True)
class RequestCounts:
    """Requests that were answered; the time is that until an answer begins.

    A `route` is one of few: the door that answers, and never a path as a caller has sent it.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By route and status."""
    durations: dict[str, Histogram] = field(default_factory=dict)
    """By route."""
    errors: int = 0
    """Answers with a status of 400 or more."""
    total: int = 0
    seconds: float = 0.0
    running: int = 0
    """Requests that have not come to their end, streams included."""
    sockets: Counter[str] = field(default_factory=Counter)
    """WebSockets that are open, by route."""
    started: float = field(default_factory=time.monotonic)

    def add(self, route: str, status: int, seconds: float) -> None:
        self.total += 1
        self.errors += status >= _FIRST_ERROR
        self.answers[route, status] += 1
        self.seconds += seconds
        durations = self.durations.get(route)
        if durations is None:
            durations = self.durations[route] = Histogram()
        durations.add(seconds)

    def uptime(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started
