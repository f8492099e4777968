"""What an attempt's answer means for the delivery and for the webhook."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from opsin.core.webhooks.attempt_ends import Ended, Standing
from opsin.core.webhooks.formats import Format
from opsin.core.webhooks.posting import Answer
from opsin.core.webhooks.records import Delivery, DeliveryStatus, Webhook
from opsin.core.webhooks.schedule import TRIES_IN_PLACE, Schedule
from opsin.storage.event_log import Event

_KEPT_ATTEMPTS = 30
_GONE = "the receiver answered 410: it wants no more events"
_ABOUT_THE_RECEIVER = frozenset({408, 425, 429})
"""Of the answers from 400 to 499: not this event, but this moment is the trouble."""


class Endings:
    """Keeps a webhook's standing: how far it is, how often it has failed, until when it waits."""

    def __init__(self, webhook: Webhook, schedule: Schedule, form: Format) -> None:
        self.format = form
        self.failures = webhook.failures
        self.blocked_until = webhook.blocked_until
        self.is_paused = False
        self._webhook = webhook
        self._schedule = schedule
        self._failing_since = webhook.failing_since
        self._failed_at: datetime | None = None
        self._last_delivered_at = webhook.last_delivered_at
        self._position = webhook.position
        # Events of the log whose first attempt is under way, in order.
        self._open: dict[int, None] = {}
        self._begun = webhook.position

    def begun(self, sequence: int) -> None:
        """The first attempt of this event begins."""
        self._open[sequence] = None
        self._begun = sequence

    def ended(
        self,
        identity: str,
        event: Event,
        delivery: Delivery | None,
        answer: Answer | None,
        sent_at: datetime,
        now: datetime,
    ) -> Ended:
        """An attempt is over; without an answer, there was nothing to send."""
        self._pass(event.sequence)
        if answer is None:
            if delivery is None:
                return self._told(now)
            done = replace(delivery, status=DeliveryStatus.DELIVERED, next_attempt_at=None)
            return self._told(now, replace(done, updated_at=now))
        before = delivery or _first(identity, self._webhook, event, sent_at)
        attempted = replace(
            before,
            attempt_count=before.attempt_count + 1,
            tries=before.tries + 1,
            attempts=[*before.attempts, _attempt(answer, sent_at)][-_KEPT_ATTEMPTS:],
            updated_at=now,
            next_attempt_at=None,
            in_place=False,
        )
        if answer.is_success:
            self.failures, self._failing_since, self.blocked_until = 0, None, None
            self._last_delivered_at = now
            delivered = replace(attempted, status=DeliveryStatus.DELIVERED, delivered_at=now)
            return self._told(now, delivered)
        return self._failed(attempted, answer, sent_at, now)

    def abandoned(self, delivery: Delivery, now: datetime, reason: str) -> Ended:
        """It cannot be sent again."""
        attempt = _attempt(Answer(None, reason, 0.0), now)
        given_up = replace(
            delivery,
            status=DeliveryStatus.FAILED,
            attempts=[*delivery.attempts, attempt][-_KEPT_ATTEMPTS:],
            next_attempt_at=None,
            updated_at=now,
        )
        return self._told(now, given_up)

    def stopped(self, now: datetime, reason: str) -> Ended:
        """Nothing can be sent to this webhook; what was to be sent is, when it is active again."""
        self.is_paused = True
        return self._told(now, pause=reason)

    def _failed(
        self, attempted: Delivery, answer: Answer, sent_at: datetime, now: datetime
    ) -> Ended:
        # Of several that were under way together, the first tells all that they tell.
        is_news = self._failed_at is None or sent_at >= self._failed_at
        if is_news:
            self.failures += 1
            self._failed_at = now
        self._failing_since = self._failing_since or now
        pause = self._reason_to_pause(answer, now)
        if pause is not None:
            self.is_paused = True
            self.blocked_until = None
            return self._told(now, _again(replace(attempted, in_place=True), now), pause)
        status = answer.status or 0
        is_refused = 400 <= status < 500 and status not in _ABOUT_THE_RECEIVER
        if is_refused and self.failures < TRIES_IN_PLACE:
            wait = timedelta(0)
        else:
            wait = self._schedule.block(self.failures, answer.retry_after)
        if is_news:
            self.blocked_until = now + wait if wait else None
        if self._schedule.gives_up(
            attempted.tries, attempted.due_since, now, self.format.max_attempts
        ):
            return self._told(now, replace(attempted, status=DeliveryStatus.FAILED))
        if attempted.tries < TRIES_IN_PLACE and not is_refused:
            return self._told(now, _again(replace(attempted, in_place=True), now + wait))
        delay = self._schedule.delivery_delay(attempted.tries, answer.retry_after)
        return self._told(now, _again(attempted, now + max(wait, delay)))

    def _reason_to_pause(self, answer: Answer, now: datetime) -> str | None:
        if answer.is_gone:
            return _GONE
        since = self._failing_since
        if since is None or not self._schedule.pauses(self.failures, since, now):
            return None
        day = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"nothing could be delivered since {day}; the last attempt: {answer.error}"

    def _pass(self, sequence: int) -> None:
        """Move the position on to where everything before has been attempted."""
        self._open.pop(sequence, None)
        reached = next(iter(self._open)) - 1 if self._open else self._begun
        self._position = max(self._position, reached)

    def _told(
        self, now: datetime, delivery: Delivery | None = None, pause: str | None = None
    ) -> Ended:
        standing = Standing(
            self._position,
            self.failures,
            self._failing_since,
            self.blocked_until,
            self._last_delivered_at,
        )
        return Ended(self._webhook, now, standing, delivery, pause)


def _first(identity: str, webhook: Webhook, event: Event, sent_at: datetime) -> Delivery:
    return Delivery(
        id=identity,
        company_id=webhook.company_id,
        webhook_id=webhook.id,
        sequence=event.sequence,
        kind=event.kind,
        status=DeliveryStatus.PENDING,
        attempt_count=0,
        tries=0,
        due_since=sent_at,
        in_place=False,
        attempts=[],
        next_attempt_at=None,
        created_at=sent_at,
        updated_at=sent_at,
        delivered_at=None,
    )


def _again(attempted: Delivery, moment: datetime) -> Delivery:
    return replace(attempted, status=DeliveryStatus.PENDING, next_attempt_at=moment)


def _attempt(answer: Answer, sent_at: datetime) -> dict[str, Any]:
    return {
        "at": sent_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "status_code": answer.status,
        "error": answer.error,
        "milliseconds": round(answer.seconds * 1000, 1),
        "answer": answer.text or None,
    }
