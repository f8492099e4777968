"""How much waits in the queue of analyses, of which operations, and since when."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import case, func, select

from opsin.storage.database import Database
from opsin.storage.tables import analyses

MOST_OPERATIONS = 50
"""That are told apart; the others, which wait least, are `other`."""
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Analyses of one operation and of one urgency (`high`, `normal`, `low`)."""

    operation: str
    urgency: str
    queued: int = 0
    processing: int = 0
    oldest_seconds: float = 0.0
    """How long the oldest of the queued has waited."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Analyses that wait and that are worked on; the most numerous operations first."""

    parts: tuple[Waiting, ...] = ()

    @property
    def queued(self) -> int:
        return sum(part.queued for part in self.parts)

    @property
    def processing(self) -> int:
        return sum(part.processing for part in self.parts)

    @property
    def oldest_seconds(self) -> float:
        return max((part.oldest_seconds for part in self.parts), default=0.0)


async def queue_depth(database: Database, now: datetime | None = None) -> QueueDepth:
    """Of all companies; those that pipelines elsewhere compute are no part of it."""
    ours = ~analyses.c.external  # as the indexes of the queue say it
    urgency = case(
        (analyses.c.priority > 0, "high"), (analyses.c.priority < 0, "low"), else_="normal"
    ).label("urgency")
    kind = (analyses.c.operation, urgency)
    queued = select(*kind, func.count(), func.min(analyses.c.created_at)).where(
        ours, analyses.c.status == "QUEUED"
    )
    processing = select(*kind, func.count()).where(ours, analyses.c.status == "PROCESSING")
    now = now or datetime.now(UTC)
    found: dict[tuple[str, str], Waiting] = {}
    async with database.read() as connection:
        # By the columns' places: what stands there holds values that are bound twice.
        for operation, level, count, oldest in await connection.execute(
            queued.group_by("operation", "urgency")
        ):
            waited = max(0.0, (now - oldest).total_seconds())
            found[operation, level] = Waiting(operation, level, count, 0, waited)
        for operation, level, count in await connection.execute(
            processing.group_by("operation", "urgency")
        ):
            part = found.get((operation, level), Waiting(operation, level))
            found[operation, level] = Waiting(
                operation, level, part.queued, count, part.oldest_seconds
            )
    return QueueDepth(_bounded(sorted(found.values(), key=lambda one: -one.queued)))


def _bounded(parts: list[Waiting]) -> tuple[Waiting, ...]:
    """Of few operations, however many an installation has had in its life."""
    names = list(dict.fromkeys(part.operation for part in parts))[:MOST_OPERATIONS]
    kept = [part for part in parts if part.operation in names]
    rest: dict[str, Waiting] = {}
    for part in parts:
        if part.operation in names:
            continue
        so_far = rest.get(part.urgency, Waiting(OTHER, part.urgency))
        rest[part.urgency] = Waiting(
            OTHER,
            part.urgency,
            so_far.queued + part.queued,
            so_far.processing + part.processing,
            max(so_far.oldest_seconds, part.oldest_seconds),
        )
    return (*kept, *rest.values())
