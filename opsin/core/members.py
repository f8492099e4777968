"""The people of a company, and what people and keys may do in it and in single datasets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.principal import Principal
from opsin.core.roles import Role
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.curation import memberships
from opsin.storage.tables import accounts, dataset_roles, datasets

MOST_MEMBERS = 1000
"""Of a company, in their list."""


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


async def read_members(connection: AsyncConnection, principal: Principal) -> list[Member]:
    """The company's people by e-mail address."""
    rows = await _people(connection, principal.company_id)
    given = await in_datasets(connection, principal, dataset_roles.c.account_id)
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


async def in_datasets(
    connection: AsyncConnection, principal: Principal, holder: Any
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
