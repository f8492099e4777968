"""Where pictures lie: datasets, the subjects and batches in them, and the images."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    String,
    Table,
    Text,
    false,
    text,
)

from opsin.storage.column_types import Id, Json, Name
from opsin.storage.tables.columns import id_column, metadata, reference, time_column

datasets = Table(
    "datasets",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    Column("name", Name, nullable=False),
    Column("description", Text, nullable=False, default=""),
    time_column("created_at"),
    time_column("updated_at"),
    # The group it was made for, where that is not the company's own name.
    Column("group_name", String(255), nullable=True),
    # What its pictures are of and how they are taken: see `opsin.core.capture`.
    Column("image_type", String(64), nullable=True),
    # Retention, counted from when a picture was taken in; never where it is null.
    Column("expire_files_after_days", Integer, nullable=True),
    Column("expire_results_after_days", Integer, nullable=True),
    Column(
        "delete_files_when_ready", Boolean, nullable=False, default=False, server_default=false()
    ),
    # A number that callers keep with it.
    Column("branding", Integer, nullable=True),
    # Then nobody finds it any more; what is in it is removed a part at a time, the row at last.
    time_column("deleted_at", nullable=True),
    Index(None, "company_id", "id"),
    Index(
        "ix_datasets_deleted",
        "deleted_at",
        sqlite_where=text("deleted_at IS NOT NULL"),
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
)

subjects = Table(
    "subjects",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    reference("dataset_id", "datasets"),
    Column("name", Name, nullable=False),
    Column("attributes", Json, nullable=False, default=dict),
    time_column("created_at"),
    Column("birth_date", Date, nullable=True),
    # "male", "female", ...: see `opsin.core.capture`
    Column("sex", String(32), nullable=True),
    # The account that made it.
    Column("created_by", Id, nullable=True),
    time_column("updated_at", nullable=True),
    # As a dataset's.
    time_column("deleted_at", nullable=True),
    Index(None, "company_id", "id"),
    Index(None, "dataset_id", "id"),
    Index(
        "ix_subjects_deleted",
        "deleted_at",
        sqlite_where=text("deleted_at IS NOT NULL"),
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
)

batches = Table(
    "batches",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    reference("dataset_id", "datasets"),
    reference("subject_id", "subjects", nullable=True),
    Column("name", String(255), nullable=False, default=""),
    time_column("created_at"),
    # When its pictures were taken, as the caller says.
    time_column("taken_at", nullable=True),
    # As a dataset's.
    time_column("deleted_at", nullable=True),
    Index(None, "company_id", "id"),
    Index(None, "dataset_id", "id"),
    Index(None, "subject_id", "id"),
    Index(
        "ix_batches_deleted",
        "deleted_at",
        sqlite_where=text("deleted_at IS NOT NULL"),
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
)

images = Table(
    "images",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    reference("dataset_id", "datasets"),
    reference("subject_id", "subjects", nullable=True),
    reference("batch_id", "batches", nullable=True),
    Column("filename", String(255), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False, default=1),
    Column("orientation", Integer, nullable=False, default=1),
    Column("orientation_applied", Boolean, nullable=False, default=True),
    Column("notes", Json, nullable=False, default=list),
    Column("metadata", Json, nullable=False, default=dict),
    time_column("created_at"),
    Column("uploaded_by", String(320), nullable=True),
    time_column("updated_at", nullable=True),
    # Soft deletion: the row stays, in no list, until it is restored or its time has come.
    time_column("deleted_at", nullable=True),
    Column("deleted_by", String(320), nullable=True),
    Column("deletion_reason", Text, nullable=True),
    time_column("pending_hard_delete_at", nullable=True),
    time_column("hard_deleted_at", nullable=True),
    Column("hard_deleted_by", String(320), nullable=True),
    # Then the row names its file no more.
    Column("storage_deleted", Boolean, nullable=False, default=False, server_default=false()),
    # Which side of the subject it shows in which light: see `opsin.core.capture`.
    Column("side", String(64), nullable=True),
    Column("light", String(64), nullable=True),
    # When it was taken: as the caller says, else when it came.  Always set.
    time_column("taken_at", nullable=True),
    time_column("results_deleted_at", nullable=True),
    Index(None, "pending_hard_delete_at"),
    Index(None, "company_id", "id"),
    Index(None, "dataset_id", "id"),
    Index(None, "subject_id", "id"),
    Index(None, "subject_id", "taken_at", "id"),
    Index(None, "batch_id", "id"),
    Index(None, "sha256"),
)
