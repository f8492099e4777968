"""Labelled vectors to compare with: collections, their members and classifiers."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from opsin.storage.column_types import Id, Json
from opsin.storage.tables.columns import id_column, metadata, reference, time_column

collections = Table(
    "collections",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    # How callers name it: chosen by them, also a plain number.
    Column("key", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, default=""),
    # [{"operation", "target", "face_context", "params"}]: how its members were embedded
    Column("inputs", Json, nullable=False),
    time_column("created_at"),
    time_column("updated_at"),
    UniqueConstraint("company_id", "key"),
    Index(None, "company_id", "id"),
)

collection_members = Table(
    "collection_members",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    reference("collection_id", "collections"),
    Column("label", String(255), nullable=False),
    # The member's name in the source it came from, e.g. a photo's id.
    Column("source_key", String(255), nullable=True),
    Column("image_id", Id, ForeignKey("images.id", ondelete="SET NULL"), nullable=True),
    Column("attributes", Json, nullable=False, default=dict),
    # The model fingerprint of each input, in the collection's order.
    Column("model_fingerprints", Json, nullable=False),
    Column("dimensions", Integer, nullable=False),
    # float32, little-endian, the inputs' vectors one after the other
    Column("vector", LargeBinary, nullable=False),
    time_column("created_at"),
    Index(None, "collection_id", "label"),
    Index(None, "company_id"),
    Index(None, "image_id"),
)

classifiers = Table(
    "classifiers",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    reference("collection_id", "collections"),
    # sha256 of `document`, the trained numbers and what they were trained on, as JSON text
    Column("digest", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Column("score", Float(53), nullable=True),
    Column("metrics", Json, nullable=False, default=dict),
    Column("is_best", Boolean, nullable=False, default=False),
    time_column("created_at"),
    Index(None, "collection_id", "id"),
    Index(None, "company_id"),
)
