"""Annotations with an ordering are found in its order.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_annotations_ordering",
        "annotations",
        ["analysis_id", "ordering", "id"],
        sqlite_where=sa.text("ordering IS NOT NULL"),
        postgresql_where=sa.text("ordering IS NOT NULL"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Answers live for a day; compressing one takes longer than making it.
        op.execute("ALTER TABLE signed_answers ALTER COLUMN body SET STORAGE EXTERNAL")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE signed_answers ALTER COLUMN body SET STORAGE EXTENDED")
    op.drop_index("ix_annotations_ordering", "annotations")
