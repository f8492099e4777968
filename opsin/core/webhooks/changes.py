"""What a webhook is made of, and what of it can be changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from opsin.core.datasets import require_text
from opsin.core.errors import InvalidInput
from opsin.core.webhooks.formats import STANDARD, Format
from opsin.core.webhooks.kinds import checked_kinds
from opsin.core.webhooks.records import Webhook

MAX_PARALLEL: Final = 16
_PAUSED_BY_HAND = "paused by hand"
_LONGEST_DESCRIPTION = 1000


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What a webhook is made of; `after` is where in the log it begins, None its end.

    One that `is_only` is the dataset's only one of its format.
    """

    url: str
    kinds: Sequence[str]
    dataset_id: str | None = None
    description: str = ""
    parallel: int = 1
    after: int | None = None
    format: str = STANDARD
    options: dict[str, Any] | None = None
    is_only: bool = False


@dataclass(frozen=True, slots=True)
class WebhookChanges:
    """What is to be different; None leaves it as it is."""

    url: str | None = None
    kinds: Sequence[str] | None = None
    description: str | None = None
    parallel: int | None = None
    active: bool | None = None
    after: int | None = None
    options: dict[str, Any] | None = None


def changed_values(
    webhook: Webhook, changes: WebhookChanges, form: Format, now: datetime
) -> dict[str, Any]:
    """The columns that the changes set; InvalidInput."""
    values: dict[str, Any] = {}
    if changes.url is not None:
        values["url"] = changes.url
    if changes.kinds is not None:
        values["kinds"] = list(checked_kinds(changes.kinds, form.kinds))
    if changes.description is not None:
        values["description"] = checked_description(changes.description)
    if changes.parallel is not None:
        values["parallel"] = checked_parallel(changes.parallel)
    if changes.options is not None:
        values["options"] = changes.options
    if changes.active is False and webhook.active:
        values |= {
            "active": False,
            "paused_reason": _PAUSED_BY_HAND,
            "paused_at": now,
        }
    if changes.active is True:
        values |= {"active": True, "paused_reason": None, "paused_at": None}
    if changes.active is True or changes.url is not None:
        values |= {"failures": 0, "failing_since": None, "blocked_until": None}
    return values


def checked_parallel(parallel: int) -> int:
    """Attempts at once; InvalidInput."""
    if not 1 <= parallel <= MAX_PARALLEL:
        raise InvalidInput(f"parallel must be from 1 to {MAX_PARALLEL}")
    return parallel


def checked_description(text: str) -> str:
    """What people say of a webhook, which may be nothing; InvalidInput."""
    return require_text(text, "description", _LONGEST_DESCRIPTION, least=0)
