"""When another process is brought up for a runner, and how long those who wait are kept waiting."""

import time
from collections.abc import Set as AbstractSet

from opsin.core.engine.load_failures import LoadFailures
from opsin.core.errors import OpsinError

_BACKLOG_SECONDS = 3.0
"""How long more must have waited than the processes have taken until another is brought up."""
_PAUSE = 1.0  # seconds after a process that could not load, doubled with each that follows


class Growth:
    """Pure bookkeeping, guarded by the lane that owns it."""

    def __init__(self) -> None:
        self.alone_since = time.monotonic()
        """Since when somebody has waited though there was no process at all."""
        self._under_way: set[int] = set()
        self._backlog_since: float | None = None
        self._failures = LoadFailures(_PAUSE)

    @property
    def failure(self) -> OpsinError | None:
        """Why the last process could not load, until another try is due."""
        return self._failures.current

    def begin(self, number: int) -> None:
        """A process of that number is being brought up."""
        self._under_way.add(number)

    def joined(self, number: int) -> None:
        self._under_way.discard(number)
        self._failures.clear()

    def left(self, number: int, error: OpsinError | None) -> None:
        """It is gone, or could not be brought up."""
        self._under_way.discard(number)
        if error is not None:
            self._failures.add(error)

    def alone(self) -> None:
        """The last process is gone, or left behind; what failed beside it does not tell why."""
        self.alone_since = time.monotonic()
        self._failures.clear()

    def restart(self) -> None:
        """Whatever was being brought up is out of reach, or of another crew."""
        self._under_way.clear()

    def first(self) -> int | None:
        """The process to bring up where there is none."""
        return None if 0 in self._under_way or self.failure is not None else 0

    def one_more(
        self, waiting: int, taken: int, most: int, there: AbstractSet[int], now: float
    ) -> int | None:
        """The number of another process to bring up, once work has piled up for long."""
        if waiting <= taken or self._under_way or self.failure is not None:
            self._backlog_since = None
            return None
        if self._backlog_since is None:
            self._backlog_since = now
        elif now - self._backlog_since > _BACKLOG_SECONDS:
            self._backlog_since = None
            return min(set(range(most)) - there, default=None)
        return None
