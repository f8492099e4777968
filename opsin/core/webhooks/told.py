"""What the log and the audit are told of changes of webhooks."""

from typing import Any
from urllib.parse import urlsplit

from opsin.core import audit
from opsin.core.principal import Principal
from opsin.core.webhooks.records import Webhook
from opsin.storage.database import Transaction
from opsin.storage.event_log import NewEvent


def note_webhook(
    transaction: Transaction, principal: Principal, verb: str, webhook: Webhook, **details: Any
) -> None:
    """Note who did what to a webhook; its address may hold a secret, and is no detail."""
    audit.note(
        transaction, principal, f"webhook.{verb}", ("webhook", webhook.id),
        dataset_id=webhook.dataset_id, **details,
    )  # fmt: skip


def host_of(url: str) -> str | None:
    """Where it goes; the rest of an address may hold a secret."""
    return urlsplit(url).hostname


def webhook_event(kind: str, webhook: Webhook, **data: Any) -> NewEvent:
    """The event that tells of a change of a webhook."""
    told = {"webhook_id": webhook.id, **data}
    return NewEvent(kind, webhook.company_id, dataset_id=webhook.dataset_id, data=told)
