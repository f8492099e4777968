"""When a delivery that failed is tried again, when it is given up, when a webhook is paused."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

TRIES_IN_PLACE = 3
"""Attempts of one event before the next one is sent ahead of it."""

_LONGEST_BLOCK = timedelta(minutes=5)
_LONGEST_RETRY_AFTER = timedelta(days=1)
_LEAST_FAILURES = 10
"""Before a webhook is paused, however long they took."""
_MOST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class Schedule:
    """Exponential backoff with full jitter: any moment up to the bound is as likely."""

    first: timedelta = timedelta(seconds=2)
    longest: timedelta = timedelta(hours=4)
    max_attempts: int = 30
    max_age: timedelta = timedelta(days=3)
    pause_after: timedelta = timedelta(days=1)
    chance: Callable[[], float] = random.random
    """A number from 0 to 1."""

    def delivery_delay(self, tries: int, retry_after: float | None = None) -> timedelta:
        """Until the delivery is sent again after so many failed tries."""
        return max(self._drawn(tries, self.longest), _asked(retry_after))

    def block(self, failures: int, retry_after: float | None = None) -> timedelta:
        """Until anything is sent again after so many failures in a row."""
        return max(self._drawn(failures, _LONGEST_BLOCK), _asked(retry_after))

    def gives_up(
        self, tries: int, due_since: datetime, now: datetime, most: int | None = None
    ) -> bool:
        """Whether a delivery has had its tries; `most` stands for the setting."""
        return tries >= (most or self.max_attempts) or now - due_since >= self.max_age

    def pauses(self, failures: int, failing_since: datetime, now: datetime) -> bool:
        """Whether a receiver has been dead for so long that it is left alone."""
        return failures >= _LEAST_FAILURES and now - failing_since >= self.pause_after

    def _drawn(self, count: int, longest: timedelta) -> timedelta:
        doublings: int = 2 ** min(count - 1, _MOST_DOUBLINGS)
        bound = min(self.first * doublings, longest)
        return bound * self.chance()


def _asked(retry_after: float | None) -> timedelta:
    """What the receiver asked for, within reason."""
    if retry_after is None:
        return timedelta(0)
    return min(timedelta(seconds=retry_after), _LONGEST_RETRY_AFTER)
