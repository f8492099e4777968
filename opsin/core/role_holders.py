"""Who can have a role: the people and keys of a company, and whether somebody administers it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import InvalidInput, NotFound
from opsin.core.live_keys import KEY
from opsin.core.principal import Principal
from opsin.core.roles import Role
from opsin.storage.curation import memberships
from opsin.storage.ids import canonical_id
from opsin.storage.tables import accounts, api_keys

MOST_DATASETS = 1000
"""In which a key, or an account, can have a role of its own."""
NO_HOLDER = "There is no such account or key here"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a role: an account or a key of a company, by id; exactly one of them."""

    account_id: str | None = None
    key_id: str | None = None

    def __post_init__(self) -> None:
        if (self.account_id is None) == (self.key_id is None):
            raise InvalidInput("Name either an account or a key")

    @property
    def subject(self) -> tuple[str, str]:
        """What it is, and its id."""
        return ("account", self.account_id) if self.account_id else ("key", self.key_id or "")

    def rows(self, table: Table) -> ColumnElement[bool]:
        """The holder's rows of a table that has `account_id` and `key_id`."""
        if self.account_id is not None:
            return table.c.account_id == self.account_id
        return table.c.key_id == self.key_id


async def find_holder(
    connection: AsyncConnection,
    principal: Principal,
    holder: Holder,
    *,
    lock: bool = False,
) -> Holder:
    """The holder with the id as it is stored; NotFound for one that is not of the company."""
    kind, given = holder.subject
    identity = canonical_id(given)
    table = accounts if kind == "account" else api_keys
    mine = _is_in(principal.company_id) if kind == "account" else _is_key(principal.company_id)
    statement = select(table.c.id).where(table.c.id == identity, mine)
    if lock:  # so that those who count its roles do so one after the other
        statement = statement.with_for_update(of=table)
    if identity is None or (await connection.execute(statement)).scalar() is None:
        raise NotFound(NO_HOLDER)
    return Holder(identity) if kind == "account" else Holder(key_id=identity)


def _is_in(company_id: str) -> ColumnElement[bool]:
    """The accounts whose own company it is, or that are members of it."""
    inside = select(memberships.c.account_id).where(memberships.c.company_id == company_id)
    return or_(accounts.c.company_id == company_id, accounts.c.id.in_(inside))


def _is_key(company_id: str) -> ColumnElement[bool]:
    return and_(
        api_keys.c.company_id == company_id,
        api_keys.c.kind == KEY,
        api_keys.c.revoked_at.is_(None),
    )


def role_rows(company_id: str, holder: Holder) -> list[Any]:
    """Updates of every row that says what the holder may do in the whole company."""
    if holder.key_id is not None:
        return [update(api_keys).where(api_keys.c.id == holder.key_id, _is_key(company_id))]
    return [
        update(accounts).where(
            accounts.c.id == holder.account_id, accounts.c.company_id == company_id
        ),
        update(memberships).where(
            memberships.c.account_id == holder.account_id, memberships.c.company_id == company_id
        ),
    ]


async def is_administered(connection: AsyncConnection, principal: Principal) -> bool:
    """Whether somebody administers the company: a person, or a key that is nobody's."""
    company_id, admin = principal.company_id, Role.ADMIN.value
    joined = (memberships.c.account_id == accounts.c.id) & (memberships.c.company_id == company_id)
    people = (
        select(accounts.c.id)
        .outerjoin(memberships, joined)
        .where(
            accounts.c.is_active,
            or_(
                and_(accounts.c.company_id == company_id, accounts.c.role == admin),
                memberships.c.role == admin,
            ),
        )
    )
    keys = select(api_keys.c.id).where(
        _is_key(company_id),
        api_keys.c.role == admin,
        api_keys.c.account_id.is_(None),
        api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > datetime.now(UTC)),
    )
    for statement in (people, keys):
        if (await connection.execute(statement.limit(1))).first() is not None:
            return True
    return False
