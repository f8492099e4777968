"""A house whose webhooks may go to a receiver on loopback, on each kind of database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.records import columns_of, to_record
from opsin.core.webhooks.clock import Clock
from opsin.core.webhooks.keepers import Keepers
from opsin.core.webhooks.posting import Poster
from opsin.core.webhooks.records import Delivery, Webhook
from opsin.core.webhooks.schedule import Schedule
from opsin.core.webhooks.sender import Sender
from opsin.core.webhooks.signing import Secrets
from opsin.core.webhooks.webhooks import NewWebhook, Webhooks
from opsin.settings import Settings
from opsin.storage.event_log import NewEvent
from opsin.storage.webhooks import webhook_deliveries
from tests.core.webhooks.receiving import Receiver, receiving
from tests.core.working import until

SECRET = b"the secret of this server, which has enough characters"
KIND = "analysis.completed"
QUICK = Schedule(first=timedelta(milliseconds=20), longest=timedelta(milliseconds=200))


@dataclass(frozen=True, slots=True)
class Office:
    """A house, a receiver, and short ways to make webhooks, events and senders."""

    parts: Parts
    receiver: Receiver
    principal: Principal
    webhooks: Webhooks

    async def hook(
        self, path: str = "/", kinds: Sequence[str] = (KIND,), **more: Any
    ) -> tuple[Webhook, str]:
        new = NewWebhook(self.receiver.url(path), kinds, **more)
        return await self.webhooks.create(self.principal, new)

    async def tell(self, count: int = 1, kind: str = KIND, **more: Any) -> None:
        """So many events, each in a transaction of its own."""
        for _ in range(count):
            async with self.parts.use_cases.database.write() as transaction:
                transaction.emit(NewEvent(kind, self.principal.company_id, **more))

    def sender(
        self,
        schedule: Schedule = QUICK,
        *,
        poster: Poster | None = None,
        clock: Clock | None = None,
        secret: bytes = SECRET,
        keepers: Keepers | None = None,
        **more: Any,
    ) -> Sender:
        use_cases = self.parts.use_cases
        options: dict[str, Any] = {
            "concurrency": 64,
            "keep": timedelta(days=1),
            "kept": 1000,
            "clock": clock,
        }
        return Sender(
            use_cases.database,
            use_cases.events,
            use_cases.webhooks.formats,
            Secrets(secret),
            keepers or Keepers(use_cases.database, use_cases.access.reach),
            poster or self.poster(),
            schedule,
            **options | more,
        )

    def poster(self, timeout: float = 10.0, **more: Any) -> Poster:
        return Poster(timeout=timeout, allow=[f"127.0.0.1:{self.receiver.port}"], **more)

    @contextlib.asynccontextmanager
    async def sending(self, *senders: Sender) -> AsyncIterator[None]:
        """These senders, or one, for as long as the block runs."""
        tasks = [asyncio.create_task(one.run()) for one in senders or (self.sender(),)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended

    async def deliveries(self, webhook: Webhook) -> list[Delivery]:
        """In the order of their events."""
        table = webhook_deliveries
        statement = (
            select(*columns_of(table, Delivery))
            .where(table.c.webhook_id == webhook.id)
            .order_by(table.c.id)
        )
        async with self.parts.use_cases.database.read() as connection:
            return [to_record(Delivery, row) for row in await connection.execute(statement)]

    async def until(
        self, webhook: Webhook, holds: Callable[[list[Delivery]], bool]
    ) -> list[Delivery]:
        """Wait until this holds of the webhook's deliveries."""

        async def reached() -> bool:
            return holds(await self.deliveries(webhook))

        await until(reached)
        return await self.deliveries(webhook)

    async def until_gone(self, sender: Sender, webhook: Webhook) -> None:
        """Wait until a sender has let go of a webhook."""

        async def gone() -> bool:
            return webhook.id not in sender.webhook_ids

        await until(gone)

    async def until_webhook(self, webhook: Webhook, holds: Callable[[Webhook], bool]) -> Webhook:
        async def reached() -> bool:
            return holds(await self.webhooks.get(self.principal, webhook.id))

        await until(reached)
        return await self.webhooks.get(self.principal, webhook.id)


@pytest.fixture
async def office(settings: Settings, any_database_url: str) -> AsyncIterator[Office]:
    async with receiving() as receiver, opened(settings, any_database_url, receiver) as office:
        yield office


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, database_url: str, receiver: Receiver
) -> AsyncIterator[Office]:
    """The house itself; a second one on the same database is another process to the first."""
    changes = {
        "database_url": database_url,
        "webhook_allow": (f"127.0.0.1:{receiver.port}",),
        "secret_key": SECRET.decode(),
    }
    async with assemble(settings.model_copy(update=changes)).running() as parts:
        principal = await parts.use_cases.access.local()
        yield Office(parts, receiver, principal, parts.use_cases.webhooks)
