"""Tables of applications (named sets of operations) and of their runs on datasets."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from opsin.storage.tables import Id, Json, UtcDateTime, metadata, role_column

# Those that accounts have made; those of plugins are known from their code.
applications = Table(
    "applications",
    metadata,
    Column("id", Id, primary_key=True),
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("title", String(255), nullable=False),
    Column("description", Text, nullable=False, default=""),
    # Which pictures it is for; any where it is null.
    Column("image_type", String(64), nullable=True),
    # [{"key", "operation", "params", "requires": [keys]}]
    Column("steps", Json, nullable=False),
    Column("created_by", Id, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("company_id", "name"),
    Index(None, "company_id", "id"),
)

# An application attached to a dataset: new images are analysed as they come.
application_runs = Table(
    "application_runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    Column("dataset_id", Id, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    # No foreign key: it may be a plugin's.
    Column("application_id", Id, nullable=False),
    # Keys of the steps that are done; a run that is switched off keeps its results.
    Column("steps", Json, nullable=False),
    Column("is_enabled", Boolean, nullable=False, default=True),
    Column("created_by", Id, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # What it was before, oldest first: [{"until", "steps", "is_enabled"}]
    Column("history", Json, nullable=False, default=list),
    # Images that were there when it was attached, up to and with `backfill_until`, are still to be
    # analysed after `backfill_after`; null when all of them are.
    Column("backfill_until", Id, nullable=True),
    Column("backfill_after", Id, nullable=True),
    UniqueConstraint("dataset_id", "application_id"),
    Index(None, "company_id", "id"),
    Index(
        "ix_application_runs_backfill",
        "id",
        sqlite_where=text("backfill_until IS NOT NULL"),
        postgresql_where=text("backfill_until IS NOT NULL"),
    ),
)

# A run's work on one image, from when it is asked for until the last of its analyses has ended.
image_runs = Table(
    "image_runs",
    metadata,
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("run_id", Id, ForeignKey("application_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    # Whether it was asked for when the image came, and not afterwards.
    Column("is_live", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime, nullable=True),
    Index(None, "run_id", "image_id"),
    Index(None, "company_id"),
    # How many images of those that were there before are under way.
    Index(
        "ix_image_runs_backfilling",
        "run_id",
        sqlite_where=text("completed_at IS NULL AND is_live = 0"),
        postgresql_where=text("completed_at IS NULL AND NOT is_live"),
    ),
)

# A number for each version of an operation, for callers who know them by numbers.  Never reused.
operation_numbers = Table(
    "operation_numbers",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("operation", String(255), nullable=False),
    Column("version", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("operation", "version"),
)

# The members of a company reach the linked one, too.
company_links = Table(
    "company_links",
    metadata,
    Column("id", Id, primary_key=True),
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    Column("linked_company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    role_column(),  # the most that anybody may do there by this link
    UniqueConstraint("company_id", "linked_company_id"),
    Index(None, "linked_company_id"),
)

# The last number given of each kind.
counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Integer, nullable=False),
)
