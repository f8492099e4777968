"""What waits in the database: whether anybody does the work, and whether times make sense."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from opsin.core.backlog import backlog
from opsin.core.checkup.findings import Finding, good, poor
from opsin.storage.database import Database
from opsin.storage.tables import analyses, api_keys, events

_LONG = timedelta(minutes=10)
_AHEAD = timedelta(seconds=60)


async def look_at_work(database: Database, *, asks_for_keys: bool) -> AsyncIterator[Finding]:
    """Of a database with all its tables."""
    now = datetime.now(UTC)
    found = await backlog(database)
    queue = found.queue
    lost = select(func.count()).where(
        ~analyses.c.external,
        analyses.c.status == "PROCESSING",
        analyses.c.lease_until < now - _LONG,
    )
    async with database.read() as connection:
        abandoned = (await connection.execute(lost)).scalar_one()
        newest = (
            await connection.execute(
                select(events.c.created_at).order_by(events.c.sequence.desc()).limit(1)
            )
        ).scalar()
        keys = (await connection.execute(select(func.count()).select_from(api_keys))).scalar_one()
    told = f"{queue.queued} analyses wait, {queue.processing} are worked on"
    if queue.oldest_seconds > _LONG.total_seconds() and not queue.processing:
        minutes = queue.oldest_seconds / 60
        yield poor(
            "queue",
            f"{told}; the oldest has waited {minutes:.0f} minutes",
            "is a worker running? opsin worker",
        )
    elif abandoned:
        yield poor(
            "queue",
            f"{told}; {abandoned} were left by workers that are gone",
            "any worker takes them up again: opsin worker",
        )
    else:
        yield good("queue", told)
    if found.webhooks_paused or found.deliveries_failed:
        yield poor(
            "webhooks",
            f"{found.webhooks_paused} are paused because they failed;"
            f" {found.deliveries_failed} deliveries were given up",
            "opsin webhooks shows which; send again when the receiver is well",
        )
    elif found.webhooks_active:
        yield good(
            "webhooks", f"{found.webhooks_active} active, {found.webhooks_failing} failing now"
        )
    if newest is not None and newest > now + _AHEAD:
        seconds = (newest - now).total_seconds()
        yield poor(
            "clock",
            f"the newest event is {seconds:.0f} s ahead of this machine's clock",
            "this clock, or that of another node, is wrong: have all follow one time server",
        )
    if asks_for_keys and not keys:
        yield poor(
            "access", "there is no API key, so that nobody gets in", "opsin keys create NAME"
        )
