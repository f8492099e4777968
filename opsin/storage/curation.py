"""Tables of what people and pipelines keep around images: members, labels, comments, uploads."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from opsin.storage.json_text import dump_json, load_json
from opsin.storage.tables import Id, UtcDateTime, metadata, role_column


class _JsonText(TypeDecorator[Any]):
    """JSON as text, None as NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else dump_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else load_json(value)


# SQLite makes a rounded number of a JSON text that is one, unless the column's type says text.
AnyJson = JSON(none_as_null=True).with_variant(_JsonText(), "sqlite")


def _id() -> Column[str]:
    return Column("id", Id, primary_key=True)


def _reference(name: str, target: str) -> Column[str]:
    return Column(name, Id, ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=False)


# An account reaches its own company, and every other that it is a member of.
memberships = Table(
    "memberships",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("account_id", "accounts"),
    Column("created_at", UtcDateTime, nullable=False),
    role_column(),
    UniqueConstraint("account_id", "company_id"),
    Index(None, "company_id"),
)

# No foreign key to images: the list outlives what it tells of.
image_deletions = Table(
    "image_deletions",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    Column("image_id", Id, nullable=False),
    Column("filename", String(255), nullable=False),
    Column("action", String(32), nullable=False),
    Column("actor", String(320), nullable=False),
    Column("reason", Text, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "dataset_id", "id"),
    Index(None, "company_id"),
    Index(None, "image_id"),
)

image_classes = Table(
    "image_classes",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=True),
    Index(None, "dataset_id", "id"),
    Index(None, "company_id"),
)

image_classifications = Table(
    "image_classifications",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("image_id", "images"),
    _reference("class_id", "image_classes"),
    Column("created_by", Id, nullable=False),
    Column("created_by_name", String(320), nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "image_id", "id"),
    Index(None, "class_id"),
    Index(None, "company_id"),
)

image_comments = Table(
    "image_comments",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("image_id", "images"),
    Column("text", Text, nullable=False),
    Column("author_id", Id, nullable=False),
    Column("author_name", String(320), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=True),
    Index(None, "image_id", "id"),
    Index(None, "company_id"),
)

dataset_metadata = Table(
    "dataset_metadata",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("dataset_id", "datasets"),
    Column("key", String(255), nullable=False),
    Column("value", AnyJson, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=True),
    UniqueConstraint("dataset_id", "key"),
    Index(None, "company_id"),
)

# A file that somebody may send until `expires_at`; it becomes an artifact when it has come.
uploads = Table(
    "uploads",
    metadata,
    _id(),
    _reference("company_id", "companies"),
    _reference("analysis_id", "analyses"),
    Column("name", String(255), nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("max_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime, nullable=True),
    Index(None, "analysis_id", "id"),
    Index(None, "company_id"),
    Index(None, "expires_at"),
)

# What was answered to a signed request whose signature holds no time; `digest` tells the request.
signed_answers = Table(
    "signed_answers",
    metadata,
    _id(),
    # None until the request is known to be about something of a company.
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("status", Integer, nullable=True),
    Column("content_type", String(255), nullable=True),
    Column("body", LargeBinary, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
    Index(None, "company_id"),
)
