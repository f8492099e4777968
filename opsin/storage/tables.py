"""Every table, for SQLite and PostgreSQL alike.

Ids are UUIDv7 as text (native `uuid` on PostgreSQL), so ordering by id is ordering by creation.
Times are UTC.  Every row that a caller can reach carries `company_id`, its tenant.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from opsin.storage.column_types import Id, Json, Name, Sequence, UtcDateTime

__all__ = ["Id", "Json", "UtcDateTime"]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", Id, primary_key=True)


def _reference(name: str, target: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Id, ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, UtcDateTime, nullable=nullable)


def role_column() -> Column[str]:
    """What somebody may do in the whole company; NULL: only what is said of single datasets."""
    return Column("role", String(16), nullable=True, default="admin", server_default="admin")


companies = Table(
    "companies",
    metadata,
    _id(),
    Column("name", String(255), nullable=False, unique=True),
    _time("created_at"),
)

accounts = Table(
    "accounts",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    Column("email", String(320), nullable=False, unique=True),
    Column("is_active", Boolean, nullable=False, default=True),
    _time("created_at"),
    # For callers who know people by a number.
    Column("number", Integer, nullable=True),
    Column("full_name", String(255), nullable=False, default="", server_default=""),
    # Argon2id, with its parameters and salt; none for those whom somebody else lets in.
    Column("password_hash", Text, nullable=True),
    role_column(),  # in their own company
    Index(None, "company_id"),
    Index(None, "number", unique=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("account_id", "accounts", nullable=True),
    Column("name", String(255), nullable=False),
    Column("prefix", String(16), nullable=False, unique=True),
    Column("secret_sha256", String(64), nullable=False),
    _time("created_at"),
    _time("last_used_at", nullable=True),
    _time("revoked_at", nullable=True),
    # "key" of a company, "private" of an account for all companies it reaches, or "session".
    Column("kind", String(16), nullable=False, default="key", server_default="key"),
    Column("number", Integer, nullable=True),
    _time("expires_at", nullable=True),
    # Of a session: the same for all tokens that it has had since somebody signed in.
    Column("session_id", Id, nullable=True),
    # What a session is renewed with, once.
    Column("refresh_sha256", String(64), nullable=True),
    _time("refresh_until", nullable=True),
    role_column(),  # of a company's key; tokens of an account may do what the account may
    Index(None, "company_id", "id"),
    Index(None, "account_id"),
    Index(None, "number", unique=True),
    Index(None, "refresh_sha256", unique=True),
    Index(
        "ix_api_keys_sessions",
        "refresh_until",
        sqlite_where=text("kind = 'session'"),
        postgresql_where=text("kind = 'session'"),
    ),
)

datasets = Table(
    "datasets",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    Column("name", Name, nullable=False),
    Column("description", Text, nullable=False, default=""),
    _time("created_at"),
    _time("updated_at"),
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
    _time("deleted_at", nullable=True),
    Index(None, "company_id", "id"),
    Index(
        "ix_datasets_deleted",
        "deleted_at",
        sqlite_where=text("deleted_at IS NOT NULL"),
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
)

# What an account, or a company's key, may do in one dataset beside what its role gives it anyway.
dataset_roles = Table(
    "dataset_roles",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    _reference("account_id", "accounts", nullable=True),
    _reference("key_id", "api_keys", nullable=True),
    Column("role", String(16), nullable=False),
    _time("created_at"),
    UniqueConstraint("account_id", "dataset_id"),
    UniqueConstraint("key_id", "dataset_id"),
    Index(None, "dataset_id"),
    Index(None, "company_id"),
)

subjects = Table(
    "subjects",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    Column("name", Name, nullable=False),
    Column("attributes", Json, nullable=False, default=dict),
    _time("created_at"),
    Column("birth_date", Date, nullable=True),
    # "male", "female", ...: see `opsin.core.capture`
    Column("sex", String(32), nullable=True),
    # The account that made it.
    Column("created_by", Id, nullable=True),
    _time("updated_at", nullable=True),
    # As a dataset's.
    _time("deleted_at", nullable=True),
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
    _id(),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    _reference("subject_id", "subjects", nullable=True),
    Column("name", String(255), nullable=False, default=""),
    _time("created_at"),
    # When its pictures were taken, as the caller says.
    _time("taken_at", nullable=True),
    Index(None, "company_id", "id"),
    Index(None, "dataset_id", "id"),
    Index(None, "subject_id", "id"),
)

images = Table(
    "images",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    _reference("subject_id", "subjects", nullable=True),
    _reference("batch_id", "batches", nullable=True),
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
    _time("created_at"),
    Column("uploaded_by", String(320), nullable=True),
    _time("updated_at", nullable=True),
    # Soft deletion: the row stays, in no list, until it is restored or its time has come.
    _time("deleted_at", nullable=True),
    Column("deleted_by", String(320), nullable=True),
    Column("deletion_reason", Text, nullable=True),
    _time("pending_hard_delete_at", nullable=True),
    _time("hard_deleted_at", nullable=True),
    Column("hard_deleted_by", String(320), nullable=True),
    # Then the row names its file no more.
    Column("storage_deleted", Boolean, nullable=False, default=False, server_default=false()),
    # Which side of the subject it shows in which light: see `opsin.core.capture`.
    Column("side", String(64), nullable=True),
    Column("light", String(64), nullable=True),
    # When it was taken: as the caller says, else when it came.  Always set.
    _time("taken_at", nullable=True),
    _time("results_deleted_at", nullable=True),
    Index(None, "pending_hard_delete_at"),
    Index(None, "company_id", "id"),
    Index(None, "dataset_id", "id"),
    Index(None, "subject_id", "id"),
    Index(None, "subject_id", "taken_at", "id"),
    Index(None, "batch_id", "id"),
    Index(None, "sha256"),
)

STATUSES = ("QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED")

analyses = Table(
    "analyses",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    _reference("image_id", "images"),
    # An analysis is run here (operation) or told from outside (external); one that was imported
    # from an export is external, and names the operation that made it elsewhere.
    Column("external", Boolean, nullable=False, default=False),
    Column("operation", String(255), nullable=True),
    Column("operation_version", String(100), nullable=True),
    Column("task_id", String(255), nullable=True),
    Column("model_name", String(255), nullable=False),
    Column("model_version", String(100), nullable=False),
    Column("parameters", Json, nullable=True),
    Column("status", String(16), nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("error_code", String(64), nullable=True),
    Column("error_message", Text, nullable=True),
    Column("result_type", String(255), nullable=True),
    Column("result", Json, nullable=True),
    Column("summary", Json, nullable=True),
    Column("provenance", Json, nullable=True),
    Column("attempts", Integer, nullable=False, default=0),
    Column("lease_id", Id, nullable=True),
    _time("lease_until", nullable=True),
    _time("available_at"),
    _time("created_at"),
    _time("started_at", nullable=True),
    _time("completed_at", nullable=True),
    _time("updated_at"),
    # What the result depends on, hashed: an equal key of a completed analysis has the same result.
    Column("result_key", String(64), nullable=True),
    # Whether what was computed before may be its result.
    Column("reuse", Boolean, nullable=False, default=True, server_default=true()),
    # An account, or the API key of none.
    Column("requested_by", Id, nullable=True),
    # The application's run that asked for it; runs go with their dataset only, as analyses do.
    Column("run_id", Id, nullable=True),
    # Where in a trace it was asked, as W3C writes it; NULL where nobody traces.
    Column("traceparent", String(55), nullable=True),
    # How many workers were lost that had it in hand: one of those in their hands may be the reason.
    Column("suspicion", Integer, nullable=False, default=0, server_default=text("0")),
    CheckConstraint(f"status IN {STATUSES}", name="status"),
    CheckConstraint("external OR operation IS NOT NULL", name="kind"),
    Index(None, "company_id", "id"),
    Index(None, "dataset_id", "id"),
    Index(None, "image_id", "id"),
    Index(
        "ix_analyses_result_key",
        "result_key",
        "company_id",
        "id",
        sqlite_where=text("status = 'COMPLETED' AND result_key IS NOT NULL"),
        postgresql_where=text("status = 'COMPLETED' AND result_key IS NOT NULL"),
    ),
    Index(
        "ix_analyses_run",
        "run_id",
        "image_id",
        sqlite_where=text("run_id IS NOT NULL"),
        postgresql_where=text("run_id IS NOT NULL"),
    ),
    Index(
        "ix_analyses_queue",
        text("priority DESC"),
        "id",
        sqlite_where=text("status = 'QUEUED' AND external = 0"),
        postgresql_where=text("status = 'QUEUED' AND NOT external"),
    ),
    Index(
        "ix_analyses_suspects",
        "suspicion",
        "id",
        sqlite_where=text("status = 'QUEUED' AND suspicion > 0"),
        postgresql_where=text("status = 'QUEUED' AND suspicion > 0"),
    ),
    Index(
        "ix_analyses_leases",
        "lease_until",
        sqlite_where=text("status = 'PROCESSING' AND external = 0"),
        postgresql_where=text("status = 'PROCESSING' AND NOT external"),
    ),
)

annotations = Table(
    "annotations",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("analysis_id", "analyses"),
    Column("annotation_type", String(50), nullable=False),
    Column("class_name", String(255), nullable=True),
    Column("confidence", Float(53), nullable=True),
    Column("data", Json, nullable=False),
    Column("storage_path", String(1024), nullable=True),
    Column("ordering", Integer, nullable=True),
    _time("created_at"),
    Index(None, "analysis_id", "id"),
    # Those that are shown before all others; most pipelines give no ordering.
    Index(
        "ix_annotations_ordering",
        "analysis_id",
        "ordering",
        "id",
        sqlite_where=text("ordering IS NOT NULL"),
        postgresql_where=text("ordering IS NOT NULL"),
    ),
)

artifacts = Table(
    "artifacts",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("analysis_id", "analyses"),
    Column("name", String(255), nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("storage_path", String(1024), nullable=False),
    Column("size_bytes", BigInteger, nullable=True),
    Column("sha256", String(64), nullable=True),
    _time("created_at"),
    _time("stored_at", nullable=True),
    _time("expires_at", nullable=True),
    UniqueConstraint("analysis_id", "name"),
    Index(None, "company_id", "id"),
    Index(None, "sha256"),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column(
        "analysis_id",
        Id,
        ForeignKey("analyses.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    _reference("image_id", "images"),
    # Vectors can be compared within one space: operation, version, model fingerprint, hashed.
    Column("space", String(64), nullable=False),
    Column("operation", String(255), nullable=False),
    Column("target", String(32), nullable=False),
    Column("model_fingerprint", String(64), nullable=False),
    Column("dimensions", Integer, nullable=False),
    # float32, little-endian, as the model gave them; `opsin.storage.vectors` knows of a second copy
    Column("vector", LargeBinary, nullable=False),
    _time("created_at"),
    # With all that tells which vectors are compared, so that no row is read to know it.
    Index(
        "ix_embeddings_scope",
        "company_id",
        "space",
        "target",
        "dimensions",
        "analysis_id",
        "image_id",
    ),
    Index(None, "image_id", "space", "target", "analysis_id"),
    Index(None, "dataset_id"),
)

collections = Table(
    "collections",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    # How callers name it: chosen by them, also a plain number.
    Column("key", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, default=""),
    # [{"operation", "target", "face_context", "params"}]: how its members were embedded
    Column("inputs", Json, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    UniqueConstraint("company_id", "key"),
    Index(None, "company_id", "id"),
)

collection_members = Table(
    "collection_members",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("collection_id", "collections"),
    Column("label", String(255), nullable=False),
    # The member's name in the source it came from, e.g. a photo's id.
    Column("source_key", String(255), nullable=True),
    Column("image_id", Id, ForeignKey("images.id", ondelete="SET NULL"), nullable=True),
    Column("attributes", Json, nullable=False, default=dict),
    # The model fingerprint of each input, in the collection's order.
    Column("model_fingerprints", Json, nullable=False),
    Column("dimensions", Integer, nullable=False),
    # float32, little-endian, the inputs' vectors one after the other
    Column("vector", LargeBinary, nullable=False),
    _time("created_at"),
    Index(None, "collection_id", "label"),
    Index(None, "company_id"),
    Index(None, "image_id"),
)

classifiers = Table(
    "classifiers",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("collection_id", "collections"),
    # sha256 of `document`, the trained numbers and what they were trained on, as JSON text
    Column("digest", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Column("score", Float(53), nullable=True),
    Column("metrics", Json, nullable=False, default=dict),
    Column("is_best", Boolean, nullable=False, default=False),
    _time("created_at"),
    Index(None, "collection_id", "id"),
    Index(None, "company_id"),
)

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
    _time("created_at"),
    Index(None, "company_id", "sequence"),
    Index(None, "analysis_id", "sequence"),
    sqlite_autoincrement=True,
)
