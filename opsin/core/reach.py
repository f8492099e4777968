"""Which companies an account reaches: its own, those it is a member of, those linked to these."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import select, union

from opsin.core.engine.bounded_cache import BoundedCache
from opsin.core.known_keys import Together
from opsin.storage.applications import company_links
from opsin.storage.curation import memberships
from opsin.storage.database import Database
from opsin.storage.tables import accounts, companies

KNOWN_SECONDS = 1.0
"""For so long what another process has ended may still be taken for true."""

_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Reached:
    """Companies, id to name, in the order of their names."""

    own: Mapping[str, str]
    """The account's own, and those it is a member of."""
    all: Mapping[str, str]
    """Those and the ones that are linked to them; a link leads one way, and no further."""


class Reach:
    """Looks up what accounts reach, at most once in KNOWN_SECONDS for each."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: BoundedCache[str, tuple[float, Reached]] = BoundedCache(_MOST_KNOWN)
        self._together = Together()
        self._changes = 0

    async def of(self, account_id: str) -> Reached:
        """What the account reaches; nothing for an unknown one."""
        known = self._known.get(account_id)
        if known is not None and self._clock() - known[0] < KNOWN_SECONDS:
            return known[1]
        # Whoever asks after a change does not share a reading from before it.
        question = (self._changes, account_id)
        return await self._together.once(question, lambda: self._read(account_id))

    def forget(self) -> None:
        """Something was changed here: nothing that was read before is taken any more."""
        self._changes += 1
        self._known.shrink(0)

    async def _read(self, account_id: str) -> Reached:
        begun, changes = self._clock(), self._changes
        own = union(
            select(accounts.c.company_id).where(accounts.c.id == account_id),
            select(memberships.c.company_id).where(memberships.c.account_id == account_id),
        ).subquery()
        ids = select(own.c.company_id)
        linked = select(company_links.c.linked_company_id).where(
            company_links.c.company_id.in_(ids)
        )
        statement = (
            select(companies.c.id, companies.c.name, companies.c.id.in_(ids).label("is_own"))
            .where(companies.c.id.in_(ids) | companies.c.id.in_(linked))
            .order_by(companies.c.name, companies.c.id)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        found = Reached(
            MappingProxyType({row.id: row.name for row in rows if row.is_own}),
            MappingProxyType({row.id: row.name for row in rows}),
        )
        if changes == self._changes:
            self._known.put(account_id, (begun, found), 1)
        return found
