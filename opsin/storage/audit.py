"""The audit: one row for each thing that somebody did, written with it, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Column, Index, Integer, String, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.storage.bulk import as_sent
from opsin.storage.ids import new_ids
from opsin.storage.json_text import dump_json
from opsin.storage.tables import Id, Json, UtcDateTime, metadata

# No foreign key: what it tells of may be gone, and the line stays.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("company_id", Id, nullable=False),
    Column("action", String(64), nullable=False),
    # How they came in, as `Principal.kind` says: "account", "key", ... or "opsin" itself.
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", String(36), nullable=True),
    # The token that was shown, which of several an account may have.
    Column("key_id", Id, nullable=True),
    Column("actor_name", String(320), nullable=False),
    Column("subject_kind", String(32), nullable=True),
    Column("subject_id", String(255), nullable=True),
    Column("dataset_id", Id, nullable=True),
    Column("details", Json, nullable=False),
    Column("request_id", Text, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "company_id", "id"),
    Index(None, "company_id", "subject_id", "id"),
    Index(None, "company_id", "dataset_id", "id"),
    Index(None, "company_id", "actor_id", "id"),
    # Else INSERT OR REPLACE could take the place of a row by SQLite's own number of it.
    sqlite_with_rowid=False,
)

# One row at most.  Lines that came before may be removed; it only moves forward.
audit_horizon = Table(
    "audit_horizon",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("kept_from", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class NewAuditEntry:
    """Who did what, told in the transaction that does it."""

    company_id: str
    action: str
    actor_kind: str
    actor_name: str
    actor_id: str | None = None
    key_id: str | None = None
    subject_kind: str | None = None
    subject_id: str | None = None
    dataset_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None


_GIVEN = tuple(member.name for member in fields(NewAuditEntry) if member.name != "details")
_NAMES = (*_GIVEN, "details", "id", "created_at")
_TYPES = dict.fromkeys(("id", "company_id", "dataset_id", "key_id"), "uuid")
_COLUMNS = ", ".join(_NAMES)
_RECORD = ", ".join(
    f"{name} {_TYPES.get(name, 'text')}" for name in _NAMES if name not in ("details", "created_at")
)

INSERT_RECORDS: Final = f"""INSERT INTO audit_entries ({_COLUMNS})
  SELECT {_COLUMNS}
  FROM json_to_recordset(CAST(CAST(:noted AS text) AS json)) AS
    ({_RECORD}, details json, created_at timestamptz)
  RETURNING 1"""
"""For PostgreSQL, as a part of another statement or by itself; `noted` is what `records` gives."""

_INSERT_ROWS = f"INSERT INTO audit_entries ({_COLUMNS}) VALUES ({', '.join('?' for _ in _NAMES)})"


def records(entries: Sequence[NewAuditEntry]) -> str:
    """The entries as JSON, in order, each with its id and the time."""
    now = datetime.now(UTC).isoformat()
    return dump_json(
        [
            {name: getattr(entry, name) for name in _GIVEN}
            | {"details": entry.details, "id": identity, "created_at": now}
            for entry, identity in zip(entries, new_ids(len(entries)), strict=True)
        ]
    )


async def append_audit(connection: AsyncConnection, entries: Sequence[NewAuditEntry]) -> None:
    """Write what was done, in one statement, past SQLAlchemy's types: every write waits for it."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text(INSERT_RECORDS), {"noted": records(entries)})
        return
    now = as_sent(connection, audit_entries.c.created_at, datetime.now(UTC))
    rows = [
        (*[getattr(entry, name) for name in _GIVEN], dump_json(entry.details), identity, now)
        for entry, identity in zip(entries, new_ids(len(entries)), strict=True)
    ]
    await connection.exec_driver_sql(_INSERT_ROWS, rows)
