"""Who is a member of which company, which is a group of people."""

from datetime import UTC, datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from opsin.core import audit
from opsin.core.access import Access
from opsin.core.accounts import Account, Accounts, clean_email
from opsin.core.actors import acting_in, operator
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.principal import Principal
from opsin.core.records import columns_of, to_record
from opsin.core.roles import Role
from opsin.storage.curation import memberships
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import accounts, companies, dataset_roles


class Memberships:
    """Gives and ends memberships; for the command line, which no tenant reaches."""

    def __init__(self, database: Database, access: Access, people: Accounts) -> None:
        self._database = database
        self._access = access
        self._accounts = people

    async def add(
        self,
        group: str,
        email: str,
        role: Role | None = Role.ADMIN,
        by: Principal | None = None,
    ) -> Account:
        """Make an account a member of a company; both are made when they are not there.

        With no role they may do there what they are given in single datasets.  Who is a member
        already keeps the role that they have.
        """
        address = clean_email(email)
        if address is None:
            raise InvalidInput("This is no e-mail address")
        account = await self._accounts.of_email(address, by=by)
        company = await self._access.ensure_company(group, by or operator())
        try:
            async with self._database.write() as transaction:
                await transaction.connection.execute(
                    insert(memberships).values(
                        id=new_id(),
                        company_id=company.id,
                        account_id=account.id,
                        created_at=datetime.now(UTC),
                        role=None if role is None else role.value,
                    )
                )
                audit.note(
                    transaction, acting_in(company.id, by), "member.add", ("account", account.id),
                    email=account.email, role=None if role is None else role.value,
                )  # fmt: skip
        except IntegrityError:
            pass  # it is one already
        self._access.reach.forget()
        return account

    async def remove(self, group: str, email: str, by: Principal | None = None) -> None:
        """End a membership, and with it what was given in single datasets; NotFound.

        Whoever's own company it is stays in it, and keeps that.
        """
        account = await self._accounts.find_email(clean_email(email) or "")
        company = await self._access.find_company(group)
        if account is None or company is None:
            raise NotFound("There is no such group or account")
        async with self._database.write() as transaction:
            actor, subject = acting_in(company.id, by), ("account", account.id)
            audit.note(transaction, actor, "member.remove", subject, email=account.email)
            await transaction.connection.execute(
                delete(memberships).where(
                    memberships.c.account_id == account.id,
                    memberships.c.company_id == company.id,
                )
            )
            if account.company_id != company.id:
                given = delete(dataset_roles).where(
                    dataset_roles.c.account_id == account.id,
                    dataset_roles.c.company_id == company.id,
                )
                await transaction.connection.execute(given)
        self._access.reach.forget()

    async def listed(self, group: str) -> list[Account]:
        """The members of a company, those it is the own company of among them."""
        inside = select(memberships.c.account_id).where(memberships.c.company_id == companies.c.id)
        statement = (
            select(*columns_of(accounts, Account))
            .join(companies, companies.c.name == group)
            .where((accounts.c.company_id == companies.c.id) | accounts.c.id.in_(inside))
            .order_by(accounts.c.email)
        )
        async with self._database.read() as connection:
            return [to_record(Account, row) for row in await connection.execute(statement)]
