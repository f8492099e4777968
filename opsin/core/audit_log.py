"""The audit read: who did what, for administrators and the operator; and its own retention."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.actors import opsin_itself
from opsin.core.conditions import Condition, among, at_least, below, equal, expressions, has_id
from opsin.core.datasets import require_dataset
from opsin.core.pages import Listing, Order, Page, PageRequest, read_page, read_total
from opsin.core.records import columns_of, to_record
from opsin.core.roles import Permission
from opsin.core.storable import is_storable_text
from opsin.storage.audit import audit_entries, audit_horizon
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, least_id

NEWEST_FIRST: Final = Order(descending=True)
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did."""

    id: str
    company_id: str
    action: str
    actor_kind: str
    actor_id: str | None
    key_id: str | None
    actor_name: str
    subject_kind: str | None
    subject_id: str | None
    dataset_id: str | None
    details: dict[str, Any]
    request_id: str | None
    created_at: datetime


LISTING = Listing(audit_entries, AuditEntry)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; None means any."""

    actor: str | None = None
    """The id of an account or a key, or a name."""
    action: tuple[str, ...] | None = None
    subject: str | None = None
    """The id of what it was done to."""
    dataset_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    key: str | None = None
    """The id of the token that was shown."""

    def conditions(self) -> tuple[Condition, ...]:
        """A text that cannot be stored is in no entry."""
        by = equal("actor_name", self.actor)
        if self.actor is not None and canonical_id(self.actor) is not None:
            by = equal("actor_id", canonical_id(self.actor))
        given = [self.actor, self.subject, *(self.action or ())]
        if not all(one is None or is_storable_text(one) for one in given):
            return tuple(among("action", ()))
        return (
            *by,
            *among("action", self.action),
            *equal("subject_id", self.subject),
            *has_id("dataset_id", self.dataset_id),
            *has_id("key_id", self.key),
            *at_least("created_at", self.since),
            # An entry gets its id after its time, and the ids have the index.
            *at_least("id", None if self.since is None else least_id(self.since)),
            *below("created_at", self.until),
        )


class AuditLog:
    """Reads what was noted; removes what is older than it is kept."""

    def __init__(self, database: Database, *, days: int | None = None) -> None:
        """`days` are how long entries are kept; None: for ever."""
        self._database = database
        self._days = days

    async def page(
        self, principal: Principal, wanted: AuditFilter, request: PageRequest
    ) -> Page[AuditEntry]:
        """Entries of the caller's company, for its administrators.

        Of one dataset also for whoever administers only that.  Raises Forbidden for all others.
        """
        conditions = await self._of(principal, wanted)
        async with self._database.read() as connection:
            return await read_page(connection, LISTING, conditions, request)

    async def total(self, principal: Principal, wanted: AuditFilter) -> int:
        """How many there are."""
        conditions = await self._of(principal, wanted)
        async with self._database.read() as connection:
            return await read_total(connection, LISTING, conditions)

    async def _of(self, principal: Principal, wanted: AuditFilter) -> list[ColumnElement[bool]]:
        if not principal.may(Permission.ADMIN):
            if wanted.dataset_id is None:
                principal.require(Permission.ADMIN)
            async with self._database.read() as connection:
                dataset = await require_dataset(connection, principal, wanted.dataset_id or "")
            principal.require(Permission.ADMIN, dataset.id)
        mine = audit_entries.c.company_id == principal.company_id
        return [mine, *expressions(audit_entries, wanted.conditions())]

    async def read(
        self,
        wanted: AuditFilter,
        *,
        company_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """The newest entries of one company or of all, or the first after an id; oldest first.

        For the command line, which no tenant reaches.
        """
        table = audit_entries
        conditions = expressions(table, wanted.conditions())
        if company_id is not None:
            conditions.append(table.c.company_id == company_id)
        order = table.c.id.desc()
        if after is not None:
            conditions.append(table.c.id > after)
            order = table.c.id.asc()
        statement = select(*columns_of(table, AuditEntry)).where(*conditions)
        async with self._database.read() as connection:
            rows = await connection.execute(statement.order_by(order).limit(limit))
            found = [to_record(AuditEntry, row) for row in rows]
        return found if after is not None else found[::-1]

    async def sweep(self, now: datetime | None = None) -> int:
        """Remove entries that are older than they are kept, by whole days; gives how many."""
        if self._days is None:
            return 0
        now = now or datetime.now(UTC)
        kept_from = (now - timedelta(days=self._days)).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        if await self._oldest() >= kept_from:
            return 0
        await self._move_horizon(kept_from)
        count = 0
        while removed := await self._remove(kept_from):
            count += removed
        return count

    async def _oldest(self) -> datetime:
        statement = select(audit_entries.c.created_at).order_by(audit_entries.c.id).limit(1)
        async with self._database.read() as connection:
            found: datetime | None = (await connection.execute(statement)).scalar()
        return found or datetime.max.replace(tzinfo=UTC)

    async def _move_horizon(self, kept_from: datetime) -> None:
        """The database lets go of what is older than this, and of nothing else."""
        table = audit_horizon
        async with self._database.write() as transaction:
            connection = transaction.connection
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            first = dialect.insert(table).values(id=1, kept_from=kept_from)
            await connection.execute(first.on_conflict_do_nothing())
            further = update(table).where(table.c.kept_from < kept_from)
            await connection.execute(further.values(kept_from=kept_from))

    async def _remove(self, kept_from: datetime) -> int:
        """Some of them, and a line for each company that says how many."""
        table = audit_entries
        some = (
            select(table.c.id)
            .where(table.c.id < least_id(kept_from), table.c.created_at < kept_from)
            .order_by(table.c.id)
            .limit(_AT_ONCE)
        )
        counts: dict[str, int] = {}
        async with self._database.write() as transaction:
            statement = delete(table).where(table.c.id.in_(some)).returning(table.c.company_id)
            for company_id in (await transaction.connection.execute(statement)).scalars():
                counts[company_id] = counts.get(company_id, 0) + 1
            for company_id, count in counts.items():
                audit.note(
                    transaction, opsin_itself(company_id, "retention"), "audit.expire",
                    count=count, before=kept_from.isoformat(),
                )  # fmt: skip
        return sum(counts.values())
