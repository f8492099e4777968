"""Why a runner could not be loaded, remembered for a pause that grows."""

import time

from opsin.core.errors import OpsinError

LONGEST_PAUSE = 60.0  # seconds between attempts to load what keeps failing
_ENOUGH = 100  # doublings, after which any pause is the longest


class LoadFailures:
    """Those in a row.  For a moment only: weights may arrive, memory may become free.

    `pause` is the seconds after the first, doubled with each that follows.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._error: OpsinError | None = None
        self._count = 0
        self._retry_at = 0.0

    @property
    def current(self) -> OpsinError | None:
        """The last one, until it is time to try again."""
        return self._error if time.monotonic() < self._retry_at else None

    def add(self, error: OpsinError) -> None:
        self._error = error
        pause = min(self._pause * 2.0**self._count, LONGEST_PAUSE)
        self._retry_at = time.monotonic() + pause
        self._count = min(self._count + 1, _ENOUGH)

    def clear(self) -> None:
        """It was loaded."""
        self._error, self._count = None, 0
