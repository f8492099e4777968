"""Who there is: companies, their people and keys, and what these may do."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from opsin.storage.column_types import Id
from opsin.storage.tables.columns import id_column, metadata, reference, role_column, time_column

companies = Table(
    "companies",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False, unique=True),
    time_column("created_at"),
)

accounts = Table(
    "accounts",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    Column("email", String(320), nullable=False, unique=True),
    Column("is_active", Boolean, nullable=False, default=True),
    time_column("created_at"),
    # For callers who know people by a number.
    Column("number", Integer, nullable=True),
    Column("full_name", String(255), nullable=False, default="", server_default=""),
    # Argon2id, with its parameters and salt; none for those whom somebody else lets in.
    Column("password_hash", Text, nullable=True),
    role_column(),  # in their own company
    Index(None, "company_id"),
    Index(None, "number", unique=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    reference("account_id", "accounts", nullable=True),
    Column("name", String(255), nullable=False),
    Column("prefix", String(16), nullable=False, unique=True),
    Column("secret_sha256", String(64), nullable=False),
    time_column("created_at"),
    time_column("last_used_at", nullable=True),
    time_column("revoked_at", nullable=True),
    # "key" of a company, "private" of an account for all companies it reaches, or "session".
    Column("kind", String(16), nullable=False, default="key", server_default="key"),
    Column("number", Integer, nullable=True),
    time_column("expires_at", nullable=True),
    # Of a session: the same for all tokens that it has had since somebody signed in.
    Column("session_id", Id, nullable=True),
    # What a session is renewed with, once.
    Column("refresh_sha256", String(64), nullable=True),
    time_column("refresh_until", nullable=True),
    role_column(),  # of a company's key; tokens of an account may do what the account may
    Index(None, "company_id", "id"),
    Index(None, "account_id"),
    Index(None, "number", unique=True),
    Index(None, "refresh_sha256", unique=True),
    Index(
        "ix_api_keys_sessions",
        "refresh_until",
        sqlite_where=text("kind = 'session'"),
        postgresql_where=text("kind = 'session'"),
    ),
)

# What an account, or a company's key, may do in one dataset beside what its role gives it anyway.
dataset_roles = Table(
    "dataset_roles",
    metadata,
    id_column(),
    reference("company_id", "companies"),
    reference("dataset_id", "datasets"),
    reference("account_id", "accounts", nullable=True),
    reference("key_id", "api_keys", nullable=True),
    Column("role", String(16), nullable=False),
    time_column("created_at"),
    UniqueConstraint("account_id", "dataset_id"),
    UniqueConstraint("key_id", "dataset_id"),
    Index(None, "dataset_id"),
    Index(None, "company_id"),
)
