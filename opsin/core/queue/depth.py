"""How much waits in the queue of analyses, and since when."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import false, func, select

from opsin.storage.database import Database
from opsin.storage.tables import analyses


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Analyses that wait and that are worked on, and the seconds the oldest has waited."""

    queued: int = 0
    processing: int = 0
    oldest_seconds: float = 0.0


async def queue_depth(database: Database, now: datetime | None = None) -> QueueDepth:
    """Of all companies; those that pipelines elsewhere compute are no part of it."""
    ours = analyses.c.external == false()
    queued = select(func.count(), func.min(analyses.c.created_at)).where(
        ours, analyses.c.status == "QUEUED"
    )
    processing = select(func.count()).where(ours, analyses.c.status == "PROCESSING")
    async with database.read() as connection:
        count, oldest = (await connection.execute(queued)).one()
        under_way = (await connection.execute(processing)).scalar_one()
    waited = 0.0
    if oldest is not None:
        waited = max(0.0, ((now or datetime.now(UTC)) - oldest).total_seconds())
    return QueueDepth(count, under_way, waited)
