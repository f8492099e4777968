"""Applications and their runs, sign-in, subjects in full, capture, retention.

Revision ID: 0008
Revises: 0007
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.String(length=36).with_variant(sa.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)

_WHERE_RUN = sa.text("run_id IS NOT NULL")
_WHERE_SESSION = sa.text("kind = 'session'")
_WHERE_DELETED = sa.text("deleted_at IS NOT NULL")
_WHERE_BACKFILL = sa.text("backfill_until IS NOT NULL")


def upgrade() -> None:
    for table, columns in _new_columns().items():
        for column in columns:
            op.add_column(table, column)
    if op.get_bind().dialect.name == "postgresql":
        for table in ("datasets", "subjects"):
            op.alter_column(table, "name", type_=sa.String(length=512))
    op.execute("UPDATE images SET taken_at = created_at")
    # Numbers in the order in which the accounts were made.
    op.execute(
        "UPDATE accounts SET number = "
        "(SELECT count(*) FROM accounts AS earlier WHERE earlier.id <= accounts.id)"
    )
    op.create_index(op.f("ix_accounts_number"), "accounts", ["number"], unique=True)
    op.create_index(op.f("ix_api_keys_account_id"), "api_keys", ["account_id"])
    op.create_index(op.f("ix_api_keys_number"), "api_keys", ["number"], unique=True)
    op.create_index(op.f("ix_api_keys_refresh_sha256"), "api_keys", ["refresh_sha256"], unique=True)
    op.create_index(
        "ix_api_keys_sessions",
        "api_keys",
        ["refresh_until"],
        sqlite_where=_WHERE_SESSION,
        postgresql_where=_WHERE_SESSION,
    )
    op.create_index(
        op.f("ix_images_subject_id_taken_at_id"), "images", ["subject_id", "taken_at", "id"]
    )
    op.create_index(
        "ix_analyses_run",
        "analyses",
        ["run_id", "image_id"],
        sqlite_where=_WHERE_RUN,
        postgresql_where=_WHERE_RUN,
    )
    for table in ("datasets", "subjects"):
        op.create_index(
            f"ix_{table}_deleted",
            table,
            ["deleted_at"],
            sqlite_where=_WHERE_DELETED,
            postgresql_where=_WHERE_DELETED,
        )
    _create_tables()
    op.execute(
        "INSERT INTO counters (name, value) "
        "SELECT 'account', coalesce(max(number), 0) FROM accounts"
    )


def _new_columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "accounts": [
            sa.Column("number", sa.Integer(), nullable=True),
            sa.Column("full_name", sa.String(length=255), nullable=False, server_default=""),
            sa.Column("password_hash", sa.Text(), nullable=True),
        ],
        "api_keys": [
            sa.Column("kind", sa.String(length=16), nullable=False, server_default="key"),
            sa.Column("number", sa.Integer(), nullable=True),
            sa.Column("expires_at", TIME, nullable=True),
            sa.Column("session_id", ID, nullable=True),
            sa.Column("refresh_sha256", sa.String(length=64), nullable=True),
            sa.Column("refresh_until", TIME, nullable=True),
        ],
        "datasets": [
            sa.Column("image_type", sa.String(length=64), nullable=True),
            sa.Column("expire_files_after_days", sa.Integer(), nullable=True),
            sa.Column("expire_results_after_days", sa.Integer(), nullable=True),
            sa.Column(
                "delete_files_when_ready", sa.Boolean(), nullable=False, server_default=sa.false()
            ),
            sa.Column("branding", sa.Integer(), nullable=True),
            sa.Column("deleted_at", TIME, nullable=True),
        ],
        "subjects": [
            sa.Column("birth_date", sa.Date(), nullable=True),
            sa.Column("sex", sa.String(length=32), nullable=True),
            sa.Column("created_by", ID, nullable=True),
            sa.Column("updated_at", TIME, nullable=True),
            sa.Column("deleted_at", TIME, nullable=True),
        ],
        "batches": [sa.Column("taken_at", TIME, nullable=True)],
        "images": [
            sa.Column("side", sa.String(length=64), nullable=True),
            sa.Column("light", sa.String(length=64), nullable=True),
            sa.Column("taken_at", TIME, nullable=True),
            sa.Column("results_deleted_at", TIME, nullable=True),
        ],
        "analyses": [sa.Column("run_id", ID, nullable=True)],
    }


def _create_tables() -> None:
    op.create_table(
        "applications",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("image_type", sa.String(length=64), nullable=True),
        sa.Column("steps", JSON, nullable=False),
        sa.Column("created_by", ID, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        _reference("applications", "company_id", "companies"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_applications")),
        sa.UniqueConstraint("company_id", "name", name=op.f("uq_applications_company_id_name")),
    )
    op.create_index(op.f("ix_applications_company_id_id"), "applications", ["company_id", "id"])
    op.create_table(
        "application_runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("application_id", ID, nullable=False),
        sa.Column("steps", JSON, nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_by", ID, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("history", JSON, nullable=False),
        sa.Column("backfill_until", ID, nullable=True),
        sa.Column("backfill_after", ID, nullable=True),
        _reference("application_runs", "company_id", "companies"),
        _reference("application_runs", "dataset_id", "datasets"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application_runs")),
        sa.UniqueConstraint(
            "dataset_id",
            "application_id",
            name=op.f("uq_application_runs_dataset_id_application_id"),
        ),
    )
    op.create_index(
        op.f("ix_application_runs_company_id_id"), "application_runs", ["company_id", "id"]
    )
    op.create_index(
        "ix_application_runs_backfill",
        "application_runs",
        ["id"],
        sqlite_where=_WHERE_BACKFILL,
        postgresql_where=_WHERE_BACKFILL,
    )
    op.create_table(
        "image_runs",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("is_live", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("completed_at", TIME, nullable=True),
        _reference("image_runs", "image_id", "images"),
        _reference("image_runs", "run_id", "application_runs"),
        _reference("image_runs", "company_id", "companies"),
        sa.PrimaryKeyConstraint("image_id", "run_id", name=op.f("pk_image_runs")),
    )
    op.create_index(op.f("ix_image_runs_run_id_image_id"), "image_runs", ["run_id", "image_id"])
    op.create_index(op.f("ix_image_runs_company_id"), "image_runs", ["company_id"])
    op.create_index(
        "ix_image_runs_backfilling",
        "image_runs",
        ["run_id"],
        sqlite_where=sa.text("completed_at IS NULL AND is_live = 0"),
        postgresql_where=sa.text("completed_at IS NULL AND NOT is_live"),
    )
    op.create_table(
        "operation_numbers",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("operation", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=100), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_operation_numbers")),
        sa.UniqueConstraint(
            "operation", "version", name=op.f("uq_operation_numbers_operation_version")
        ),
    )
    op.create_table(
        "company_links",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("linked_company_id", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        _reference("company_links", "company_id", "companies"),
        _reference("company_links", "linked_company_id", "companies"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_company_links")),
        sa.UniqueConstraint(
            "company_id",
            "linked_company_id",
            name=op.f("uq_company_links_company_id_linked_company_id"),
        ),
    )
    op.create_index(
        op.f("ix_company_links_linked_company_id"), "company_links", ["linked_company_id"]
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )


def downgrade() -> None:
    for table in (
        "counters",
        "company_links",
        "operation_numbers",
        "image_runs",
        "application_runs",
        "applications",
    ):
        op.drop_table(table)
    for index, table in (
        ("ix_subjects_deleted", "subjects"),
        ("ix_datasets_deleted", "datasets"),
        ("ix_analyses_run", "analyses"),
        ("ix_images_subject_id_taken_at_id", "images"),
        ("ix_api_keys_sessions", "api_keys"),
        ("ix_api_keys_refresh_sha256", "api_keys"),
        ("ix_api_keys_number", "api_keys"),
        ("ix_api_keys_account_id", "api_keys"),
        ("ix_accounts_number", "accounts"),
    ):
        op.drop_index(index, table)
    for table, columns in _new_columns().items():
        for column in columns:
            op.drop_column(table, column.name)
    # Names stay as long as they have become.


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{target}.id"],
        name=op.f(f"fk_{table}_{column}_{target}"),
        ondelete="CASCADE",
    )
