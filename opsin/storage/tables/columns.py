"""What tables are made of: the metadata that knows them all, and columns that come often."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, MetaData, String

from opsin.storage.column_types import Id, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[str]:
    """UUIDv7, the primary key."""
    return Column("id", Id, primary_key=True)


def reference(name: str, target: str, *, nullable: bool = False) -> Column[Any]:
    """Another table's row, with which this one goes."""
    return Column(name, Id, ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=nullable)


def time_column(name: str, *, nullable: bool = False) -> Column[datetime]:
    """A moment, in UTC."""
    return Column(name, UtcDateTime, nullable=nullable)


def role_column() -> Column[str]:
    """What somebody may do in the whole company; NULL: only what is said of single datasets."""
    return Column("role", String(16), nullable=True, default="admin", server_default="admin")
