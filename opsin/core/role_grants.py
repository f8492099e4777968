"""Who may do what: the roles of people and keys, in the company and in single datasets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import KEY, MOST_DATASETS, Access, Principal
from opsin.core.errors import Conflict, InvalidInput, LimitReached, NotFound
from opsin.core.roles import Permission, Role
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.curation import memberships
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import accounts, api_keys, companies, dataset_roles, datasets

MOST_MEMBERS = 1000
"""Of a company, in their list."""

_NO_HOLDER = "There is no such account or key here"


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


@dataclass(frozen=True, slots=True)
class DatasetRole:
    """What somebody may do in one dataset, beside what they may do in the whole company."""

    dataset_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Member:
    """An account that is in the company, and its roles there."""

    account_id: str
    email: str
    full_name: str
    is_active: bool
    role: Role | None
    """In the whole company."""
    datasets: tuple[DatasetRole, ...] = ()


class RoleGrants:
    """Gives and takes roles, for administrators: of the company, or of the dataset it is about.

    What is given here holds at once in this process, and within KNOWN_SECONDS in others.  Nobody
    gives more than they have: who administers something has all rights in it.
    """

    def __init__(self, database: Database, access: Access) -> None:
        self._database = database
        self._access = access

    async def members(self, principal: Principal) -> list[Member]:
        """The company's people by e-mail address; nobody, for who does not read all of it."""
        if not principal.may(Permission.READ):
            return []
        async with self._database.read() as connection:
            rows = await _people(connection, principal.company_id)
            given = await self._in_datasets(connection, principal, dataset_roles.c.account_id)
        return [
            Member(
                row.id,
                row.email,
                row.full_name,
                row.is_active,
                _strongest(row.own_role, row.member_role),
                tuple(given.get(row.id, ())),
            )
            for row in rows
        ]

    async def of_keys(self, principal: Principal) -> dict[str, list[DatasetRole]]:
        """What the company's keys may do in single datasets, by the keys' ids."""
        if not principal.may(Permission.READ):
            return {}
        async with self._database.read() as connection:
            return await self._in_datasets(connection, principal, dataset_roles.c.key_id)

    async def dataset(self, principal: Principal, wanted: str) -> str:
        """The id of the dataset with this id, or with this name where only one has it.

        Raises NotFound, InvalidInput for a name of several.
        """
        named = datasets.c.name == wanted
        identity = canonical_id(wanted)
        statement = (
            select(datasets.c.id)
            .where(
                within(principal, datasets),
                named if identity is None else or_(named, datasets.c.id == identity),
                *not_deleted(datasets),
            )
            .limit(2)
        )
        async with self._database.read() as connection:
            found = list((await connection.execute(statement)).scalars())
        if not found:
            raise NotFound(f"There is no dataset {wanted!r}")
        if len(found) > 1:
            raise InvalidInput(f"Several datasets are named {wanted!r}: give the id")
        one: str = found[0]
        return one

    async def set_role(self, principal: Principal, holder: Holder, role: Role | None) -> None:
        """What the holder may do in the whole company; None: only what it may in single datasets.

        Raises Forbidden, NotFound, and Conflict where the company would have no administrator left.
        """
        if not principal.may(Permission.READ):
            raise NotFound(_NO_HOLDER)
        principal.require(Permission.ADMIN)
        stored = None if role is None else role.value
        async with self._database.write() as transaction:
            connection = transaction.connection
            # Two who take each other's role at once must not both find the other.  Not against
            # those who write rows of the company: one that holds the account may wait for that.
            await connection.execute(
                select(companies.c.id)
                .where(companies.c.id == principal.company_id)
                .with_for_update(key_share=True)
            )
            found = await self._found(connection, principal, holder)
            changed = 0
            for statement in _role_rows(principal.company_id, found):
                changed += (await connection.execute(statement.values(role=stored))).rowcount
            if not changed:
                raise NotFound(_NO_HOLDER)
            if principal.kind != "operator" and not await _is_administered(connection, principal):
                raise Conflict("The company needs an administrator: make somebody else one first")
            audit.note(transaction, principal, "role.set", found.subject, role=stored)
        self._changed(found)

    async def grant(
        self, principal: Principal, dataset_id: str, holder: Holder, role: Role
    ) -> DatasetRole:
        """A role in one dataset, instead of the one that the holder had there, if any.

        Raises NotFound, Forbidden, LimitReached.
        """
        async with self._database.write() as transaction:
            connection = transaction.connection
            dataset = await self._administered(connection, principal, dataset_id)
            found = await self._found(connection, principal, holder, lock=True)
            its = found.rows(dataset_roles) & (dataset_roles.c.company_id == principal.company_id)
            here = its & (dataset_roles.c.dataset_id == dataset)
            again = update(dataset_roles).where(here).values(role=role.value)
            if not (await connection.execute(again)).rowcount:
                counted = select(func.count()).select_from(dataset_roles).where(its)
                if (await connection.execute(counted)).scalar_one() >= MOST_DATASETS:
                    raise LimitReached(f"Roles can be given in at most {MOST_DATASETS} datasets")
                values = {
                    "id": new_id(),
                    "company_id": principal.company_id,
                    "dataset_id": dataset,
                    "account_id": found.account_id,
                    "key_id": found.key_id,
                    "role": role.value,
                    "created_at": datetime.now(UTC),
                }
                await connection.execute(insert(dataset_roles).values(values))
            _note(transaction, principal, "dataset_role.grant", found, dataset, role=role.value)
        self._changed(found)
        return DatasetRole(dataset, role)

    async def revoke(self, principal: Principal, dataset_id: str, holder: Holder) -> bool:
        """End the holder's role in a dataset; gives whether there was one.  NotFound, Forbidden."""
        async with self._database.write() as transaction:
            connection = transaction.connection
            dataset = await self._administered(connection, principal, dataset_id)
            found = await self._found(connection, principal, holder)
            ended = delete(dataset_roles).where(
                found.rows(dataset_roles),
                dataset_roles.c.company_id == principal.company_id,
                dataset_roles.c.dataset_id == dataset,
            )
            was_given = (await connection.execute(ended)).rowcount > 0
            if was_given:
                _note(transaction, principal, "dataset_role.revoke", found, dataset)
        self._changed(found)
        return was_given

    async def _administered(
        self, connection: AsyncConnection, principal: Principal, dataset_id: str
    ) -> str:
        """The id of a dataset that the caller sees and administers."""
        wanted = canonical_id(dataset_id)
        statement = select(datasets.c.id).where(
            datasets.c.id == wanted, within(principal, datasets), *not_deleted(datasets)
        )
        found: str | None = None
        if wanted is not None:
            found = (await connection.execute(statement)).scalar()
        if found is None:
            raise NotFound("Dataset not found")
        principal.require(Permission.ADMIN, found)
        return found

    async def _found(
        self,
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
            raise NotFound(_NO_HOLDER)
        return Holder(identity) if kind == "account" else Holder(key_id=identity)

    async def _in_datasets(
        self, connection: AsyncConnection, principal: Principal, holder: Any
    ) -> dict[str, list[DatasetRole]]:
        """The roles in single datasets, by the ids in the column `holder`."""
        statement = (
            select(holder, dataset_roles.c.dataset_id, dataset_roles.c.role)
            .join(datasets, datasets.c.id == dataset_roles.c.dataset_id)
            .where(within(principal, dataset_roles), holder.is_not(None), *not_deleted(datasets))
            .order_by(dataset_roles.c.dataset_id)
        )
        found: dict[str, list[DatasetRole]] = {}
        for identity, dataset_id, role in await connection.execute(statement):
            found.setdefault(identity, []).append(DatasetRole(dataset_id, Role(role)))
        return found

    def _changed(self, holder: Holder) -> None:
        if holder.key_id is not None:
            self._access.key_changed(holder.key_id)
        else:
            self._access.reach.forget()


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


def _role_rows(company_id: str, holder: Holder) -> list[Any]:
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


async def _people(connection: AsyncConnection, company_id: str) -> Sequence[Any]:
    columns = (accounts.c.id, accounts.c.email, accounts.c.full_name, accounts.c.is_active)
    is_own = accounts.c.company_id == company_id
    joined = (memberships.c.account_id == accounts.c.id) & (memberships.c.company_id == company_id)
    statement = (
        select(
            *columns,
            case((is_own, accounts.c.role)).label("own_role"),
            memberships.c.role.label("member_role"),
        )
        .outerjoin(memberships, joined)
        .where(is_own | memberships.c.id.is_not(None))
        .order_by(accounts.c.email)
        .limit(MOST_MEMBERS)
    )
    return (await connection.execute(statement)).all()


def _strongest(*roles: str | None) -> Role | None:
    """Of somebody who is in a company in two ways; a role that is set is set for both."""
    known = [Role(role) for role in roles if role is not None]
    return max(known, key=lambda role: len(role.permissions), default=None)


async def _is_administered(connection: AsyncConnection, principal: Principal) -> bool:
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


def _note(
    transaction: Transaction,
    principal: Principal,
    action: str,
    holder: Holder,
    dataset_id: str,
    **details: str,
) -> None:
    audit.note(transaction, principal, action, holder.subject, dataset_id=dataset_id, **details)
