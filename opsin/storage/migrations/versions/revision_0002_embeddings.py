"""Embeddings, collections, classifiers, and keys that results and files are found by."""

import logging

import sqlalchemy as sa
from alembic import op

log = logging.getLogger(__name__)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(length=36).with_variant(sa.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)
INDEXED_DIMENSIONS = (384, 512, 768, 1024, 1536)
DONE = sa.text("status = 'COMPLETED' AND result_key IS NOT NULL")


def upgrade() -> None:
    op.add_column("analyses", sa.Column("result_key", sa.String(length=64), nullable=True))
    op.add_column(
        "analyses", sa.Column("reuse", sa.Boolean(), server_default=sa.true(), nullable=False)
    )
    op.create_index(
        "ix_analyses_result_key",
        "analyses",
        ["result_key", "company_id", "id"],
        sqlite_where=DONE,
        postgresql_where=DONE,
    )
    # The sweeper asks of each blob whether an artifact names it.
    op.create_index("ix_artifacts_sha256", "artifacts", ["sha256"])
    op.create_table(
        "embeddings",
        sa.Column("analysis_id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("space", sa.String(length=64), nullable=False),
        sa.Column("operation", sa.String(length=255), nullable=False),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("model_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        _reference("embeddings", "analysis_id", "analyses"),
        _reference("embeddings", "company_id", "companies"),
        _reference("embeddings", "dataset_id", "datasets"),
        _reference("embeddings", "image_id", "images"),
        sa.PrimaryKeyConstraint("analysis_id", name=op.f("pk_embeddings")),
    )
    op.create_index(
        "ix_embeddings_scope",
        "embeddings",
        ["company_id", "space", "target", "dimensions", "analysis_id", "image_id"],
    )
    op.create_index(
        "ix_embeddings_image_id_space_target_analysis_id",
        "embeddings",
        ["image_id", "space", "target", "analysis_id"],
    )
    op.create_index("ix_embeddings_dataset_id", "embeddings", ["dataset_id"])
    if op.get_bind().dialect.name == "postgresql":
        _store_vectors_for_postgresql()

    op.create_table(
        "collections",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("inputs", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        _reference("collections", "company_id", "companies"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
        sa.UniqueConstraint("company_id", "key", name=op.f("uq_collections_company_id_key")),
    )
    op.create_index("ix_collections_company_id_id", "collections", ["company_id", "id"])

    op.create_table(
        "collection_members",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("collection_id", ID, nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("source_key", sa.String(length=255), nullable=True),
        sa.Column("image_id", ID, nullable=True),
        sa.Column("attributes", JSON, nullable=False),
        sa.Column("model_fingerprints", JSON, nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        _reference("collection_members", "company_id", "companies"),
        _reference("collection_members", "collection_id", "collections"),
        _reference("collection_members", "image_id", "images", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection_members")),
    )
    op.create_index(
        "ix_collection_members_collection_id_label",
        "collection_members",
        ["collection_id", "label"],
    )
    op.create_index("ix_collection_members_company_id", "collection_members", ["company_id"])
    op.create_index("ix_collection_members_image_id", "collection_members", ["image_id"])

    op.create_table(
        "classifiers",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("collection_id", ID, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=True),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("is_best", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        _reference("classifiers", "company_id", "companies"),
        _reference("classifiers", "collection_id", "collections"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classifiers")),
    )
    op.create_index("ix_classifiers_collection_id_id", "classifiers", ["collection_id", "id"])
    op.create_index("ix_classifiers_company_id", "classifiers", ["company_id"])


def downgrade() -> None:
    for table in ("classifiers", "collection_members", "collections", "embeddings"):
        op.drop_table(table)
    op.drop_index("ix_artifacts_sha256", "artifacts")
    op.drop_index("ix_analyses_result_key", "analyses")
    op.drop_column("analyses", "reuse")
    op.drop_column("analyses", "result_key")


def _store_vectors_for_postgresql() -> None:
    """Vectors outside their rows and not compressed; with pgvector, once more, for its indexes."""
    op.execute("ALTER TABLE embeddings ALTER COLUMN vector SET STORAGE EXTERNAL")
    if not _has_pgvector(op.get_bind()):
        return
    # Of any length; each index holds the vectors of one.
    op.execute("ALTER TABLE embeddings ADD COLUMN indexed vector")
    for dimensions in INDEXED_DIMENSIONS:
        op.execute(
            f"CREATE INDEX ix_embeddings_indexed_{dimensions} ON embeddings"
            f" USING hnsw ((indexed::vector({dimensions})) vector_cosine_ops)"
            f" WHERE dimensions = {dimensions}"
        )


def _has_pgvector(connection: sa.Connection) -> bool:
    """Whether pgvector can be used, after creating it where that is possible and allowed."""
    installed = sa.text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    if connection.scalar(installed) is None:
        try:
            with connection.begin_nested():
                connection.execute(sa.text("CREATE EXTENSION vector"))
        except sa.exc.DBAPIError as error:
            log.info("searching embeddings without pgvector: %s", error.orig)
            return False
    version = str(connection.scalar(installed)).split(".")
    # 0.8 goes on searching where a filter takes away too much of what an index finds.
    recent = [int(part) for part in version[:2]] >= [0, 8]
    return recent and connection.scalar(sa.text("SELECT to_regtype('vector')")) is not None


def _reference(
    table: str, column: str, target: str, ondelete: str = "CASCADE"
) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete
    )
