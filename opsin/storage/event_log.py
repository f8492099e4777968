"""The append-only event log: what happened, in the order in which it was committed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.storage.tables import events

# Sequence numbers are drawn before the commit, so on PostgreSQL two writers could commit theirs in
# the other order and a reader that had seen the higher would never see the lower.  Whoever appends
# holds this lock from the append, the last statement of the transaction, to its commit.
_APPEND_LOCK = 0x6F7073696E


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One change, told in the transaction that makes it."""

    kind: str
    company_id: str
    dataset_id: str | None = None
    image_id: str | None = None
    analysis_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a reader wants; None means any."""

    company_id: str
    kinds: tuple[str, ...] | None = None
    dataset_id: str | None = None
    image_id: str | None = None
    analysis_id: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log; `sequence` is its position."""

    sequence: int
    company_id: str
    kind: str
    dataset_id: str | None
    image_id: str | None
    analysis_id: str | None
    data: dict[str, Any]
    created_at: datetime


async def append_events(connection: AsyncConnection, new: Sequence[NewEvent]) -> None:
    """Write `new` in order; must be the last statement before the commit."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _APPEND_LOCK})
    now = datetime.now(UTC)
    rows = [
        {
            "kind": event.kind,
            "company_id": event.company_id,
            "dataset_id": event.dataset_id,
            "image_id": event.image_id,
            "analysis_id": event.analysis_id,
            "data": event.data,
            "created_at": now,
        }
        for event in new
    ]
    await connection.execute(insert(events), rows)


async def read_events(
    connection: AsyncConnection, wanted: EventFilter, *, after: int, limit: int
) -> list[Event]:
    """Up to `limit` events past position `after`, oldest first."""
    statement = _matching(select(events), wanted).where(events.c.sequence > after)
    rows = await connection.execute(statement.order_by(events.c.sequence).limit(limit))
    return [Event(**row) for row in rows.mappings()]


async def last_position(connection: AsyncConnection) -> int:
    """The position of the newest committed event; 0 for an empty log."""
    return (await connection.execute(select(func.max(events.c.sequence)))).scalar() or 0


def _matching(statement: Select[Any], wanted: EventFilter) -> Select[Any]:
    statement = statement.where(events.c.company_id == wanted.company_id)
    if wanted.kinds is not None:
        statement = statement.where(events.c.kind.in_(wanted.kinds))
    for name in ("dataset_id", "image_id", "analysis_id"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(events.c[name] == value)
    return statement
