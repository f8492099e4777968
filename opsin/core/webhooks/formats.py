"""What is sent for an event: the standard form, and those that doors of other APIs add."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from opsin.core.errors import InvalidInput
from opsin.core.events import encode_position
from opsin.core.webhooks.records import Webhook
from opsin.core.webhooks.signing import standard_signature
from opsin.storage.event_log import Event
from opsin.storage.json_text import dump_json

STANDARD: Final = "standard"
VERSION: Final = 1
"""Of the standard payload; raised only when what was there changes its meaning or goes."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One attempt, for a format to write down; `secrets` are the valid ones, newest first."""

    webhook: Webhook
    event: Event
    delivery_id: str
    sent_at: datetime
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What goes over the wire; `url` is the webhook's own unless the format adds to its query."""

    body: bytes
    headers: Mapping[str, str]
    method: str = "POST"
    url: str | None = None


Writer: TypeAlias = Callable[[Outgoing], Awaitable[WebhookRequest | None]]
"""Writes a request; None when this event is nothing to send.  It may be asked again and again."""


@dataclass(frozen=True, slots=True)
class Format:
    """One form of requests, by name.

    `kinds` are events that only webhooks of this form can ask for.  `max_attempts`, if given,
    stands for the setting.
    """

    name: str
    write: Writer
    kinds: tuple[str, ...] = ()
    max_attempts: int | None = None


class Formats:
    """The forms that there are; a door adds its own while the server is being put together."""

    def __init__(self) -> None:
        self._known = {STANDARD: Format(STANDARD, write_standard)}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._known)

    def add(self, one: Format) -> None:
        if one.name in self._known:
            raise ValueError(f"there is a webhook format {one.name!r} already")
        self._known[one.name] = one

    def get(self, name: str) -> Format:
        """InvalidInput for a form that no door of this server has."""
        try:
            return self._known[name]
        except KeyError:
            raise InvalidInput(f"there is no webhook format {name!r} here") from None


async def write_standard(outgoing: Outgoing) -> WebhookRequest:
    """The event as JSON, signed as Standard Webhooks says."""
    body = dump_json(standard_payload(outgoing.event)).encode()
    headers = {
        "content-type": "application/json",
        "webhook-id": outgoing.delivery_id,
        "webhook-timestamp": str(int(outgoing.sent_at.timestamp())),
        "webhook-signature": standard_signature(
            outgoing.secrets, outgoing.delivery_id, outgoing.sent_at, body
        ),
    }
    return WebhookRequest(body, headers)


def standard_payload(event: Event) -> dict[str, Any]:
    """What happened to what; its details are read by GraphQL.

    `data` has the ids that the event has, and what it tells besides: a status, a count, a name.
    """
    named = {
        "dataset_id": event.dataset_id,
        "image_id": event.image_id,
        "analysis_id": event.analysis_id,
    }
    return {
        "type": event.kind,
        "timestamp": event.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "version": VERSION,
        "cursor": encode_position(event.sequence),
        "data": {
            _camel(name): value for name, value in (named | event.data).items() if value is not None
        },
    }


def _camel(name: str) -> str:
    """The name as GraphQL has it."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
