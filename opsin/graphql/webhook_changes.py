"""Changes of webhooks in GraphQL: made, changed, tried and deleted, and events sent again."""

from datetime import timedelta
from typing import Self

import strawberry

from opsin.core.webhooks.changes import NewWebhook, WebhookChanges
from opsin.core.webhooks.posting import Answer
from opsin.graphql.context import Info
from opsin.graphql.mutations import DeletePayload
from opsin.graphql.scalars import Cursor
from opsin.graphql.webhooks import Webhook, WebhookDelivery, WebhookEventKind, values_of


@strawberry.input
class CreateWebhookInput:
    url: str = strawberry.field(description="`https://`, at a public address.")
    events: list[WebhookEventKind]
    dataset_id: strawberry.ID | None = strawberry.field(
        default=None, description="Only what happens in this dataset."
    )
    description: str = ""
    parallel: int = strawberry.field(default=1, description="From 1 to 16; see `Webhook.parallel`.")
    after: Cursor | None = strawberry.field(
        default=None, description="Begin after this cursor of the log; default: at its end."
    )


@strawberry.input(description="What is not given stays as it is.")
class UpdateWebhookInput:
    id: strawberry.ID
    url: str | None = None
    events: list[WebhookEventKind] | None = None
    description: str | None = None
    parallel: int | None = None
    active: bool | None = strawberry.field(
        default=None, description="`false` pauses; `true` goes on where it stopped."
    )
    after: Cursor | None = strawberry.field(
        default=None,
        description="Go on after this cursor instead: `eventCursor` passes over what was missed.",
    )


@strawberry.type(description="The only time the secret is shown.")
class WebhookSecretPayload:
    webhook: Webhook
    secret: str


@strawberry.type(description="What the receiver said to a ping.")
class TestWebhookPayload:
    delivered: bool
    status_code: int | None
    error: str | None
    milliseconds: float
    answer: str | None

    @classmethod
    def of(cls, answer: Answer) -> Self:
        return cls(
            delivered=answer.is_success,
            status_code=answer.status,
            error=answer.error,
            milliseconds=round(answer.seconds * 1000, 1),
            answer=answer.text or None,
        )


@strawberry.type
class WebhookMutation:
    @strawberry.mutation(description="Have events sent to an address, from now on.")
    async def create_webhook(self, info: Info, input: CreateWebhookInput) -> WebhookSecretPayload:
        new = NewWebhook(
            url=input.url,
            kinds=values_of(input.events),
            dataset_id=input.dataset_id,
            description=input.description,
            parallel=input.parallel,
            after=input.after,
        )
        made, secret = await info.context.use_cases.webhooks.create(info.context.principal, new)
        return WebhookSecretPayload(webhook=Webhook.of(made), secret=secret)

    @strawberry.mutation(description="Change, pause or go on with a webhook.")
    async def update_webhook(self, info: Info, input: UpdateWebhookInput) -> Webhook:
        changes = WebhookChanges(
            url=input.url,
            kinds=None if input.events is None else values_of(input.events),
            description=input.description,
            parallel=input.parallel,
            active=input.active,
            after=input.after,
        )
        changed = await info.context.use_cases.webhooks.change(
            info.context.principal, input.id, changes
        )
        return Webhook.of(changed)

    @strawberry.mutation(description="Forget a webhook and its deliveries.")
    async def delete_webhook(self, info: Info, id: strawberry.ID) -> DeletePayload:
        deleted = await info.context.use_cases.webhooks.delete(info.context.principal, id)
        return DeletePayload(deleted_id=strawberry.ID(deleted))

    @strawberry.mutation(
        description="A new secret; for some hours requests are signed with the old one, too."
    )
    async def rotate_webhook_secret(
        self, info: Info, id: strawberry.ID, overlap_hours: int = 24
    ) -> WebhookSecretPayload:
        overlap = timedelta(hours=max(-1, min(overlap_hours, 100_000)))
        webhooks = info.context.use_cases.webhooks
        changed, secret = await webhooks.rotate(info.context.principal, id, overlap)
        return WebhookSecretPayload(webhook=Webhook.of(changed), secret=secret)

    @strawberry.mutation(description="Send a `webhook.ping` now, and tell the answer.")
    async def test_webhook(self, info: Info, id: strawberry.ID) -> TestWebhookPayload:
        webhooks = info.context.use_cases.webhooks
        return TestWebhookPayload.of(await webhooks.ping(info.context.principal, id))

    @strawberry.mutation(description="Send the event of a delivery once more, under the same id.")
    async def redeliver(self, info: Info, id: strawberry.ID) -> WebhookDelivery:
        webhooks = info.context.use_cases.webhooks
        return WebhookDelivery.of(await webhooks.redeliver(info.context.principal, id))
