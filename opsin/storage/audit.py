"""The audit: one row for each thing that somebody did, written with it, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Index, String, Table, Text, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.storage.ids import new_id
from opsin.storage.tables import Id, Json, UtcDateTime, metadata

# No foreign key: what it tells of may be gone, and the line stays.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("company_id", Id, nullable=False),
    Column("action", String(64), nullable=False),
    # "account", "key", "session", "dev", "operator", "proxy" or "opsin" itself.
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", String(36), nullable=True),
    Column("actor_name", String(320), nullable=False),
    Column("subject_kind", String(32), nullable=True),
    Column("subject_id", String(255), nullable=True),
    Column("dataset_id", Id, nullable=True),
    Column("details", Json, nullable=False),
    Column("request_id", Text, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "company_id", "id"),
    Index(None, "company_id", "subject_id", "id"),
)


@dataclass(frozen=True, slots=True)
class NewAuditEntry:
    """Who did what, told in the transaction that does it."""

    company_id: str
    action: str
    actor_kind: str
    actor_name: str
    actor_id: str | None = None
    subject_kind: str | None = None
    subject_id: str | None = None
    dataset_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None


_COLUMNS = tuple(member.name for member in fields(NewAuditEntry))


async def append_audit(connection: AsyncConnection, entries: Sequence[NewAuditEntry]) -> None:
    """Write what was done, before the events of the same transaction."""
    now = datetime.now(UTC)
    rows = [
        {name: getattr(entry, name) for name in _COLUMNS} | {"id": new_id(), "created_at": now}
        for entry in entries
    ]
    await connection.execute(insert(audit_entries), rows)
