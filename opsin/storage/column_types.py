"""Types of columns, for SQLite and PostgreSQL alike."""

from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, String, TypeDecorator
from sqlalchemy.dialects.postgresql import UUID


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; ISO text with microseconds and `Z`-less on SQLite, so that it sorts."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


Id = String(36).with_variant(UUID(as_uuid=False), "postgresql")
# Text, not `jsonb`, on PostgreSQL: key order and every digit of a number come back as they went in.
Json = JSON(none_as_null=True)
# SQLite keeps texts of any length, and cannot alter a column that was declared shorter.
Name = String(512).with_variant(String(255), "sqlite")
# SQLite autoincrements INTEGER PRIMARY KEY only.
Sequence = BigInteger().with_variant(Integer, "sqlite")
