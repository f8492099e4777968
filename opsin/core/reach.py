"""Which companies an account reaches, and what it may do there.

Its own, those that it is a member of, and those that are linked to these.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import Select, Table, cast, literal, null, select, union, union_all

from opsin.core.bounded_cache import BoundedCache
from opsin.core.known_keys import Together
from opsin.core.roles import Permission, Rights, permissions_of, rights_of
from opsin.storage.applications import company_links
from opsin.storage.curation import memberships
from opsin.storage.database import Database
from opsin.storage.tables import Id, accounts, companies, dataset_roles

KNOWN_SECONDS = 1.0
"""For so long what another process has ended may still be taken for true."""

_MOST_KNOWN = 10_000
_OWN, _LINK, _DATASET = "own", "link", "dataset"


@dataclass(frozen=True, slots=True)
class Reached:
    """Companies, id to name, in the order of their names."""

    own: Mapping[str, str]
    """The account's own, and those it is a member of."""
    all: Mapping[str, str]
    """Those and the ones that are linked to them; a link leads one way, and no further."""
    rights: Mapping[str, Rights]
    """What the account may do in each of them."""


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
        async with self._database.read() as connection:
            rows = (await connection.execute(_roles(account_id))).all()
        found = _reached(rows)
        if changes == self._changes:
            self._known.put(account_id, (begun, found), 1)
        return found


def _roles(account_id: str) -> Select[Any]:
    """Every role of an account: (kind, company_id, through, dataset_id, role, name of company)."""
    nothing = cast(null(), Id)
    is_own = accounts.c.id == account_id
    is_member = memberships.c.account_id == account_id
    own = union(
        select(accounts.c.company_id).where(is_own),
        select(memberships.c.company_id).where(is_member),
    ).subquery()

    def told(kind: str, table: Table, company: Any, through: Any, dataset: Any) -> Select[Any]:
        return select(
            literal(kind).label("kind"),
            company.label("company_id"),
            through.label("through"),
            dataset.label("dataset_id"),
            table.c.role.label("role"),
        )

    links, ids = company_links.c, select(own.c.company_id)
    roles = union_all(
        told(_OWN, accounts, accounts.c.company_id, nothing, nothing).where(is_own),
        told(_OWN, memberships, memberships.c.company_id, nothing, nothing).where(is_member),
        told(_LINK, company_links, links.linked_company_id, links.company_id, nothing).where(
            links.company_id.in_(ids)
        ),
        told(
            _DATASET, dataset_roles, dataset_roles.c.company_id, nothing, dataset_roles.c.dataset_id
        ).where(dataset_roles.c.account_id == account_id),
    ).subquery()
    return (
        select(roles, companies.c.name)
        .join(companies, companies.c.id == roles.c.company_id)
        .order_by(companies.c.name, companies.c.id)
    )


def _reached(rows: Sequence[Any]) -> Reached:
    own = {row.company_id: row.name for row in rows if row.kind == _OWN}
    companies_of_all = {row.company_id: row.name for row in rows if row.kind != _DATASET}
    given: dict[str, frozenset[Permission]] = dict.fromkeys(companies_of_all, frozenset())
    for row in rows:
        if row.kind == _OWN:
            given[row.company_id] |= permissions_of(row.role)
    as_members = dict(given)
    for row in rows:
        if row.kind == _LINK:  # never more than in the company that the link leads from
            given[row.company_id] |= permissions_of(row.role) & as_members[row.through]
    rights = {
        company_id: rights_of(
            permissions,
            [
                (row.dataset_id, row.role)
                for row in rows
                if row.kind == _DATASET and row.company_id == company_id and company_id in own
            ],
        )
        for company_id, permissions in given.items()
    }
    return Reached(
        MappingProxyType(own), MappingProxyType(companies_of_all), MappingProxyType(rights)
    )
