"""How attempts ended: what is written down of the deliveries, and of how their webhooks stand."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.actors import opsin_itself
from opsin.core.webhooks.records import Delivery, Webhook
from opsin.core.webhooks.told import note_webhook, webhook_event
from opsin.storage.database import Transaction
from opsin.storage.webhooks import webhook_deliveries, webhooks


@dataclass(frozen=True, slots=True)
class Standing:
    """How a webhook stands after an attempt."""

    position: int
    failures: int = 0
    failing_since: datetime | None = None
    blocked_until: datetime | None = None
    last_delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """One attempt's end: the delivery as it is now, if there is one, and the webhook's standing."""

    webhook: Webhook
    at: datetime
    standing: Standing
    delivery: Delivery | None = None
    pause: str | None = None
    """Why nothing more is sent to this webhook."""


async def write_ends(
    transaction: Transaction, ended: Sequence[Ended], held: Mapping[str, int]
) -> None:
    """Write the ends of those webhooks that are held by the caller; `held` is id to revision.

    Of one that its owner has changed since the attempt began it is not written how it stands: an
    address before the one it has now says nothing of that.  What failed there is due at once.
    """
    connection = transaction.connection
    mine = [one for one in ended if one.webhook.id in held]
    latest = {one.webhook.id: one for one in mine}
    changed = {name for name, one in latest.items() if held[name] != one.webhook.revision}
    await _write_standings(connection, [latest[name] for name in latest.keys() - changed])
    await _write_positions(connection, [latest[name] for name in changed])
    deliveries: dict[str, Delivery] = {}
    for one in mine:
        if one.delivery is not None:
            is_due = one.webhook.id in changed and one.delivery.next_attempt_at is not None
            due = replace(one.delivery, next_attempt_at=one.at) if is_due else one.delivery
            deliveries[due.id] = due
    if deliveries:
        await _write_deliveries(connection, list(deliveries.values()))
    paused = {one.webhook.id: one for one in mine if one.pause is not None}
    for name in paused.keys() - changed:
        await _pause(transaction, paused[name])


async def _pause(transaction: Transaction, ended: Ended) -> None:
    statement = (
        update(webhooks)
        .where(webhooks.c.id == ended.webhook.id, webhooks.c.active)
        .values(
            active=False,
            paused_reason=ended.pause,
            paused_at=ended.at,
            revision=webhooks.c.revision + 1,
        )
    )
    if (await transaction.connection.execute(statement)).rowcount:
        webhook = ended.webhook
        transaction.emit(webhook_event("webhook.paused", webhook, reason=ended.pause))
        opsin = opsin_itself(webhook.company_id, "webhooks")
        note_webhook(transaction, opsin, "pause", webhook, reason=ended.pause)


_STAND = (
    update(webhooks)
    .where(webhooks.c.id == bindparam("key"))
    .values(
        position=bindparam("new_position"),
        failures=bindparam("new_failures"),
        failing_since=bindparam("new_failing_since"),
        blocked_until=bindparam("new_blocked_until"),
        last_delivered_at=bindparam("new_last_delivered_at"),
    )
)


_MOVE_ON = (
    update(webhooks)
    .where(webhooks.c.id == bindparam("key"))
    .values(
        position=bindparam("new_position"),
        last_delivered_at=bindparam("new_last_delivered_at"),
    )
)


async def _write_standings(connection: AsyncConnection, ended: Sequence[Ended]) -> None:
    if ended:
        await connection.execute(_STAND, [_standing(one) for one in ended])


async def _write_positions(connection: AsyncConnection, ended: Sequence[Ended]) -> None:
    if ended:
        names = ("key", "new_position", "new_last_delivered_at")
        rows = [{name: _standing(one)[name] for name in names} for one in ended]
        await connection.execute(_MOVE_ON, rows)


def _standing(ended: Ended) -> dict[str, Any]:
    values = {f"new_{name}": value for name, value in asdict(ended.standing).items()}
    return {"key": ended.webhook.id, **values}


async def _write_deliveries(connection: AsyncConnection, deliveries: Sequence[Delivery]) -> None:
    """Made at the first attempt, changed at each other one."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    made = insert(webhook_deliveries)
    changing = (
        "status", "attempt_count", "tries", "due_since", "in_place", "attempts",
        "next_attempt_at", "updated_at", "delivered_at",
    )  # fmt: skip
    changes = {name: made.excluded[name] for name in changing}
    statement = made.on_conflict_do_update(index_elements=["id"], set_=changes)
    await connection.execute(statement, [_row(one) for one in deliveries])


def _row(delivery: Delivery) -> dict[str, Any]:
    row = {name: getattr(delivery, name) for name in Delivery.__dataclass_fields__}
    return row | {"status": delivery.status.value}
