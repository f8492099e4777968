"""Roles given and taken: of people and keys, in the company and in single datasets."""

from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Access
from opsin.core.api_keys import shown_keys
from opsin.core.errors import Conflict, InvalidInput, LimitReached, NotFound
from opsin.core.members import DatasetRole, Member, in_datasets, read_members
from opsin.core.principal import Principal
from opsin.core.role_holders import (
    MOST_DATASETS,
    NO_HOLDER,
    Holder,
    find_holder,
    is_administered,
    role_rows,
)
from opsin.core.roles import Permission, Role
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import api_keys, companies, dataset_roles, datasets

__all__ = ["DatasetRole", "Holder", "Member", "RoleGrants"]


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
            return await read_members(connection, principal)

    async def of_keys(self, principal: Principal) -> dict[str, list[DatasetRole]]:
        """What the keys that the caller is shown may do in single datasets, by the keys' ids."""
        async with self._database.read() as connection:
            found = await in_datasets(connection, principal, dataset_roles.c.key_id)
            if found and not principal.may(Permission.READ):
                shown = select(api_keys.c.id).where(await shown_keys(connection, principal))
                own = set((await connection.execute(shown)).scalars())
                return {key_id: given for key_id, given in found.items() if key_id in own}
        return found

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
            raise NotFound(NO_HOLDER)
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
            found = await find_holder(connection, principal, holder)
            changed = 0
            for statement in role_rows(principal.company_id, found):
                changed += (await connection.execute(statement.values(role=stored))).rowcount
            if not changed:
                raise NotFound(NO_HOLDER)
            if principal.kind != "operator" and not await is_administered(connection, principal):
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
            found = await find_holder(connection, principal, holder, lock=True)
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
            found = await find_holder(connection, principal, holder)
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

    def _changed(self, holder: Holder) -> None:
        if holder.key_id is not None:
            self._access.key_changed(holder.key_id)
        else:
            self._access.reach.forget()


def _note(
    transaction: Transaction,
    principal: Principal,
    action: str,
    holder: Holder,
    dataset_id: str,
    **details: str,
) -> None:
    audit.note(transaction, principal, action, holder.subject, dataset_id=dataset_id, **details)
