"""What was found in pictures: analyses and what belongs to them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
    true,
)

from opsin.storage.column_types import Id, Json
from opsin.storage.tables.columns import id_column, metadata, reference, time_column

STATUSES = ("QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED")

analyses = Table(
    "analyses",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    reference("dataset_id", "datasets"),
    reference("image_id", "images"),
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
    time_column("lease_until", nullable=True),
    time_column("available_at"),
    time_column("created_at"),
    time_column("started_at", nullable=True),
    time_column("completed_at", nullable=True),
    time_column("updated_at"),
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
    id_column(),
    reference("company_id", "companies"),
    reference("analysis_id", "analyses"),
    Column("annotation_type", String(50), nullable=False),
    Column("class_name", String(255), nullable=True),
    Column("confidence", Float(53), nullable=True),
    Column("data", Json, nullable=False),
    Column("storage_path", String(1024), nullable=True),
    Column("ordering", Integer, nullable=True),
    time_column("created_at"),
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
    id_column(),
    reference("company_id", "companies"),
    reference("analysis_id", "analyses"),
    Column("name", String(255), nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("storage_path", String(1024), nullable=False),
    Column("size_bytes", BigInteger, nullable=True),
    Column("sha256", String(64), nullable=True),
    time_column("created_at"),
    time_column("stored_at", nullable=True),
    time_column("expires_at", nullable=True),
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
    reference("company_id", "companies"),
    reference("dataset_id", "datasets"),
    reference("image_id", "images"),
    # Vectors can be compared within one space: operation, version, model fingerprint, hashed.
    Column("space", String(64), nullable=False),
    Column("operation", String(255), nullable=False),
    Column("target", String(32), nullable=False),
    Column("model_fingerprint", String(64), nullable=False),
    Column("dimensions", Integer, nullable=False),
    # float32, little-endian, as the model gave them; `opsin.storage.vectors` knows of a second copy
    Column("vector", LargeBinary, nullable=False),
    time_column("created_at"),
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
