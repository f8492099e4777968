"""Rows of webhooks and their deliveries: found within the caller's reach, changed, made due."""

from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import NotFound
from opsin.core.principal import Principal
from opsin.core.records import columns_of, to_record
from opsin.core.scope import within
from opsin.core.webhooks.records import Delivery, DeliveryStatus, Webhook
from opsin.storage.event_log import last_position
from opsin.storage.ids import canonical_id
from opsin.storage.webhooks import webhook_deliveries, webhooks


async def update_webhook(
    connection: AsyncConnection, principal: Principal, webhook: Webhook, values: dict[str, Any]
) -> Webhook:
    """Change a row, so that its sender hears of it; gives it as it is now."""
    await connection.execute(
        update(webhooks)
        .where(webhooks.c.id == webhook.id)
        .values(**values, revision=webhooks.c.revision + 1)
    )
    return await require_webhook(connection, principal, webhook.id)


async def make_due(connection: AsyncConnection, webhook: Webhook, now: datetime) -> None:
    """What waits, perhaps because the receiver asked for a day, is tried now."""
    table = webhook_deliveries
    statement = update(table).where(
        table.c.webhook_id == webhook.id,
        table.c.status == DeliveryStatus.PENDING.value,
        table.c.next_attempt_at > now,
    )
    await connection.execute(statement.values(next_attempt_at=now))


async def require_webhook(
    connection: AsyncConnection, principal: Principal, webhook_id: str, *, lock: bool = False
) -> Webhook:
    """One that the caller sees; NotFound."""
    statement = select(*columns_of(webhooks, Webhook)).where(
        webhooks.c.id == canonical_id(webhook_id),
        within(principal, webhooks),
    )
    row = (await connection.execute(statement.with_for_update() if lock else statement)).first()
    if row is None:
        raise NotFound("Webhook not found")
    return to_record(Webhook, row)


async def begin_at(connection: AsyncConnection, after: int | None) -> int:
    """Where to begin; a place that the log has not reached would hide what comes until then."""
    end = await last_position(connection)
    return end if after is None else min(after, end)


async def make_pending(
    connection: AsyncConnection, principal: Principal, delivery_id: str, now: datetime
) -> Delivery:
    """A delivery as it is before its first attempt, due now; NotFound."""
    mine = (
        webhook_deliveries.c.id == canonical_id(delivery_id),
        within(principal, webhook_deliveries),
    )
    # Before the delivery, as a sender does that writes one down.
    of_it = select(webhook_deliveries.c.webhook_id).where(*mine)
    hold = select(webhooks.c.id).where(webhooks.c.id.in_(of_it)).with_for_update()
    await connection.execute(hold)
    statement = (
        update(webhook_deliveries)
        .where(*mine)
        .values(
            status=DeliveryStatus.PENDING.value,
            tries=0,
            due_since=now,
            in_place=False,
            next_attempt_at=now,
            updated_at=now,
        )
        .returning(*columns_of(webhook_deliveries, Delivery))
    )
    row = (await connection.execute(statement)).first()
    if row is None:
        raise NotFound("Webhook delivery not found")
    return to_record(Delivery, row)
