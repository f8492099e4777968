"""The append-only event log: what happened, in the order in which it was committed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.storage.audit import INSERT_RECORDS, NewAuditEntry, append_audit, records
from opsin.storage.bulk import as_sent
from opsin.storage.first_rows import MOST_GROUPS, Groups, first_of_each
from opsin.storage.json_text import dump_json
from opsin.storage.tables import events

# Sequence numbers are drawn before the commit, so on PostgreSQL two writers could commit theirs in
# the other order and a reader that had seen the higher would never see the lower.  Whoever appends
# holds this lock from the append, the last statement of the transaction, to its commit.
_APPEND_LOCK = 0x6F7073696E

CHANNEL = "opsin_events"
"""Where PostgreSQL tells other processes of a commit: the position of its last event, no more."""

_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
# The audit goes with it: before the lock is waited for, and without a round trip of its own.
_NOTE_AND_LOCK = text(
    f"WITH noted AS ({INSERT_RECORDS}) "
    "SELECT pg_advisory_xact_lock(:key) FROM (SELECT count(*) FROM noted) AS done"
)
# One statement, because all other writers wait for its end.  PostgreSQL delivers the notification
# with the commit, and never without it.
_APPEND_AND_TELL = text(
    """WITH told AS (
         INSERT INTO events
           (kind, company_id, dataset_id, image_id, analysis_id, data, created_at)
         SELECT kind, company_id, dataset_id, image_id, analysis_id, data,
           CAST(:created_at AS timestamptz)
         FROM ROWS FROM (json_to_recordset(CAST(CAST(:rows AS text) AS json)) AS (
           kind text, company_id uuid, dataset_id uuid, image_id uuid, analysis_id uuid, data json
         )) WITH ORDINALITY
         ORDER BY ordinality
         RETURNING sequence)
       SELECT pg_notify(:channel, CAST(max(sequence) AS text)) FROM told"""
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One change, told in the transaction that makes it."""

    kind: str
    company_id: str
    dataset_id: str | None = None
    image_id: str | None = None
    analysis_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


_COLUMNS = tuple(member.name for member in fields(NewEvent))
_IDS = ("kind", "company_id", "dataset_id", "image_id", "analysis_id")
_INSERT_ROWS = (
    f"INSERT INTO events ({', '.join(_IDS)}, data, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events of a company a reader wants; None means any."""

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


async def append_events(
    connection: AsyncConnection, new: Sequence[NewEvent], noted: Sequence[NewAuditEntry] = ()
) -> None:
    """Write `new` in order, and what the audit says; must be the last before the commit."""
    if connection.dialect.name == "postgresql":
        if noted:
            await connection.execute(_NOTE_AND_LOCK, {"key": _APPEND_LOCK, "noted": records(noted)})
        else:
            await connection.execute(_LOCK, {"key": _APPEND_LOCK})
        values = {
            "rows": dump_json([_columns(event) for event in new]),
            "created_at": datetime.now(UTC),
            "channel": CHANNEL,
        }
        await connection.execute(_APPEND_AND_TELL, values)
    else:
        if noted:
            await append_audit(connection, noted)
        # Past SQLAlchemy's types, which take longer than the database.
        now = as_sent(connection, events.c.created_at, datetime.now(UTC))
        rows = [
            (*[getattr(event, name) for name in _IDS], dump_json(event.data), now) for event in new
        ]
        await connection.exec_driver_sql(_INSERT_ROWS, rows)


def _columns(event: NewEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _COLUMNS}


async def read_events(
    connection: AsyncConnection,
    wanted: EventFilter | None,
    *,
    after: int,
    limit: int,
    datasets: Sequence[str] | None = None,
) -> list[Event]:
    """Up to `limit` events past position `after`, oldest first; without `wanted`, of everybody.

    With `datasets` only what happened in one of these: others are not looked at.
    """
    conditions: list[ColumnElement[bool]] = [events.c.sequence > after]
    if wanted is not None:
        if datasets is None and wanted.dataset_id is not None:
            datasets = [wanted.dataset_id]
        if datasets is None:
            conditions += _matching(wanted)
        else:
            named = [one for one in datasets if wanted.dataset_id in (None, one)]
            conditions.append(_first_of(connection, wanted, named, after, limit))
    statement = select(events).where(*conditions).order_by(events.c.sequence).limit(limit)
    rows = await connection.execute(statement)
    return [Event(**row) for row in rows.mappings()]


def _first_of(
    connection: AsyncConnection,
    wanted: EventFilter,
    datasets: Sequence[str],
    after: int,
    limit: int,
) -> ColumnElement[bool]:
    """Those of these datasets that are wanted, at least the first of them."""
    if not datasets:
        return false()
    conditions = _matching(wanted)
    if wanted.analysis_id is not None or len(datasets) > MOST_GROUPS:
        return and_(*conditions, events.c.dataset_id.in_(datasets))
    key, groups = events.c.sequence, Groups(events.c.dataset_id, datasets)
    return key.in_(first_of_each(connection, key, groups, conditions, limit=limit, after=after))


async def last_position(connection: AsyncConnection, company_id: str | None = None) -> int:
    """The position of the newest committed event, of all or of one company; 0 without any."""
    last = select(func.max(events.c.sequence))
    if company_id is not None:
        last = last.where(events.c.company_id == company_id)
    return (await connection.execute(last)).scalar() or 0


async def last_position_in(
    connection: AsyncConnection, company_id: str, datasets: Sequence[str]
) -> int:
    """The same of these datasets of a company."""
    key, mine, found = events.c.sequence, events.c.company_id == company_id, [0]
    for start in range(0, len(datasets), MOST_GROUPS):
        some = Groups(events.c.dataset_id, datasets[start : start + MOST_GROUPS])
        newest = first_of_each(connection, key, some, [mine], limit=1, descending=True)
        found += (await connection.execute(newest)).scalars()
    return max(found)


def _matching(wanted: EventFilter) -> list[ColumnElement[bool]]:
    """All that is wanted but the dataset."""
    conditions: list[ColumnElement[bool]] = [events.c.company_id == wanted.company_id]
    if wanted.kinds is not None:
        conditions.append(events.c.kind.in_(wanted.kinds))
    for name in ("image_id", "analysis_id"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(events.c[name] == value)
    return conditions
