"""The sender: takes webhooks under a lease, and keeps a courier for each of them."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from opsin.core.errors import StorageError
from opsin.core.events import Events
from opsin.core.webhooks.clock import Clock
from opsin.core.webhooks.counts import WebhookCounts
from opsin.core.webhooks.courier import Courier
from opsin.core.webhooks.formats import Formats
from opsin.core.webhooks.keepers import Keepers
from opsin.core.webhooks.ledger import Ledger
from opsin.core.webhooks.post import Post
from opsin.core.webhooks.posting import Poster
from opsin.core.webhooks.schedule import Schedule
from opsin.core.webhooks.signing import Secrets
from opsin.core.webhooks.slots import Slots
from opsin.core.webhooks.writer import DeliveryWriter
from opsin.storage.database import Database

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
"""Between two looks for webhooks that are new, changed, or left by another sender."""
_LEAST_SECONDS = 0.1
_SWEEP_SECONDS = 300.0
_CHECK_SECONDS = 30.0
"""Until a webhook that nothing happens for is found to be one that nothing may be told to."""
_LAST_SECONDS = 3.0
"""For attempts that are under way when the sender is stopped."""
MARGIN_SECONDS: Final = 2.0
"""More than an attempt's time limit: for the end of an answer, and for being late."""


class Sender:
    """One in a process; several processes share the webhooks, each of which is one's alone."""

    def __init__(
        self,
        database: Database,
        events: Events,
        formats: Formats,
        secrets: Secrets,
        keepers: Keepers,
        poster: Poster,
        schedule: Schedule,
        *,
        concurrency: int,
        keep: timedelta,
        kept: int,
        clock: Clock | None = None,
    ) -> None:
        self._ledger = Ledger(database, lease=lease_of(poster))
        self._writer = DeliveryWriter(self._ledger)
        self._slots = Slots(concurrency, self._is_held)
        self._post = Post(
            self._ledger,
            self._writer,
            events,
            formats,
            secrets,
            keepers,
            poster,
            schedule,
            self._slots,
            clock or Clock(),
        )
        self._longest = poster.timeout + MARGIN_SECONDS
        self._keep, self._kept = keep, kept
        self._couriers: dict[str, Courier] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._has_some = False
        self._held_until = 0.0
        self._renew_at = 0.0
        self._sweep_at = 0.0
        self._check_at = 0.0

    async def run(self) -> None:
        """Send until cancelled; then what is under way ends, and the webhooks are let go."""
        writing = asyncio.create_task(self._writer.run())
        try:
            while True:
                seen = self._ledger.committed.fired
                try:
                    await self._renew()
                    await self._look()
                    await self._check()
                    await self._sweep()
                except Exception as error:
                    expected = isinstance(error, StorageError)
                    log.warning("webhooks cannot be looked after now", exc_info=not expected)
                await asyncio.sleep(_LEAST_SECONDS)
                await self._ledger.committed.wait(seen, _LOOK_SECONDS)
        finally:
            await self._stop(writing)

    @property
    def counts(self) -> WebhookCounts:
        """What has been sent from here."""
        return self._post.counts

    @property
    def webhook_ids(self) -> frozenset[str]:
        """The webhooks that are sent to from here, now."""
        return frozenset(self._couriers)

    @property
    def lease(self) -> timedelta:
        """After so much silence another sender goes on with what was this one's."""
        return self._ledger.lease

    def _is_held(self) -> bool:
        """Whether the lease lasts for one more attempt."""
        return asyncio.get_running_loop().time() + self._longest < self._held_until

    async def _renew(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._renew_at:
            return
        if self._tasks:
            await self._ledger.renew()
        self._held(now)

    def _held(self, since: float) -> None:
        """What is ours is ours for a lease's time from `since`, when the database was asked."""
        lease = self._ledger.lease.total_seconds()
        self._held_until, self._renew_at = since + lease, since + lease / 4
        self._slots.renewed()

    async def _look(self) -> None:
        """Take what is free, go on with what has changed, stop what is ours no more."""
        if not self._tasks:
            # Nothing is held: a claim is as good as a renewal.
            self._held(asyncio.get_running_loop().time())
        claimed = await self._ledger.claim(self._post.formats.names)
        if not (claimed or self._tasks or self._has_some):
            return
        revisions = await self._ledger.revisions()
        self._has_some = bool(revisions)
        for identity, task in list(self._tasks.items()):
            courier = self._couriers[identity]
            if task.done():
                del self._tasks[identity], self._couriers[identity]
                if not task.cancelled() and (error := task.exception()) is not None:
                    log.error("a webhook's courier stopped, it is replaced", exc_info=error)
            elif identity not in revisions:
                task.cancel()
            elif courier.webhook.revision != revisions[identity]:
                courier.stop()
        for identity in revisions.keys() - self._tasks.keys():
            await self._start(identity)

    async def _start(self, identity: str) -> None:
        await self._writer.flush()  # what an earlier courier has left
        webhook = await self._ledger.start(identity)
        if webhook is None:
            return
        courier = Courier(self._post, webhook)
        self._couriers[identity] = courier
        self._tasks[identity] = asyncio.create_task(courier.run())

    async def _check(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._check_at:
            return
        self._check_at = now + _CHECK_SECONDS
        for courier in list(self._couriers.values()):
            await self._renew()  # which does nothing until it is time: this may take long
            await courier.check()

    async def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_SECONDS
        before = self._post.clock.now() - self._keep
        for identity in list(self._couriers):
            await self._ledger.sweep(identity, before=before, kept=self._kept)

    async def _stop(self, writing: "asyncio.Task[None]") -> None:
        for courier in self._couriers.values():
            courier.stop()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await self._writer.finish(_LAST_SECONDS)
        try:
            await self._ledger.release()
        except StorageError:
            log.warning("webhooks are let go when the lease ends")


def lease_of(poster: Poster) -> timedelta:
    """Long enough for an attempt that begins just before it is renewed."""
    return timedelta(seconds=2 * (poster.timeout + MARGIN_SECONDS))
