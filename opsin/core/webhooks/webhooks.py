"""What a company does with its webhooks: make, change, try and delete them, send again."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select, update

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.datasets import require_dataset
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.records import columns_of, to_record
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.webhooks.changes import (
    NewWebhook,
    WebhookChanges,
    changed_values,
    checked_description,
    checked_parallel,
)
from opsin.core.webhooks.formats import Formats, Outgoing
from opsin.core.webhooks.keepers import keeper
from opsin.core.webhooks.kinds import PING, checked_kinds
from opsin.core.webhooks.posting import Answer, Poster
from opsin.core.webhooks.records import Delivery, Webhook
from opsin.core.webhooks.room import require_none, require_room
from opsin.core.webhooks.rows import (
    begin_at,
    make_due,
    make_pending,
    require_webhook,
    update_webhook,
)
from opsin.core.webhooks.signing import Secrets, digest_of, new_salt
from opsin.core.webhooks.told import host_of, note_webhook, webhook_event
from opsin.storage.database import Database
from opsin.storage.event_log import Event, last_position
from opsin.storage.ids import new_id
from opsin.storage.webhooks import webhooks

__all__ = ["NewWebhook", "WebhookChanges", "Webhooks"]

MAX_OVERLAP: Final = timedelta(days=30)


class Webhooks:
    """Keeps webhooks; the sender finds the changes by itself, within a second."""

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        formats: Formats,
        poster: Poster,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.formats = formats
        self._database = database
        self._secrets = secrets
        self._poster = poster
        self._now = now

    async def create(self, principal: Principal, new: NewWebhook) -> tuple[Webhook, str]:
        """A webhook, and its secret, which is never shown again.

        Raises Conflict for one that is to be the only one and is not.
        """
        form = self.formats.get(new.format)
        self._poster.check(new.url)
        identity, salt, now = new_id(), new_salt(), self._now()
        secret = self._secrets.of(identity, salt)
        values = {
            "id": identity,
            "company_id": principal.company_id,
            "url": new.url,
            "description": checked_description(new.description),
            "kinds": list(checked_kinds(new.kinds, form.kinds)),
            "format": form.name,
            **keeper(principal),
            "options": new.options,
            "parallel": checked_parallel(new.parallel),
            "secret_salt": salt,
            "secret_sha256": digest_of(secret),
            "active": True,
            "failures": 0,
            "revision": 0,
            "created_at": now,
            "updated_at": now,
        }
        async with self._database.write() as transaction:
            connection = transaction.connection
            dataset_id = None
            if new.dataset_id is not None:
                dataset_id = (await require_dataset(connection, principal, new.dataset_id)).id
                values["dataset_id"] = dataset_id
            principal.require(Permission.ADMIN, dataset_id)
            await require_room(connection, principal, dataset_id)
            if new.is_only:
                await require_none(connection, principal, values)
            values["position"] = await begin_at(connection, new.after)
            await connection.execute(insert(webhooks).values(values))
            made = await require_webhook(connection, principal, identity)
            transaction.emit(webhook_event("webhook.created", made))
            note_webhook(transaction, principal, "create", made, host=host_of(made.url))
        return made, secret

    async def find(self, principal: Principal, webhook_id: str) -> Webhook | None:
        try:
            return await self.get(principal, webhook_id)
        except NotFound:
            return None

    async def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """NotFound also for another company's."""
        async with self._database.read() as connection:
            return await require_webhook(connection, principal, webhook_id)

    async def listed(self, principal: Principal, *, format: str | None = None) -> list[Webhook]:
        """The company's webhooks, oldest first; those of one format."""
        statement = select(*columns_of(webhooks, Webhook)).where(within(principal, webhooks))
        if format is not None:
            statement = statement.where(webhooks.c.format == format)
        async with self._database.read() as connection:
            rows = await connection.execute(statement.order_by(webhooks.c.id))
            return [to_record(Webhook, row) for row in rows]

    async def change(
        self, principal: Principal, webhook_id: str, changes: WebhookChanges
    ) -> Webhook:
        """Another address, other events, paused or sending again; from now on the caller answers.

        One that sends again goes on where it stopped, or from `after`.  With another address, and
        when it is made active, all that waits is due; an attempt that is under way ends as it
        began, and what comes of it pauses nothing any more.
        """
        if changes.url is not None:
            self._poster.check(changes.url)
        async with self._database.write() as transaction:
            connection = transaction.connection
            webhook = await require_webhook(connection, principal, webhook_id, lock=True)
            principal.require(Permission.ADMIN, webhook.dataset_id)
            form, now = self.formats.get(webhook.format), self._now()
            values = changed_values(webhook, changes, form, now) | keeper(principal)
            if changes.after is not None:
                values["restart_at"] = await begin_at(connection, changes.after)
            changed = await update_webhook(
                connection, principal, webhook, values | {"updated_at": now}
            )
            if changes.active is True or changes.url is not None:
                await make_due(connection, webhook, now)
            transaction.emit(webhook_event("webhook.updated", changed))
            told = [name for name in asdict(changes) if getattr(changes, name) is not None]
            host = host_of(changed.url)
            note_webhook(transaction, principal, "update", changed, changed=told, host=host)
        return changed

    async def rotate(
        self, principal: Principal, webhook_id: str, overlap: timedelta
    ) -> tuple[Webhook, str]:
        """A new secret, which is never shown again; requests are signed with both for a while."""
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise InvalidInput(f"secrets may overlap for up to {MAX_OVERLAP.days} days")
        now, salt = self._now(), new_salt()
        async with self._database.write() as transaction:
            connection = transaction.connection
            webhook = await require_webhook(connection, principal, webhook_id, lock=True)
            principal.require(Permission.ADMIN, webhook.dataset_id)
            secret = self._secrets.of(webhook.id, salt)
            values = {
                "secret_salt": salt,
                "secret_sha256": digest_of(secret),
                "previous_salt": webhook.secret_salt if overlap else None,
                "previous_until": now + overlap if overlap else None,
                "updated_at": now,
            }
            changed = await update_webhook(connection, principal, webhook, values)
            transaction.emit(webhook_event("webhook.updated", changed))
            note_webhook(transaction, principal, "rotate", changed)
        return changed, secret

    async def delete(self, principal: Principal, webhook_id: str) -> str:
        """Forget a webhook and its deliveries; nothing is sent from now on."""
        async with self._database.write() as transaction:
            webhook = await require_webhook(
                transaction.connection, principal, webhook_id, lock=True
            )
            principal.require(Permission.ADMIN, webhook.dataset_id)
            note_webhook(transaction, principal, "delete", webhook, host=host_of(webhook.url))
            await transaction.connection.execute(
                delete(webhooks).where(webhooks.c.id == webhook.id)
            )
            transaction.emit(webhook_event("webhook.deleted", webhook))
        return webhook.id

    async def ping(self, principal: Principal, webhook_id: str) -> Answer:
        """Send a ping now, also to one that is paused, and tell what the receiver says."""
        webhook = await self.get(principal, webhook_id)
        principal.require(Permission.ADMIN, webhook.dataset_id)
        await audit.note_read(
            self._database, principal, "webhook.ping", ("webhook", webhook.id),
            dataset_id=webhook.dataset_id,
        )  # fmt: skip
        now = self._now()
        async with self._database.read() as connection:
            end = await last_position(connection, principal.company_id)
        told = {"webhook_id": webhook.id}
        event = Event(end, webhook.company_id, PING, webhook.dataset_id, None, None, told, now)
        outgoing = Outgoing(webhook, event, new_id(), now, self._secrets.valid(webhook, now))
        request = await self.formats.get(webhook.format).write(outgoing)
        if request is None:
            raise InvalidInput("webhooks of this format cannot be tried")
        lane = self._poster.lane()
        try:
            return await lane.post(webhook.url, request)
        finally:
            lane.rest()

    async def redeliver(self, principal: Principal, delivery_id: str) -> Delivery:
        """Send an event once more, with the id that it has always had."""
        now = self._now()
        async with self._database.write() as transaction:
            delivery = await make_pending(transaction.connection, principal, delivery_id, now)
            webhook = await require_webhook(transaction.connection, principal, delivery.webhook_id)
            principal.require(Permission.ADMIN, webhook.dataset_id)
            note_webhook(transaction, principal, "redeliver", webhook, delivery=delivery.id)
            await transaction.connection.execute(
                update(webhooks)
                .where(webhooks.c.id == delivery.webhook_id)
                .values(revision=webhooks.c.revision + 1)
            )
        self._database.committed.fire()  # no event tells of it
        return delivery
