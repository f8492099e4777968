"""When a request is sent again: how often, after which pauses, and when it is safe."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from opsin.client.wire import Answer

PASSING = frozenset({429, 502, 503, 504})
"""Statuses of a server that is busy, restarting, or behind a proxy that cannot reach it."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Exponential backoff with full jitter; a server's `Retry-After` is kept to."""

    attempts: int = 8
    first: float = 0.5
    """Seconds; the pause before the second attempt is a random one up to this."""
    longest: float = 30.0
    """Seconds; no pause of ours is longer, and a server that asks for more is given up."""
    most_asked: float = 120.0
    """Seconds; the longest `Retry-After` that is waited for."""
    random: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.first, self.longest, self.most_asked) < 0:
            raise ValueError("attempts must be at least 1, and pauses must not be negative")

    def pause(self, failures: int, answer: Answer | None = None) -> float | None:
        """Seconds until the next attempt after so many failures; None to give up."""
        if failures >= self.attempts:
            return None
        jitter = self.random() * min(self.longest, self.first * 2.0 ** (failures - 1))
        asked = None if answer is None else retry_after(answer)
        if asked is None:
            return jitter
        # All who were sent away at once must not come back at once.
        return None if asked > self.most_asked else asked + min(jitter, 1.0)


def retry_after(answer: Answer) -> float | None:
    """Seconds that the server asks for, in either form of the header; None if it does not."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        return max(0.0, (until - server_time(answer)).total_seconds())
    except (TypeError, ValueError):
        return None


def server_time(answer: Answer) -> datetime:
    """When the answer was made, by the server's clock; by ours where it does not say."""
    try:
        found = parsedate_to_datetime(answer.headers.get("date", ""))
    except (TypeError, ValueError):
        return datetime.now(UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
