"""What a sender of webhooks has done since its start, in numbers."""

from collections import Counter
from dataclasses import dataclass, field

from opsin.core.histogram import Histogram
from opsin.core.webhooks.attempt_ends import Ended
from opsin.core.webhooks.posting import Answer
from opsin.core.webhooks.records import DeliveryStatus


@dataclass(slots=True)
class WebhookCounts:
    """Attempts of this process."""

    attempts: Counter[str] = field(default_factory=Counter)
    """By outcome: `delivered`, `refused` (an answer that is no success), `unanswered`."""
    seconds: Histogram = field(default_factory=Histogram)
    given_up: int = 0
    """Deliveries that are not tried again unless somebody asks for it."""
    paused: int = 0
    """Webhooks that were paused, because nothing had been taken for too long."""

    def add(self, answer: Answer | None, ended: Ended) -> None:
        """An attempt is over; without an answer there was nothing to send."""
        if answer is not None:
            outcome = "delivered" if answer.is_success else "refused"
            self.attempts[outcome if answer.status is not None else "unanswered"] += 1
            self.seconds.add(answer.seconds)
        if ended.delivery is not None and ended.delivery.status is DeliveryStatus.FAILED:
            self.given_up += 1
        self.paused += ended.pause is not None
