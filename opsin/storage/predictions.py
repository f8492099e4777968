"""Tables of answers that were given at once: records, scores, and who asked how often."""

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table
from sqlalchemy import UniqueConstraint as Unique

from opsin.storage.tables import Id, Json, UtcDateTime, metadata

# What an API has answered of a picture that is stored nowhere; the newest of each API are kept.
predictions = Table(
    "predictions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    # The API: "whales".
    Column("source", String(32), nullable=False),
    Column("record", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "company_id", "source", "id"),
)

# The last scores of an API, and whether they have sunk.
drift_windows = Table(
    "drift_windows",
    metadata,
    Column("id", Id, primary_key=True),
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    Column("source", String(32), nullable=False),
    # Oldest first, as many of the one as of the other.
    Column("scores", Json, nullable=False),
    Column("probabilities", Json, nullable=False),
    Column("alarms", Integer, nullable=False),
    Column("is_alarmed", Boolean, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Unique("company_id", "source"),
)

# When somebody's requests were let in, as far back as that counts.
rate_limits = Table(
    "rate_limits",
    metadata,
    # What is limited, and a digest of who asks.
    Column("id", String(96), primary_key=True),
    # Seconds since 1970, oldest first.
    Column("accepted", Json, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
)
