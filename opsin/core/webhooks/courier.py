"""One webhook's deliveries: events in order, what failed again, one after the other."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from opsin.core import tracing
from opsin.core.errors import ConfigurationError, OpsinError, StorageError
from opsin.core.events import RESYNC
from opsin.core.webhooks.attempt_ends import Ended
from opsin.core.webhooks.endings import Endings
from opsin.core.webhooks.formats import Outgoing
from opsin.core.webhooks.keepers import Silenced
from opsin.core.webhooks.ledger import Due
from opsin.core.webhooks.post import Post
from opsin.core.webhooks.posting import Answer, Lane
from opsin.core.webhooks.records import Delivery, Webhook, delivery_id
from opsin.storage.event_log import Event, EventFilter

log = logging.getLogger(__name__)

_REST_SECONDS = 10.0
"""Without anything to send, before connections are closed."""
_PAUSE_SECONDS = 1.0
_NOT_IN_LOG = "the event is in the log no more"
_NOT_WRITTEN = "the payload could not be made; the server's log says why"


class Courier:
    """Sends to one webhook for as long as it is this sender's.

    New events come from the log, which holds them for as long as the receiver needs; in memory
    there is one group of them.  What failed has a row, and comes again when its time has come.
    """

    def __init__(self, post: Post, webhook: Webhook) -> None:
        self.webhook = webhook
        self._post = post
        self._lane: Lane = post.poster.lane()
        self._endings = Endings(webhook, post.schedule, post.formats.get(webhook.format))
        self._wanted = EventFilter(
            webhook.company_id, kinds=tuple(webhook.kinds), dataset_id=webhook.dataset_id
        )
        self._read_to = webhook.position
        self._events: deque[Event] = deque()
        self._following: AsyncIterator[list[Event]] | None = None
        self._reading: asyncio.Task[list[Event]] | None = None
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._must_look = True
        # Whether the next event comes before those that are due: one of these has just failed.
        self._gives_way = False
        self._due_at: datetime | None = None
        self._held_until: datetime | None = None
        self._woken = asyncio.Event()
        self._is_stopping = False

    def stop(self) -> None:
        """Begin nothing more; what is under way ends."""
        self._is_stopping = True
        self._woken.set()

    async def check(self) -> None:
        """Pause the webhook if nothing may be told to it, also when there is nothing to tell."""
        try:
            await self._post.keepers.check(self.webhook)
        except Silenced as silenced:
            if not self._endings.is_paused:
                await self._add(self._endings.stopped(self._now(), silenced.reason), is_known=False)
                self._woken.set()

    async def run(self) -> None:
        """Until it is stopped, or the webhook is paused; cancelled, attempts are cut."""
        try:
            while True:
                self._woken.clear()
                pause: float | None = None
                if self._is_stopping or self._endings.is_paused:
                    if not self._attempts:
                        return
                elif len(self._attempts) < self.webhook.parallel:
                    found, pause = await self._choose()
                    if found is not None:
                        self._begin(found)
                        continue
                await self._wait(pause)
        finally:
            await self._end()

    async def _wait(self, seconds: float | None) -> None:
        if self._attempts or not self._lane.is_open:
            await self._post.clock.wait(self._woken, seconds)
            return
        shorter = _REST_SECONDS if seconds is None else min(seconds, _REST_SECONDS)
        await self._post.clock.wait(self._woken, shorter)
        if not self._woken.is_set() and shorter == _REST_SECONDS:
            # An open connection to somebody who is told nothing serves nobody.
            self._lane.rest()

    async def _choose(self) -> tuple[Due | Event | None, float | None]:
        """What is to be sent now, or how long to wait; without either, until something happens."""
        now = self._post.clock.now()
        blocked = self._endings.blocked_until
        if blocked is not None and blocked > now:
            return None, (blocked - now).total_seconds()
        if self._must_look:
            self._must_look = False
            self._due_at, self._held_until = await self._post.ledger.next_due(
                self.webhook.id, without=self._attempts
            )
        gives_way = self._gives_way and self._events and self._held_until is None
        if self._due_at is not None and self._due_at <= now and not gives_way:
            self._must_look = True
            due = await self._post.ledger.due(self.webhook.id, now, without=self._attempts)
            return due, 0.0
        if self._held_until is not None:
            return None, (self._held_until - now).total_seconds()
        if self._events:
            self._gives_way = False
            return self._events.popleft(), None
        self._read_on()
        return None, None if self._due_at is None else (self._due_at - now).total_seconds()

    def _read_on(self) -> None:
        """Have the next events of the log read, or waited for."""
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            self._take(reading)
        if self._reading is None and not self._events:
            self._reading = asyncio.create_task(self._next_events())
            self._reading.add_done_callback(lambda _: self._woken.set())

    def _take(self, reading: "asyncio.Task[list[Event]]") -> None:
        if reading.cancelled():  # no one follows the log any more: the server is about to end
            self.stop()
            return
        for event in reading.result():
            if event.kind != RESYNC:
                self._events.append(event)
                self._read_to = event.sequence
        self._woken.set()

    async def _next_events(self) -> list[Event]:
        while True:
            if self._following is None:
                self._following = self._post.events.follow(self._wanted, after=self._read_to)
            try:
                return await anext(self._following)
            except StorageError:
                log.warning("the event log cannot be read, trying again")
                self._following = None
                await asyncio.sleep(_PAUSE_SECONDS)

    def _begin(self, found: Due | Event) -> None:
        if isinstance(found, Due):
            identity, event, delivery = found.delivery.id, found.event, found.delivery
        else:
            identity, event, delivery = delivery_id(self.webhook.id, found), found, None
            self._endings.begun(found.sequence)
        task = asyncio.create_task(self._deliver(identity, event, delivery))
        self._attempts[identity] = task
        task.add_done_callback(lambda done: self._done(identity, done))

    def _done(self, identity: str, task: "asyncio.Task[None]") -> None:
        del self._attempts[identity]
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Not written, so it comes again when another courier takes the webhook up.
            log.error("a delivery failed unexpectedly", exc_info=error)
            self.stop()

    async def _deliver(self, identity: str, event: Event | None, delivery: Delivery | None) -> None:
        if event is None:
            assert delivery is not None, "what comes from the log is in the log"
            given_up = self._endings.abandoned(delivery, self._now(), _NOT_IN_LOG)
            await self._add(given_up, is_known=True)
            return
        async with self._post.slots.taken(is_failing=self._endings.failures > 0):
            sent_at = self._now()
            try:
                parent = await self._parent(event)
                with tracing.span("send a webhook", kind="client", parent=parent) as span:
                    answer = await self._answer(identity, event, sent_at)
                    _tell(span, answer)
            except ConfigurationError as error:
                await self._add(self._endings.stopped(sent_at, error.message), is_known=False)
                return
            except Silenced as silenced:
                await self._add(self._endings.stopped(sent_at, silenced.reason), is_known=False)
                return
            except StorageError:
                # Not written, so it comes again when another courier takes the webhook up.
                log.warning("who answers for a webhook cannot be asked, trying again")
                self.stop()
                return
        ended = self._endings.ended(identity, event, delivery, answer, sent_at, self._now())
        self._post.counts.add(answer, ended)
        await self._add(ended, is_known=delivery is not None)

    async def _parent(self, event: Event) -> tracing.Place:
        """Where in a trace the analysis was asked that the event tells of."""
        if tracing.tracer is None or event.analysis_id is None:
            return tracing.NOWHERE
        return await self._post.ledger.traceparent(event.analysis_id) or tracing.NOWHERE

    async def _answer(self, identity: str, event: Event, sent_at: datetime) -> Answer | None:
        """What the receiver says; None when its format has nothing to say about the event."""
        post, webhook = self._post, self.webhook
        outgoing = Outgoing(webhook, event, identity, sent_at, post.secrets.valid(webhook, sent_at))
        try:
            request = await self._endings.format.write(outgoing)
        except Exception as error:
            log.error("a webhook's payload could not be made", exc_info=error)
            return Answer(None, _NOT_WRITTEN, 0.0)
        if request is None:
            return None
        await post.keepers.check(webhook)
        if (place := tracing.place()) is not None:
            request = replace(request, headers={**request.headers, "traceparent": place})
        return await self._lane.post(webhook.url, request)

    async def _add(self, ended: Ended, *, is_known: bool) -> None:
        """Have it written; `is_known` when it was looked for and found in the database."""
        await self._post.writer.add(ended)
        is_again = ended.delivery is not None and ended.delivery.next_attempt_at is not None
        if is_again or is_known or ended.pause is not None:
            # The next look must find it as it is now, before anything that follows is sent.
            await self._post.writer.flush()
            self._must_look = True
            self._gives_way = is_again

    async def _end(self) -> None:
        tasks: list[asyncio.Task[object]] = [*self._attempts.values()]
        if self._reading is not None:
            tasks.append(self._reading)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._following is not None:
            with suppress(OpsinError):
                await self._following.aclose()  # type: ignore[attr-defined]  # it is a generator
        self._lane.rest()

    def _now(self) -> datetime:
        return self._post.clock.now()


def _tell(span: tracing.Span, answer: Answer | None) -> None:
    """How an attempt went; nothing of where it went to."""
    if answer is None:
        span.set("opsin.said_nothing", True)
    elif answer.status is not None:
        span.set("http.response.status_code", answer.status)
    if answer is not None and not answer.is_success:
        span.fail("no success")
