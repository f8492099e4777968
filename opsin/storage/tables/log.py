"""The log of events, which outlives what it tells of."""

from sqlalchemy import Column, Index, String, Table

from opsin.storage.column_types import Id, Json, Sequence
from opsin.storage.tables.columns import metadata, time_column

events = Table(
    "events",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    # No foreign keys: the log outlives what it tells of.
    Column("company_id", Id, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("dataset_id", Id, nullable=True),
    Column("image_id", Id, nullable=True),
    Column("analysis_id", Id, nullable=True),
    Column("data", Json, nullable=False, default=dict),
    time_column("created_at"),
    Index(None, "company_id", "sequence"),
    Index(None, "analysis_id", "sequence"),
    # For those who see single datasets, of which little may happen in a company of many.
    Index(None, "dataset_id", "sequence"),
    sqlite_autoincrement=True,
)
