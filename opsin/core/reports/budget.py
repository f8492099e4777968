"""How long a report may take: asked between its steps, because a thread cannot be stopped."""

import time
from threading import Event

from opsin.core.errors import DeadlineExceeded


class Budget:
    """So many seconds from now, unless it is stopped before."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._stopped = Event()

    def stop(self) -> None:
        """Nobody waits for the report any more."""
        self._stopped.set()

    def check(self) -> None:
        """Raises DeadlineExceeded when the time is over."""
        if self._stopped.is_set() or time.monotonic() > self._until:
            raise DeadlineExceeded("The report was not ready in time")
