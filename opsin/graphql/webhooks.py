"""Webhooks in GraphQL: what they are told, and how deliveries went."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Self

import strawberry

from opsin.core import datasets as core_datasets
from opsin.core.conditions import among
from opsin.core.pages import Order, Wanted
from opsin.core.webhooks import records as core
from opsin.core.webhooks.records import DeliveryStatus
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.datasets import Dataset
from opsin.graphql.nodes import Shown
from opsin.graphql.scalars import Cursor

strawberry.enum(
    DeliveryStatus,
    name="WebhookDeliveryStatus",
    description="PENDING: it will be sent again.  FAILED: given up, until `redeliver`.",
)


@strawberry.enum(description="What a webhook can be told of.")
class WebhookEventKind(Enum):
    ANALYSIS_QUEUED = "analysis.queued"
    ANALYSIS_PROCESSING = "analysis.processing"
    ANALYSIS_PROGRESS = "analysis.progress"
    ANALYSIS_ANNOTATED = "analysis.annotated"
    ANALYSIS_ARTIFACT_STORED = "analysis.artifact_stored"
    ANALYSIS_COMPLETED = "analysis.completed"
    ANALYSIS_FAILED = "analysis.failed"
    ANALYSIS_CANCELLED = "analysis.cancelled"
    IMAGE_CREATED = "image.created"
    IMAGE_DELETED = "image.deleted"
    IMAGE_FILE_DELETED = "image.file_deleted"
    IMAGE_RESULTS_DELETED = "image.results_deleted"
    DATASET_CREATED = "dataset.created"
    DATASET_UPDATED = "dataset.updated"
    DATASET_DELETED = "dataset.deleted"
    SUBJECT_CREATED = "subject.created"
    SUBJECT_UPDATED = "subject.updated"
    SUBJECT_DELETED = "subject.deleted"
    BATCH_CREATED = "batch.created"
    BATCH_DELETED = "batch.deleted"
    RUN_CREATED = "run.created"
    RUN_UPDATED = "run.updated"
    RUN_COMPLETED = "run.completed"
    COLLECTION_CREATED = "collection.created"
    COLLECTION_DELETED = "collection.deleted"
    COLLECTION_MEMBERS_ADDED = "collection.members_added"
    COLLECTION_MEMBERS_REMOVED = "collection.members_removed"
    PREDICTION_REJECTED = "prediction.rejected"
    PREDICTION_BATCH_COMPLETED = "prediction.batch_completed"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_UPDATED = "webhook.updated"
    WEBHOOK_PAUSED = "webhook.paused"
    WEBHOOK_DELETED = "webhook.deleted"


@strawberry.type(description="One request to a receiver, and what came of it.")
class WebhookAttempt:
    at: datetime
    status_code: int | None = strawberry.field(description="Null when there was no answer.")
    error: str | None = strawberry.field(description="Null when the receiver took it.")
    milliseconds: float
    answer: str | None = strawberry.field(description="How the body of a refusal began.")

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        return cls(**stored | {"at": datetime.fromisoformat(stored["at"])})


@strawberry.type(description="An event's way to a webhook, from its first attempt on.")
class WebhookDelivery(Shown):
    id: strawberry.ID = strawberry.field(
        description="The `webhook-id` of every attempt: a receiver that has seen it may drop it."
    )
    kind: WebhookEventKind
    status: DeliveryStatus
    attempt_count: int
    next_attempt_at: datetime | None = strawberry.field(description="With PENDING only.")
    created_at: datetime = strawberry.field(description="When it was tried first.")
    delivered_at: datetime | None
    record: strawberry.Private[core.Delivery]

    @classmethod
    def of(cls, record: core.Delivery) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            kind=WebhookEventKind(record.kind),
            status=record.status,
            attempt_count=record.attempt_count,
            next_attempt_at=record.next_attempt_at,
            created_at=record.created_at,
            delivered_at=record.delivered_at,
            record=record,
        )

    @strawberry.field(description="The event's, and in its payload.")
    def cursor(self) -> Cursor:
        return Cursor(self.record.sequence)

    @strawberry.field(description="The newest 30, oldest first.")
    def attempts(self) -> list[WebhookAttempt]:
        return [WebhookAttempt.of(stored) for stored in self.record.attempts]

    @strawberry.field(description="Of the last attempt.")
    def status_code(self) -> int | None:
        return self.record.attempts[-1]["status_code"] if self.record.attempts else None

    @strawberry.field(description="Of the last attempt; null when the receiver took it.")
    def error(self) -> str | None:
        return self.record.attempts[-1]["error"] if self.record.attempts else None


@strawberry.input(name="WebhookDeliveryFilter", description="Every field given must hold.")
class WebhookDeliveryFilterInput:
    status: list[DeliveryStatus] | None = None
    kind: list[WebhookEventKind] | None = None

    def wanted(self, context: Context, first: int, after: str | None) -> Wanted:
        statuses = None if self.status is None else [one.value for one in self.status]
        kinds = None if self.kind is None else values_of(self.kind)
        conditions = (*among("status", statuses), *among("kind", kinds))
        return Wanted(page_request(context, first, after, Order(descending=True)), conditions)


@strawberry.type(description="An address that events are sent to, signed, until it takes them.")
class Webhook(Shown):
    id: strawberry.ID
    url: str
    description: str
    format: str = strawberry.field(description="`standard`, or that of a legacy API.")
    parallel: int = strawberry.field(
        description="Attempts at once; with 1, events come in order as long as they are taken."
    )
    active: bool
    paused_reason: str | None = strawberry.field(
        description="Why nothing is sent: by hand, because nothing was taken for too long, or "
        "because whoever made or last changed it may no longer read what it tells of."
    )
    paused_at: datetime | None
    account_id: strawberry.ID | None = strawberry.field(
        description="Who made or last changed it, and so must be able to read what it tells of."
    )
    key_id: strawberry.ID | None = strawberry.field(
        description="The key or private token they came with; when it ends, so does the telling."
    )
    failing_since: datetime | None = strawberry.field(description="Null when the last was taken.")
    last_delivered_at: datetime | None
    previous_secret_until: datetime | None = strawberry.field(
        description="Until then, requests are signed with the previous secret, too."
    )
    created_at: datetime
    updated_at: datetime
    record: strawberry.Private[core.Webhook]

    @classmethod
    def of(cls, record: core.Webhook) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            url=record.url,
            description=record.description,
            format=record.format,
            parallel=record.parallel,
            active=record.active,
            paused_reason=record.paused_reason,
            paused_at=record.paused_at,
            account_id=None if record.account_id is None else strawberry.ID(record.account_id),
            key_id=None if record.key_id is None else strawberry.ID(record.key_id),
            failing_since=record.failing_since,
            last_delivered_at=record.last_delivered_at,
            previous_secret_until=record.previous_until,
            created_at=record.created_at,
            updated_at=record.updated_at,
            record=record,
        )

    @strawberry.field(description="What it is told of.")
    def events(self) -> list[WebhookEventKind]:
        return [WebhookEventKind(kind) for kind in self.record.kinds]

    @strawberry.field(
        description="Every event up to here has been sent at least once; the rest is in the log."
    )
    def cursor(self) -> Cursor:
        restart = self.record.restart_at
        return Cursor(self.record.position if restart is None else restart)

    @strawberry.field(description="Null when it is told of all datasets.")
    async def dataset(self, info: Info) -> Dataset | None:
        if self.record.dataset_id is None:
            return None
        found = await info.context.loaders.by_id(core_datasets.LISTING, self.record.dataset_id)
        return None if found is None else Dataset.of(found)

    @strawberry.field(description="Newest event first.")
    async def deliveries(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: WebhookDeliveryFilterInput | None = None,
    ) -> Connection[WebhookDelivery]:
        wanted = (filter or WebhookDeliveryFilterInput()).wanted(info.context, first, after)
        source = Source(info.context, core.DELIVERIES, wanted, self.id)
        return await Connection[WebhookDelivery].read(source, WebhookDelivery.of)


@strawberry.type
class WebhookQuery:
    @strawberry.field
    async def webhook(self, info: Info, id: strawberry.ID) -> Webhook | None:
        found = await info.context.use_cases.webhooks.find(info.context.principal, id)
        return None if found is None else Webhook.of(found)

    @strawberry.field(description="The company's webhooks, oldest first.")
    async def webhooks(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Webhook]:
        wanted = Wanted(page_request(info.context, first, after))
        source = Source(info.context, core.LISTING, wanted)
        return await Connection[Webhook].read(source, Webhook.of)


def values_of(kinds: Sequence[WebhookEventKind]) -> list[str]:
    """The kinds as events have them."""
    return [kind.value for kind in kinds]
