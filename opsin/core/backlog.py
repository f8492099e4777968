"""What the whole installation has before it, as its database says: the same for every process."""

from dataclasses import dataclass, field

from sqlalchemy import func, literal_column, select

from opsin.core.queue.depth import QueueDepth, queue_depth
from opsin.storage.database import Database
from opsin.storage.event_log import last_position
from opsin.storage.webhooks import webhook_deliveries, webhooks


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be done, and how far the event log has come."""

    queue: QueueDepth = field(default_factory=QueueDepth)
    log_end: int = 0
    deliveries_pending: int = 0
    """Deliveries of webhooks that failed, and are tried again."""
    deliveries_failed: int = 0
    """Those that were given up."""
    webhooks_active: int = 0
    webhooks_failing: int = 0
    """Active ones whose last attempt failed."""
    webhooks_paused: int = 0
    """Paused because of failures, and not by their owners."""
    events_behind: int = 0
    """Lines of the log that the webhook farthest behind has not looked at."""


# Each from an index of such rows alone, which is found by the literal: most have arrived.
_PENDING, _FAILED = (
    select(func.count())
    .select_from(webhook_deliveries)
    .where(webhook_deliveries.c.status == literal_column(f"'{status}'"))
    .scalar_subquery()
    for status in ("PENDING", "FAILED")
)
_DELIVERIES = select(_PENDING, _FAILED)


async def backlog(database: Database) -> Backlog:
    """Raises StorageError when the database does not answer."""
    depth = await queue_depth(database)
    standing = select(
        func.count().filter(webhooks.c.active),
        func.count().filter(webhooks.c.active, webhooks.c.failures > 0),
        func.count().filter(~webhooks.c.active, webhooks.c.paused_reason.is_not(None)),
        func.min(webhooks.c.position).filter(webhooks.c.active),
    )
    async with database.read() as connection:
        end = await last_position(connection)
        pending, failed = (await connection.execute(_DELIVERIES)).one()
        active, failing, paused, behind = (await connection.execute(standing)).one()
    return Backlog(
        depth,
        end,
        pending,
        failed,
        active,
        failing,
        paused,
        0 if behind is None else max(0, end - behind),
    )
