"""What an answer means: how long a webhook waits, how far its position moves."""

from datetime import UTC, datetime, timedelta

import pytest

from opsin.core.webhooks.endings import Endings
from opsin.core.webhooks.formats import Format, write_standard
from opsin.core.webhooks.posting import Answer
from opsin.core.webhooks.records import Webhook, delivery_id
from opsin.core.webhooks.schedule import Schedule
from opsin.storage.event_log import Event
from opsin.storage.ids import new_id

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TAKEN = Answer(204, None, 0.01)
BUSY = Answer(503, "the answer was 503", 0.01)
LATER = Answer(429, "the answer was 429", 0.01, retry_after=600.0)


@pytest.fixture
def webhook() -> Webhook:
    names = {name: None for name in Webhook.__dataclass_fields__}
    values = {"id": new_id(), "company_id": new_id(), "position": 10, "failures": 0}
    return Webhook(**names | values)  # type: ignore[arg-type]  # the rest is not looked at


def event(sequence: int) -> Event:
    return Event(sequence, "c", "image.created", None, None, None, {}, NOW)


def endings_of(webhook: Webhook) -> Endings:
    schedule = Schedule(first=timedelta(seconds=2), chance=lambda: 1.0)
    return Endings(webhook, schedule, Format("standard", write_standard))


def end(endings: Endings, sequence: int, answer: Answer, sent: float, ended: float) -> int:
    """An attempt between these seconds; gives the position afterwards."""
    identity = str(sequence)
    moments = NOW + timedelta(seconds=sent), NOW + timedelta(seconds=ended)
    return endings.ended(identity, event(sequence), None, answer, *moments).standing.position


def test_the_position_never_passes_an_event_that_is_under_way(webhook: Webhook) -> None:
    endings = endings_of(webhook)
    for sequence in (12, 15, 17):
        endings.begun(sequence)
    assert end(endings, 15, TAKEN, 0, 1) == 11
    assert end(endings, 12, BUSY, 0, 1) == 16
    assert end(endings, 17, TAKEN, 0, 1) == 17


def test_failures_of_one_moment_count_once(webhook: Webhook) -> None:
    endings = endings_of(webhook)
    for sequence in range(11, 30):
        endings.begun(sequence)
    for sequence in range(11, 27):
        end(endings, sequence, BUSY, sent=0, ended=1)
    assert endings.failures == 1
    assert endings.blocked_until == NOW + timedelta(seconds=3)
    end(endings, 27, LATER, sent=4, ended=5)
    assert endings.failures == 2
    assert endings.blocked_until == NOW + timedelta(seconds=605)
    end(endings, 28, TAKEN, sent=0, ended=6)
    assert endings.failures == 0
    assert endings.blocked_until is None


def test_ids_are_in_the_order_of_events_and_of_one_webhook_each(webhook: Webhook) -> None:
    first, second = event(2**20 - 1), event(2**20)
    ids = [delivery_id(webhook.id, one) for one in (first, second)]
    assert ids == sorted(ids)
    assert delivery_id(webhook.id, first) == ids[0] != delivery_id(new_id(), first)
