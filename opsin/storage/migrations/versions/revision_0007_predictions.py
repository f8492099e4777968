"""Answers that were given at once: their records, their scores, and who asked how often."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.String(length=36).with_variant(sa.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("record", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        _of_company("predictions"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_predictions")),
    )
    op.create_index(
        op.f("ix_predictions_company_id_source_id"), "predictions", ["company_id", "source", "id"]
    )
    op.create_table(
        "drift_windows",
        sa.Column("id", ID, nullable=False),
        sa.Column("company_id", ID, nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("scores", JSON, nullable=False),
        sa.Column("probabilities", JSON, nullable=False),
        sa.Column("alarms", sa.Integer(), nullable=False),
        sa.Column("is_alarmed", sa.Boolean(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        _of_company("drift_windows"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_windows")),
        sa.UniqueConstraint(
            "company_id", "source", name=op.f("uq_drift_windows_company_id_source")
        ),
    )
    op.create_table(
        "rate_limits",
        sa.Column("id", sa.String(length=96), nullable=False),
        sa.Column("accepted", JSON, nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_limits")),
    )
    op.create_index(op.f("ix_rate_limits_expires_at"), "rate_limits", ["expires_at"])


def downgrade() -> None:
    for table in ("rate_limits", "drift_windows", "predictions"):
        op.drop_table(table)


def _of_company(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["company_id"],
        ["companies.id"],
        name=op.f(f"fk_{table}_company_id_companies"),
        ondelete="CASCADE",
    )
