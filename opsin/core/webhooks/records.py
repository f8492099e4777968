"""A webhook and a delivery as callers see them, and the id that a delivery has for good."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from opsin.core.pages import Listing
from opsin.storage.event_log import Event
from opsin.storage.webhooks import webhook_deliveries, webhooks


class DeliveryStatus(StrEnum):
    """Where a delivery is: it will be sent again, has been taken, or has been given up."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook without its secret, which is stored nowhere."""

    id: str
    company_id: str
    dataset_id: str | None
    url: str
    description: str
    kinds: list[str]
    format: str
    account_id: str | None
    key_id: str | None
    """Who answers for it: see `Keepers`."""
    options: dict[str, Any] | None
    parallel: int
    secret_salt: str
    secret_sha256: str
    previous_salt: str | None
    previous_until: datetime | None
    active: bool
    paused_reason: str | None
    paused_at: datetime | None
    position: int
    restart_at: int | None
    failures: int
    failing_since: datetime | None
    blocked_until: datetime | None
    last_delivered_at: datetime | None
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event's way to one webhook; `sequence` is the event's position in the log."""

    id: str
    company_id: str
    webhook_id: str
    sequence: int
    kind: str
    status: DeliveryStatus
    attempt_count: int
    tries: int
    due_since: datetime
    in_place: bool
    attempts: list[dict[str, Any]]
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", DeliveryStatus(self.status))


LISTING = Listing(webhooks, Webhook, parent="company_id")
DELIVERIES = Listing(webhook_deliveries, Delivery, parent="webhook_id")


def delivery_id(webhook_id: str, event: Event) -> str:
    """The id of an event's delivery: the same however often, and by whomever, it is sent.

    A UUIDv7 of the event's time and position, so that ids sort as the events do.
    """
    milliseconds = int(event.created_at.astimezone(UTC).timestamp() * 1000)
    digest = hashlib.sha256(f"{webhook_id} {event.sequence}".encode()).digest()
    unlike = int.from_bytes(digest[:6], "big") & ((1 << 42) - 1)
    high, low = event.sequence >> 20 & 0xFFF, event.sequence & 0xFFFFF
    value = milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low << 42 | unlike
    return str(uuid.UUID(int=value))
