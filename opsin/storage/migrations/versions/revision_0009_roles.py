"""Roles of people and keys, per company and per dataset, and the audit.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

from opsin.storage.audit_guard import guards

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ID = sa.String(length=36).with_variant(sa.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    # Whoever was let in until now could do everything, and goes on so.
    for table in ("accounts", "memberships", "company_links", "api_keys"):
        op.add_column(
            table, sa.Column("role", sa.String(length=16), server_default="admin", nullable=True)
        )
    for name in ("account_id", "key_id"):
        op.add_column("webhooks", sa.Column(name, ID, nullable=True))
    op.add_column("analyses", sa.Column("traceparent", sa.String(length=55), nullable=True))
    op.add_column(
        "analyses",
        sa.Column("suspicion", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    suspected = sa.text("status = 'QUEUED' AND suspicion > 0")
    op.create_index(
        "ix_analyses_suspects",
        "analyses",
        ["suspicion", "id"],
        sqlite_where=suspected,
        postgresql_where=suspected,
    )
    op.add_column("batches", sa.Column("deleted_at", TIME, nullable=True))
    deleted = sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "ix_batches_deleted",
        "batches",
        ["deleted_at"],
        sqlite_where=deleted,
        postgresql_where=deleted,
    )
    op.create_index(op.f("ix_events_dataset_id_sequence"), "events", ["dataset_id", "sequence"])
    failed = sa.text("status = 'FAILED'")
    op.create_index(
        "ix_webhook_deliveries_failed",
        "webhook_deliveries",
        ["webhook_id"],
        sqlite_where=failed,
        postgresql_where=failed,
    )
    op.create_table(
        "dataset_roles",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=True),
        sa.Column("key_id", ID, nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"],
            ["companies.id"],
            name=op.f("fk_dataset_roles_company_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name=op.f("fk_dataset_roles_dataset_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_dataset_roles_account_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["api_keys.id"], name=op.f("fk_dataset_roles_key_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_roles")),
        sa.UniqueConstraint(
            "account_id", "dataset_id", name=op.f("uq_dataset_roles_account_id_dataset_id")
        ),
        sa.UniqueConstraint(
            "key_id", "dataset_id", name=op.f("uq_dataset_roles_key_id_dataset_id")
        ),
    )
    op.create_index(op.f("ix_dataset_roles_dataset_id"), "dataset_roles", ["dataset_id"])
    op.create_index(op.f("ix_dataset_roles_company_id"), "dataset_roles", ["company_id"])
    op.create_table(
        "audit_entries",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("actor_kind", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.String(length=36), nullable=True),
        sa.Column("key_id", ID, nullable=True),
        sa.Column("actor_name", sa.String(length=320), nullable=False),
        sa.Column("subject_kind", sa.String(length=32), nullable=True),
        sa.Column("subject_id", sa.String(length=255), nullable=True),
        sa.Column("dataset_id", ID, nullable=True),
        sa.Column("details", JSON, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_audit_entries_company_id_id"), "audit_entries", ["company_id", "id"])
    op.create_index(
        op.f("ix_audit_entries_company_id_subject_id_id"),
        "audit_entries",
        ["company_id", "subject_id", "id"],
    )
    op.create_index(
        op.f("ix_audit_entries_company_id_dataset_id_id"),
        "audit_entries",
        ["company_id", "dataset_id", "id"],
    )
    op.create_index(
        op.f("ix_audit_entries_company_id_actor_id_id"),
        "audit_entries",
        ["company_id", "actor_id", "id"],
    )
    op.create_table(
        "audit_horizon",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kept_from", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_horizon")),
    )
    for guard in guards(op.get_bind().dialect.name):
        op.execute(guard)


def downgrade() -> None:
    op.drop_table("audit_entries")
    op.drop_table("audit_horizon")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION guard_audit()")
    op.drop_table("dataset_roles")
    op.drop_index("ix_events_dataset_id_sequence", "events")
    op.drop_index("ix_batches_deleted", "batches")
    op.drop_column("batches", "deleted_at")
    op.drop_index("ix_webhook_deliveries_failed", "webhook_deliveries")
    op.drop_index("ix_analyses_suspects", "analyses")
    op.drop_column("analyses", "suspicion")
    op.drop_column("analyses", "traceparent")
    for name in ("key_id", "account_id"):
        op.drop_column("webhooks", name)
    for table in ("api_keys", "company_links", "memberships", "accounts"):
        op.drop_column(table, "role")
