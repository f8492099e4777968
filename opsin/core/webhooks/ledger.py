"""What a sender reads and writes: which webhooks are its own, what is due, what has ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select, text, update

from opsin.core.errors import StorageError
from opsin.core.records import columns_of, to_record
from opsin.core.webhooks.attempt_ends import Ended, write_ends
from opsin.core.webhooks.records import Delivery, DeliveryStatus, Webhook
from opsin.storage.database import Database
from opsin.storage.event_log import Event
from opsin.storage.ids import new_id
from opsin.storage.tables import analyses, events
from opsin.storage.webhooks import webhook_deliveries, webhooks

_CLAIM_AT_ONCE = 200
_SWEEP_AT_ONCE = 5000
_SOON = text("SET LOCAL synchronous_commit TO off")
_PENDING = webhook_deliveries.c.status == DeliveryStatus.PENDING.value


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be sent again; without its event, when the log has it no more."""

    delivery: Delivery
    event: Event | None


class Ledger:
    """The database as one sender sees it; only what it holds the lease of can be written to."""

    def __init__(self, database: Database, *, lease: timedelta) -> None:
        self.lease = lease
        self.committed = database.committed
        self._database = database
        self._lease_id = new_id()
        self._mine = webhooks.c.lease_id == self._lease_id

    async def claim(self, formats: Collection[str]) -> list[str]:
        """Take webhooks of these formats that no sender has; gives their ids."""
        now = datetime.now(UTC)
        free = (
            select(webhooks.c.id)
            .where(
                webhooks.c.active,
                webhooks.c.format.in_(formats),
                or_(webhooks.c.lease_id.is_(None), webhooks.c.lease_until < now),
            )
            .limit(_CLAIM_AT_ONCE)
        )
        async with self._database.read() as connection:
            if (await connection.execute(free.limit(1))).first() is None:
                return []
        chosen = free.with_for_update(skip_locked=True).cte("free")
        statement = (
            update(webhooks)
            .where(webhooks.c.id.in_(select(chosen.c.id)))
            .values(lease_id=self._lease_id, lease_until=now + self.lease)
            .returning(webhooks.c.id)
        )
        async with self._database.write() as transaction:
            return list((await transaction.connection.execute(statement)).scalars())

    async def traceparent(self, analysis_id: str) -> str | None:
        """Where in a trace this analysis was asked; None also where nobody can say now."""
        statement = select(analyses.c.traceparent).where(analyses.c.id == analysis_id)
        try:
            async with self._database.read() as connection:
                found: str | None = (await connection.execute(statement)).scalar()
        except StorageError:
            return None
        return found

    async def start(self, webhook_id: str) -> Webhook | None:
        """The webhook as it is now, from where its owner wants it; None when it is not ours.

        Also None when it is paused: then it is nobody's.
        """
        own = (webhooks.c.id == webhook_id, self._mine)
        async with self._database.write() as transaction:
            connection = transaction.connection
            statement = select(*columns_of(webhooks, Webhook)).where(*own).with_for_update()
            row = (await connection.execute(statement)).first()
            if row is None:
                return None
            webhook = to_record(Webhook, row)
            values: dict[str, Any] = {}
            if webhook.restart_at is not None:
                values = {"position": webhook.restart_at, "restart_at": None}
                webhook = replace(webhook, **values)
            if not webhook.active:
                values |= {"lease_id": None, "lease_until": None}
            if values:
                await connection.execute(update(webhooks).where(*own).values(values))
        return webhook if webhook.active else None

    async def revisions(self) -> dict[str, int]:
        """The webhooks that are ours, each with the number of its last change."""
        statement = select(webhooks.c.id, webhooks.c.revision).where(self._mine)
        async with self._database.read() as connection:
            return {row.id: row.revision for row in await connection.execute(statement)}

    async def renew(self) -> None:
        """Keep what is ours for longer."""
        await self._update_mine(lease_until=datetime.now(UTC) + self.lease)

    async def release(self) -> None:
        """Let go of everything, so that another sender goes on at once."""
        await self._update_mine(lease_id=None, lease_until=None)

    async def due(self, webhook_id: str, now: datetime, *, without: Collection[str]) -> Due | None:
        """The oldest event whose delivery is to be tried again by now."""
        table = webhook_deliveries
        statement = (
            select(*columns_of(table, Delivery))
            .where(*self._waiting(webhook_id, without), table.c.next_attempt_at <= now)
            .order_by(table.c.id)
            .limit(1)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
            if row is None:
                return None
            delivery = to_record(Delivery, row)
            of_it = select(events).where(events.c.sequence == delivery.sequence)
            found = (await connection.execute(of_it)).mappings().first()
        return Due(delivery, None if found is None else Event(**found))

    async def next_due(
        self, webhook_id: str, *, without: Collection[str]
    ) -> tuple[datetime | None, datetime | None]:
        """When a delivery is to be tried again, and when one that the next events wait for."""
        table = webhook_deliveries
        soonest = select(func.min(table.c.next_attempt_at)).where(
            *self._waiting(webhook_id, without)
        )
        held = soonest.where(table.c.in_place)
        async with self._database.read() as connection:
            return (
                (await connection.execute(soonest)).scalar(),
                (await connection.execute(held)).scalar(),
            )

    async def write(self, ended: Sequence[Ended]) -> None:
        """Write attempts down, of those webhooks that still are ours; later ones come later."""
        told_of = {one.webhook.id for one in ended}
        is_lasting = any(one.pause is not None for one in ended)
        async with self._database.write() as transaction:
            connection = transaction.connection
            if connection.dialect.name == "postgresql" and not is_lasting:
                # As SQLite does it: a crash of the database may repeat deliveries of its last
                # moment, and nobody else waits for the disk on their account.
                await connection.execute(_SOON)
            columns = (webhooks.c.id, webhooks.c.revision)
            statement = select(*columns).where(self._mine, webhooks.c.id.in_(told_of))
            # In one order, here and in `_update_mine`, which goes on at the same time.
            rows = await connection.execute(statement.order_by(webhooks.c.id).with_for_update())
            await write_ends(transaction, ended, {row.id: row.revision for row in rows})

    async def sweep(self, webhook_id: str, *, before: datetime, kept: int) -> int:
        """Forget ended deliveries that are old, and delivered ones beyond the newest `kept`."""
        table = webhook_deliveries
        of_it = table.c.webhook_id == webhook_id
        delivered = (of_it, table.c.status == DeliveryStatus.DELIVERED.value)
        newest = select(table.c.id).where(*delivered).order_by(table.c.id.desc())
        async with self._database.read() as connection:
            edge = (await connection.execute(newest.offset(kept).limit(1))).scalar()
        conditions = [(of_it, ~_PENDING, table.c.updated_at < before)]
        if edge is not None:
            conditions.append((*delivered, table.c.id <= edge))
        return sum([await self._delete(condition) for condition in conditions])

    async def _delete(self, conditions: tuple[ColumnElement[bool], ...]) -> int:
        """In pieces, so that nobody waits long for the database."""
        table, count = webhook_deliveries, 0
        some = select(table.c.id).where(*conditions).limit(_SWEEP_AT_ONCE)
        while True:
            async with self._database.write() as transaction:
                statement = delete(table).where(table.c.id.in_(some))
                done = (await transaction.connection.execute(statement)).rowcount
            count += done
            if done < _SWEEP_AT_ONCE:
                return count

    async def _update_mine(self, **values: Any) -> None:
        async with self._database.write() as transaction:
            mine = select(webhooks.c.id).where(self._mine).order_by(webhooks.c.id)
            held = mine.with_for_update().cte()
            statement = update(webhooks).where(webhooks.c.id.in_(select(held.c.id)))
            await transaction.connection.execute(statement.values(**values))

    @staticmethod
    def _waiting(webhook_id: str, without: Collection[str]) -> list[ColumnElement[bool]]:
        table = webhook_deliveries
        conditions = [table.c.webhook_id == webhook_id, _PENDING]
        return [*conditions, table.c.id.not_in(without)] if without else conditions
