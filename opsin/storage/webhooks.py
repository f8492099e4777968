"""Tables of webhooks: who is told of events, how far they have been told, and each delivery."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from opsin.storage.tables import Id, Json, UtcDateTime, metadata

DELIVERY_STATUSES = ("PENDING", "DELIVERED", "FAILED")

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    # Events of one dataset only; those of all when it is null.
    Column("dataset_id", Id, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=True),
    Column("url", String(2048), nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("kinds", Json, nullable=False),
    Column("format", String(32), nullable=False),
    # Who answers for it, until somebody else changes it; nobody where both are null.  No foreign
    # keys: one that is gone is somebody who has left, and not nobody.
    Column("account_id", Id, nullable=True),
    Column("key_id", Id, nullable=True),
    # What the format needs to know besides; shown to nobody.
    Column("options", Json, nullable=True),
    Column("parallel", Integer, nullable=False, default=1),
    # A secret is made of the server's key and a salt; of the secret itself there is only a digest.
    Column("secret_salt", String(64), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("previous_salt", String(64), nullable=True),
    Column("previous_until", UtcDateTime, nullable=True),
    Column("active", Boolean, nullable=False, default=True),
    Column("paused_reason", Text, nullable=True),
    Column("paused_at", UtcDateTime, nullable=True),
    # Every event of the log up to here has been sent, or has a row that says when it is sent again.
    Column("position", BigInteger, nullable=False),
    # Where the owner wants it to go on instead, until a sender has seen that.
    Column("restart_at", BigInteger, nullable=True),
    # Attempts that failed since the last that did not, and since when.
    Column("failures", Integer, nullable=False, default=0),
    Column("failing_since", UtcDateTime, nullable=True),
    Column("blocked_until", UtcDateTime, nullable=True),
    Column("last_delivered_at", UtcDateTime, nullable=True),
    # Counts the changes that a sender must hear of.
    Column("revision", Integer, nullable=False, default=0),
    # One sender at a time delivers for a webhook.
    Column("lease_id", Id, nullable=True),
    Column("lease_until", UtcDateTime, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "company_id", "id"),
    Index(None, "dataset_id"),
    Index(None, "lease_id"),
)

# An event's delivery to one webhook, from its first attempt on.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # Made of the webhook and the event, so that it is the same in every attempt.
    Column("id", Id, primary_key=True),
    Column("company_id", Id, ForeignKey("companies.id", ondelete="CASCADE"), nullable=False),
    Column("webhook_id", Id, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    # The event's position in the log; no foreign key, as nothing has to the log.
    Column("sequence", BigInteger, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    # All attempts, and those since it was last asked for: by the event, or by hand.
    Column("attempt_count", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_since", UtcDateTime, nullable=False),
    # Whether the next events wait for it.
    Column("in_place", Boolean, nullable=False),
    # The newest attempts, oldest first: {"at", "status_code", "error", "milliseconds", "answer"}
    Column("attempts", Json, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime, nullable=True),
    CheckConstraint(f"status IN {DELIVERY_STATUSES}", name="status"),
    Index(None, "webhook_id", "id"),
    Index(None, "company_id"),
    Index(
        "ix_webhook_deliveries_due",
        "webhook_id",
        "next_attempt_at",
        sqlite_where=text("status = 'PENDING'"),
        postgresql_where=text("status = 'PENDING'"),
    ),
    Index(
        "ix_webhook_deliveries_held",
        "webhook_id",
        "next_attempt_at",
        sqlite_where=text("status = 'PENDING' AND in_place"),
        postgresql_where=text("status = 'PENDING' AND in_place"),
    ),
    Index(
        "ix_webhook_deliveries_kept",
        "webhook_id",
        "updated_at",
        sqlite_where=text("status <> 'PENDING'"),
        postgresql_where=text("status <> 'PENDING'"),
    ),
    # Only to count them; most deliveries arrive.
    Index(
        "ix_webhook_deliveries_failed",
        "webhook_id",
        sqlite_where=text("status = 'FAILED'"),
        postgresql_where=text("status = 'FAILED'"),
    ),
)
