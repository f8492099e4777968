"""Members, soft deletion, labels, comments, metadata, uploads and remembered answers."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.String(length=36).with_variant(sa.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)

ADDED: dict[str, list[sa.Column[Any]]] = {
    "images": [
        sa.Column("uploaded_by", sa.String(length=320), nullable=True),
        sa.Column("updated_at", TIME, nullable=True),
        sa.Column("deleted_at", TIME, nullable=True),
        sa.Column("deleted_by", sa.String(length=320), nullable=True),
        sa.Column("deletion_reason", sa.Text(), nullable=True),
        sa.Column("pending_hard_delete_at", TIME, nullable=True),
        sa.Column("hard_deleted_at", TIME, nullable=True),
        sa.Column("hard_deleted_by", sa.String(length=320), nullable=True),
        sa.Column("storage_deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
    ],
    "datasets": [sa.Column("group_name", sa.String(length=255), nullable=True)],
    "analyses": [sa.Column("requested_by", ID, nullable=True)],
}


def upgrade() -> None:
    for table, columns in ADDED.items():
        for column in columns:
            op.add_column(table, column)
    op.create_index("ix_images_pending_hard_delete_at", "images", ["pending_hard_delete_at"])
    _create(
        "memberships",
        _reference("company_id"),
        _reference("account_id"),
        _time("created_at"),
        unique=["account_id", "company_id"],
        indexes=[["company_id"]],
    )
    _create(
        "image_deletions",
        _reference("company_id"),
        _reference("dataset_id"),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=320), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        _time("created_at"),
        indexes=[["dataset_id", "id"], ["company_id"], ["image_id"]],
    )
    _create(
        "image_classes",
        _reference("company_id"),
        _reference("dataset_id"),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        _time("created_at"),
        _time("updated_at", nullable=True),
        indexes=[["dataset_id", "id"], ["company_id"]],
    )
    _create(
        "image_classifications",
        _reference("company_id"),
        _reference("image_id"),
        _reference("class_id"),
        sa.Column("created_by", ID, nullable=False),
        _time("created_at"),
        indexes=[["image_id", "id"], ["class_id"], ["company_id"]],
    )
    _create(
        "image_comments",
        _reference("company_id"),
        _reference("image_id"),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author_id", ID, nullable=False),
        sa.Column("author_name", sa.String(length=320), nullable=False),
        _time("created_at"),
        _time("updated_at", nullable=True),
        indexes=[["image_id", "id"], ["company_id"]],
    )
    _create(
        "dataset_metadata",
        _reference("company_id"),
        _reference("dataset_id"),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("value", JSON, nullable=True),
        _time("created_at"),
        _time("updated_at", nullable=True),
        unique=["dataset_id", "key"],
        indexes=[["company_id"]],
    )
    _create(
        "uploads",
        _reference("company_id"),
        _reference("analysis_id"),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        _time("created_at"),
        _time("expires_at"),
        _time("finished_at", nullable=True),
        indexes=[["analysis_id", "id"], ["company_id"], ["expires_at"]],
    )
    _create(
        "signed_answers",
        sa.Column("company_id", ID, nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("content_type", sa.String(length=255), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        _time("created_at"),
        _time("expires_at"),
        unique=["digest"],
        indexes=[["expires_at"], ["company_id"]],
    )


def downgrade() -> None:
    for table in (
        "signed_answers",
        "uploads",
        "dataset_metadata",
        "image_comments",
        "image_classifications",
        "image_classes",
        "image_deletions",
        "memberships",
    ):
        op.drop_table(table)
    op.drop_index("ix_images_pending_hard_delete_at", "images")
    for table, columns in ADDED.items():
        for column in columns:
            op.drop_column(table, column.name)


_TARGETS = {
    "company_id": "companies",
    "account_id": "accounts",
    "dataset_id": "datasets",
    "image_id": "images",
    "class_id": "image_classes",
    "analysis_id": "analyses",
}
_LOOSE = {("image_deletions", "image_id")}


def _create(
    table: str,
    *columns: sa.Column[Any],
    unique: list[str] | None = None,
    indexes: list[list[str]],
) -> None:
    """A table with an id, foreign keys for its references, and its indexes."""
    references = [
        sa.ForeignKeyConstraint(
            [column.name],
            [f"{_TARGETS[column.name]}.id"],
            name=op.f(f"fk_{table}_{column.name}"),
            ondelete="CASCADE",
        )
        for column in columns
        if column.name in _TARGETS and (table, column.name) not in _LOOSE
    ]
    constraints: list[sa.Constraint] = [
        *references,
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    ]
    if unique:
        name = op.f(f"uq_{table}_{'_'.join(unique)}")
        constraints.append(sa.UniqueConstraint(*unique, name=name))
    op.create_table(table, sa.Column("id", ID, nullable=False), *columns, *constraints)
    for names in indexes:
        op.create_index(f"ix_{table}_{'_'.join(names)}", table, names)


def _reference(name: str) -> sa.Column[Any]:
    return sa.Column(name, ID, nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, TIME, nullable=nullable)
