"""Notifications: a user's socket is told when an application has finished an image."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import select
from starlette.websockets import WebSocket

from opsin.compat.haut.answers import moment
from opsin.compat.haut.broadcast import Broadcast, Frame, Listener
from opsin.compat.haut.gate import Gate
from opsin.compat.haut.results import text_of
from opsin.core.access import Principal
from opsin.core.errors import Forbidden
from opsin.core.gathering import Gathering
from opsin.core.use_cases import UseCases
from opsin.storage.event_log import Event, EventFilter, read_events
from opsin.storage.tables import events

EVENT = "photo_calculated_by_app"
KINDS = ("run.completed",)
BACKLOG = timedelta(seconds=60)
"""How long what happened while no socket was open is kept for the next one."""
MOST_EARLIER = 1000
"""Of one company; of more the newest."""
_NOT_YOURS = "user_id must be the number of the user whose token this is"


class Notifications:
    """One frame for each image and application, also of the last minute; no greeting."""

    def __init__(
        self, use_cases: UseCases, gate: Gate, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._use_cases = use_cases
        self._gate = gate
        self._clock = clock
        self._broadcast = Broadcast(use_cases.events, KINDS, self._frames)
        self._earlier: Gathering[str, Sequence[Frame]] = Gathering(self._read_earlier)
        self._delivered: dict[tuple[str, str], tuple[float, int]] = {}
        """When a socket of an account was closed, and the last event it had of a company."""
        self._forgotten_at = clock()

    async def serve(self, socket: WebSocket) -> None:
        """Until the client goes; raises what the handshake is refused with."""
        principal = await self._gate.listener(socket)
        account_id = await self._own_account(principal, socket.query_params.get("user_id"))
        companies = [principal.company_id]
        if principal.reaches_all:
            companies = list(await self._use_cases.accounts.companies_of(account_id))
        listener = Listener(socket, partial(self._confirm, principal, companies))
        try:
            await self._broadcast.join(listener, companies)
            earlier = [
                frame
                for company_id in companies
                for frame in await asyncio.shield(self._earlier.ask(company_id, company_id))
                if frame.sequence > self._delivered_to(account_id, company_id)
            ]
            await listener.run(sorted(earlier, key=lambda frame: frame.sequence))
        finally:
            await self._broadcast.leave(listener, companies)
            self._remember(account_id, listener)

    async def _confirm(
        self, principal: Principal, company_ids: Sequence[str]
    ) -> Mapping[str, Principal]:
        """Raises Unauthenticated also where one of the companies is open to the caller no more."""
        confirm = self._use_cases.access.confirm
        asked = [confirm(replace(principal, company_id=one)) for one in company_ids]
        return {one.company_id: one for one in await asyncio.gather(*asked)}

    async def _own_account(self, principal: Principal, user_id: str | None) -> str:
        """The caller's account, whose number the client must name; Forbidden."""
        account = None
        if principal.account_id is not None:
            account = await self._use_cases.accounts.find(principal.account_id)
        if account is None or user_id is None or user_id.strip() != str(account.number):
            raise Forbidden(_NOT_YOURS)
        return account.id

    async def _frames(self, company_id: str, found: Sequence[Event]) -> list[Frame]:
        return [
            Frame(company_id, event.dataset_id, event.sequence, text)
            for event, text in zip(found, await self._texts(company_id, found), strict=True)
        ]

    async def _texts(self, company_id: str, found: Sequence[Event]) -> list[str]:
        ids = sorted({event.data["application_id"] for event in found})
        reader = Principal(company_id, "notifications")
        known = await self._use_cases.applications.find_many(reader, ids)
        texts = []
        for event in found:
            application = known.get(event.data["application_id"])
            meta = {
                "company_id": company_id,
                "dataset_id": event.dataset_id,
                "subject_id": event.data["subject_id"],
                "batch_id": event.data["batch_id"],
                "image_id": event.image_id,
                "application_id": event.data["application_id"],
                "application_name": None if application is None else application.title,
                "application_run_id": event.data["run_id"],
            }
            told = {"event": EVENT, "creation_time": moment(event.created_at), "meta": meta}
            texts.append(text_of(told).decode())
        return texts

    # --- what happened before -------------------------------------------------------------------

    async def _read_earlier(self, company_ids: Sequence[str]) -> list[Sequence[Frame]]:
        """The last minute of each company, for all who connect at the same moment."""
        return [await self._last_minute(company_id) for company_id in company_ids]

    async def _last_minute(self, company_id: str) -> list[Frame]:
        """The newest of them, oldest first."""
        mine = select(events.c.sequence).where(events.c.company_id == company_id)
        # Both from the newest back: they stop at the first that is too old, or too many.
        newest_first = events.c.sequence.desc()
        too_old = (
            mine.where(events.c.created_at < datetime.now(UTC) - BACKLOG)
            .order_by(newest_first)
            .limit(1)
        )
        async with self._use_cases.database.read() as connection:
            after = (await connection.execute(too_old)).scalar() or 0
            too_many = (
                mine.where(events.c.kind.in_(KINDS), events.c.sequence > after)
                .order_by(newest_first)
                .offset(MOST_EARLIER)
                .limit(1)
            )
            after = (await connection.execute(too_many)).scalar() or after
            found = await read_events(
                connection, EventFilter(company_id, KINDS), after=after, limit=MOST_EARLIER
            )
        return await self._frames(company_id, found)

    def _delivered_to(self, account_id: str, company_id: str) -> int:
        return self._delivered.get((account_id, company_id), (0.0, 0))[1]

    def _remember(self, account_id: str, listener: Listener) -> None:
        """What a socket that is closed now has had is not sent to the account's next one."""
        now, kept = self._clock(), BACKLOG.total_seconds()
        if now > self._forgotten_at + kept:
            self._forgotten_at = now
            known = self._delivered.items()
            self._delivered = {key: one for key, one in known if one[0] > now - kept}
        for company_id, sequence in listener.sent.items():
            reached = max(sequence, self._delivered_to(account_id, company_id))
            self._delivered[account_id, company_id] = now, reached
