"""Names of those who classified images; metadata of datasets that are numbers keep their digits."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CLASSIFICATIONS = sa.table(
    "image_classifications", sa.column("created_by"), sa.column("created_by_name")
)
_NAMES = {"accounts": "email", "api_keys": "name"}


def upgrade() -> None:
    name = sa.Column("created_by_name", sa.String(length=320), nullable=True)
    op.add_column("image_classifications", name)
    for table, column in _NAMES.items():
        other = sa.table(table, sa.column("id"), sa.column(column))
        found = sa.select(other.c[column]).where(other.c.id == _CLASSIFICATIONS.c.created_by)
        op.execute(
            sa.update(_CLASSIFICATIONS)
            .where(sa.exists().where(other.c.id == _CLASSIFICATIONS.c.created_by))
            .values(created_by_name=found.scalar_subquery())
        )
    # A column of the type JSON makes rounded numbers of texts that are numbers, on SQLite.
    _retype(sa.JSON(none_as_null=True), sa.Text())


def downgrade() -> None:
    _retype(sa.Text(), sa.JSON(none_as_null=True))
    op.drop_column("image_classifications", "created_by_name")


def _retype(old: sa.types.TypeEngine[Any], new: sa.types.TypeEngine[Any]) -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    with op.batch_alter_table("dataset_metadata") as table:
        table.alter_column("value", existing_type=old, type_=new, existing_nullable=True)
