"""What a company does with its webhooks: make, change, try and delete them, send again."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.datasets import require_dataset, require_text
from opsin.core.errors import Conflict, InvalidInput, LimitReached, NotFound
from opsin.core.records import columns_of, to_record
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.webhooks.formats import STANDARD, Formats, Outgoing
from opsin.core.webhooks.kinds import PING, checked_kinds
from opsin.core.webhooks.posting import Answer, Poster
from opsin.core.webhooks.records import Delivery, DeliveryStatus, Webhook
from opsin.core.webhooks.signing import Secrets, digest_of, new_salt
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import Event, NewEvent, last_position
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import companies
from opsin.storage.webhooks import webhook_deliveries, webhooks

MAX_WEBHOOKS: Final = 100
"""Of one company."""
MAX_PARALLEL: Final = 16
MAX_OVERLAP: Final = timedelta(days=30)
_PAUSED_BY_HAND = "paused by hand"
_LONGEST_DESCRIPTION = 1000


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What a webhook is made of; `after` is where in the log it begins, None its end.

    One that `is_only` is the dataset's only one of its format.
    """

    url: str
    kinds: Sequence[str]
    dataset_id: str | None = None
    description: str = ""
    parallel: int = 1
    after: int | None = None
    format: str = STANDARD
    options: dict[str, Any] | None = None
    is_only: bool = False


@dataclass(frozen=True, slots=True)
class WebhookChanges:
    """What is to be different; None leaves it as it is."""

    url: str | None = None
    kinds: Sequence[str] | None = None
    description: str | None = None
    parallel: int | None = None
    active: bool | None = None
    after: int | None = None
    options: dict[str, Any] | None = None


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
            "description": require_text(
                new.description, "description", _LONGEST_DESCRIPTION, least=0
            ),
            "kinds": list(checked_kinds(new.kinds, form.kinds)),
            "format": form.name,
            "options": new.options,
            "parallel": _checked_parallel(new.parallel),
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
            await _require_room(connection, principal)
            if new.is_only:
                await _require_none(connection, principal, values)
            values["position"] = await _position(connection, new.after)
            await connection.execute(insert(webhooks).values(values))
            made = await _require(connection, principal, identity)
            _emit(transaction, "webhook.created", made)
            _note(transaction, principal, "create", made, host=_host(made.url))
        return made, secret

    async def find(self, principal: Principal, webhook_id: str) -> Webhook | None:
        try:
            return await self.get(principal, webhook_id)
        except NotFound:
            return None

    async def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """NotFound also for another company's."""
        async with self._database.read() as connection:
            return await _require(connection, principal, webhook_id)

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
        """Another address, other events, paused or sending again.

        One that sends again goes on where it stopped, or from `after`.  With another address, and
        when it is made active, all that waits is due; an attempt that is under way ends as it
        began, and what comes of it pauses nothing any more.
        """
        if changes.url is not None:
            self._poster.check(changes.url)
        async with self._database.write() as transaction:
            connection = transaction.connection
            webhook = await _require(connection, principal, webhook_id, lock=True)
            principal.require(Permission.ADMIN, webhook.dataset_id)
            values = self._changed(webhook, changes)
            if changes.after is not None:
                values["restart_at"] = await _position(connection, changes.after)
            changed = await _update(
                connection, principal, webhook, values | {"updated_at": self._now()}
            )
            if changes.active is True or changes.url is not None:
                await _make_due(connection, webhook, self._now())
            _emit(transaction, "webhook.updated", changed)
            told = [name for name in asdict(changes) if getattr(changes, name) is not None]
            host = _host(changed.url)
            _note(transaction, principal, "update", changed, changed=told, host=host)
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
            webhook = await _require(connection, principal, webhook_id, lock=True)
            principal.require(Permission.ADMIN, webhook.dataset_id)
            secret = self._secrets.of(webhook.id, salt)
            values = {
                "secret_salt": salt,
                "secret_sha256": digest_of(secret),
                "previous_salt": webhook.secret_salt if overlap else None,
                "previous_until": now + overlap if overlap else None,
                "updated_at": now,
            }
            changed = await _update(connection, principal, webhook, values)
            _emit(transaction, "webhook.updated", changed)
            _note(transaction, principal, "rotate", changed)
        return changed, secret

    async def delete(self, principal: Principal, webhook_id: str) -> str:
        """Forget a webhook and its deliveries; nothing is sent from now on."""
        async with self._database.write() as transaction:
            webhook = await _require(transaction.connection, principal, webhook_id, lock=True)
            principal.require(Permission.ADMIN, webhook.dataset_id)
            _note(transaction, principal, "delete", webhook, host=_host(webhook.url))
            await transaction.connection.execute(
                delete(webhooks).where(webhooks.c.id == webhook.id)
            )
            _emit(transaction, "webhook.deleted", webhook)
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
        mine = (
            webhook_deliveries.c.id == canonical_id(delivery_id),
            within(principal, webhook_deliveries),
        )
        async with self._database.write() as transaction:
            # Before the delivery, as a sender does that writes one down.
            of_it = select(webhook_deliveries.c.webhook_id).where(*mine)
            hold = select(webhooks.c.id).where(webhooks.c.id.in_(of_it)).with_for_update()
            await transaction.connection.execute(hold)
            statement = (
                update(webhook_deliveries)
                .where(*mine)
                .values(
                    status=DeliveryStatus.PENDING.value,
                    tries=0,
                    due_since=now,
                    in_place=False,
                    next_attempt_at=now,
                    updated_at=now,
                )
                .returning(*columns_of(webhook_deliveries, Delivery))
            )
            row = (await transaction.connection.execute(statement)).first()
            if row is None:
                raise NotFound("Webhook delivery not found")
            delivery = to_record(Delivery, row)
            webhook = await _require(transaction.connection, principal, delivery.webhook_id)
            principal.require(Permission.ADMIN, webhook.dataset_id)
            _note(transaction, principal, "redeliver", webhook, delivery=delivery.id)
            await transaction.connection.execute(
                update(webhooks)
                .where(webhooks.c.id == delivery.webhook_id)
                .values(revision=webhooks.c.revision + 1)
            )
        self._database.committed.fire()  # no event tells of it
        return delivery

    def _changed(self, webhook: Webhook, changes: WebhookChanges) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if changes.url is not None:
            values["url"] = changes.url
        if changes.kinds is not None:
            form = self.formats.get(webhook.format)
            values["kinds"] = list(checked_kinds(changes.kinds, form.kinds))
        if changes.description is not None:
            values["description"] = require_text(
                changes.description, "description", _LONGEST_DESCRIPTION, least=0
            )
        if changes.parallel is not None:
            values["parallel"] = _checked_parallel(changes.parallel)
        if changes.options is not None:
            values["options"] = changes.options
        if changes.active is False and webhook.active:
            values |= {
                "active": False,
                "paused_reason": _PAUSED_BY_HAND,
                "paused_at": self._now(),
            }
        if changes.active is True:
            values |= {"active": True, "paused_reason": None, "paused_at": None}
        if changes.active is True or changes.url is not None:
            values |= {"failures": 0, "failing_since": None, "blocked_until": None}
        return values


async def _update(
    connection: AsyncConnection, principal: Principal, webhook: Webhook, values: dict[str, Any]
) -> Webhook:
    await connection.execute(
        update(webhooks)
        .where(webhooks.c.id == webhook.id)
        .values(**values, revision=webhooks.c.revision + 1)
    )
    return await _require(connection, principal, webhook.id)


async def _make_due(connection: AsyncConnection, webhook: Webhook, now: datetime) -> None:
    """What waits, perhaps because the receiver asked for a day, is tried now."""
    table = webhook_deliveries
    statement = update(table).where(
        table.c.webhook_id == webhook.id,
        table.c.status == DeliveryStatus.PENDING.value,
        table.c.next_attempt_at > now,
    )
    await connection.execute(statement.values(next_attempt_at=now))


async def _require(
    connection: AsyncConnection, principal: Principal, webhook_id: str, *, lock: bool = False
) -> Webhook:
    statement = select(*columns_of(webhooks, Webhook)).where(
        webhooks.c.id == canonical_id(webhook_id),
        within(principal, webhooks),
    )
    row = (await connection.execute(statement.with_for_update() if lock else statement)).first()
    if row is None:
        raise NotFound("Webhook not found")
    return to_record(Webhook, row)


async def _require_room(connection: AsyncConnection, principal: Principal) -> None:
    # Those who make one at the same time come one after the other.
    hold = select(companies.c.id).where(companies.c.id == principal.company_id)
    await connection.execute(hold.with_for_update(key_share=True))
    count = (
        select(func.count())
        .select_from(webhooks)
        .where(webhooks.c.company_id == principal.company_id)
    )
    if (await connection.execute(count)).scalar_one() >= MAX_WEBHOOKS:
        raise LimitReached(f"A company has at most {MAX_WEBHOOKS} webhooks")


async def _require_none(
    connection: AsyncConnection, principal: Principal, values: dict[str, Any]
) -> None:
    """Called while the company is held, so that of two who come together one is told."""
    same = select(webhooks.c.id).where(
        webhooks.c.company_id == principal.company_id,
        webhooks.c.dataset_id == values.get("dataset_id"),
        webhooks.c.format == values["format"],
    )
    if (await connection.execute(same.limit(1))).first() is not None:
        raise Conflict("There is such a webhook already")


def _note(
    transaction: Transaction, principal: Principal, verb: str, webhook: Webhook, **details: Any
) -> None:
    audit.note(
        transaction, principal, f"webhook.{verb}", ("webhook", webhook.id),
        dataset_id=webhook.dataset_id, **details,
    )  # fmt: skip


def _host(url: str) -> str | None:
    """Where it goes; the rest of an address may hold a secret."""
    return urlsplit(url).hostname


async def _position(connection: AsyncConnection, after: int | None) -> int:
    """Where to begin; a place that the log has not reached would hide what comes until then."""
    end = await last_position(connection)
    return end if after is None else min(after, end)


def _checked_parallel(parallel: int) -> int:
    if not 1 <= parallel <= MAX_PARALLEL:
        raise InvalidInput(f"parallel must be from 1 to {MAX_PARALLEL}")
    return parallel


def _emit(transaction: Transaction, kind: str, webhook: Webhook) -> None:
    transaction.emit(webhook_event(kind, webhook))


def webhook_event(kind: str, webhook: Webhook, **data: Any) -> NewEvent:
    """The event that tells of a change of a webhook."""
    told = {"webhook_id": webhook.id, **data}
    return NewEvent(kind, webhook.company_id, dataset_id=webhook.dataset_id, data=told)
