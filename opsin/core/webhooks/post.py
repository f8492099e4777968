"""What all couriers of a sender work with."""

from dataclasses import dataclass, field

from opsin.core.events import Events
from opsin.core.webhooks.clock import Clock
from opsin.core.webhooks.counts import WebhookCounts
from opsin.core.webhooks.formats import Formats
from opsin.core.webhooks.keepers import Keepers
from opsin.core.webhooks.ledger import Ledger
from opsin.core.webhooks.posting import Poster
from opsin.core.webhooks.schedule import Schedule
from opsin.core.webhooks.signing import Secrets
from opsin.core.webhooks.slots import Slots
from opsin.core.webhooks.writer import DeliveryWriter


@dataclass(frozen=True, slots=True)
class Post:
    """The parts of one sender."""

    ledger: Ledger
    writer: DeliveryWriter
    events: Events
    formats: Formats
    secrets: Secrets
    keepers: Keepers
    poster: Poster
    schedule: Schedule
    slots: Slots
    clock: Clock
    counts: WebhookCounts = field(default_factory=WebhookCounts)
