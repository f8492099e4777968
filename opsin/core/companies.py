"""Companies as the operator sees them, and the links by which one's members reach another."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select, union, update
from sqlalchemy.exc import IntegrityError

from opsin.core import audit
from opsin.core.access import Access
from opsin.core.actors import operator
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.records import Company, columns_of
from opsin.core.roles import Role
from opsin.storage.applications import company_links
from opsin.storage.curation import memberships
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import new_id
from opsin.storage.tables import accounts, companies


@dataclass(frozen=True, slots=True)
class CompanyInfo:
    """A company, and how many people are members of it."""

    company: Company
    members: int
    links: Mapping[str, str | None]
    """The companies it is linked to, by name, and the most that the link lets anybody do there."""


class Companies:
    """Lists and links companies; for the command line, which no tenant reaches."""

    def __init__(self, database: Database, access: Access) -> None:
        self._database = database
        self._access = access

    async def listed(self) -> list[CompanyInfo]:
        """Every company, by name."""
        own = select(accounts.c.company_id, accounts.c.id.label("account_id"))
        joined = select(memberships.c.company_id, memberships.c.account_id)
        people = union(own, joined).subquery()  # who is in it twice counts once
        inside = (
            select(func.count())
            .select_from(people)
            .where(people.c.company_id == companies.c.id)
            .scalar_subquery()
        )
        columns = columns_of(companies, Company)
        found = select(*columns, inside.label("members")).order_by(companies.c.name)
        other = companies.alias("other")
        linked = (
            select(company_links.c.company_id, other.c.name, company_links.c.role)
            .join(other, other.c.id == company_links.c.linked_company_id)
            .order_by(other.c.name)
        )
        links: dict[str, dict[str, str | None]] = {}
        async with self._database.read() as connection:
            rows = (await connection.execute(found)).all()
            for company_id, name, role in await connection.execute(linked):
                links.setdefault(company_id, {})[name] = role
        return [CompanyInfo(Company(*row[:-1]), row.members, links.get(row.id, {})) for row in rows]

    async def link(self, company: str, linked: str, role: Role = Role.ADMIN) -> None:
        """Let the members of one company reach another, too; both are named and must be there.

        There they may do what the role allows, and never more than at home.  Linking again changes
        the role.  NotFound, or InvalidInput for a link to itself.
        """
        first, second = await self._both(company, linked)
        if first.id == second.id:
            raise InvalidInput("A company cannot be linked to itself")
        values = {
            "id": new_id(),
            "company_id": first.id,
            "linked_company_id": second.id,
            "created_at": datetime.now(UTC),
            "role": role.value,
        }
        again = (
            update(company_links)
            .where(
                company_links.c.company_id == first.id,
                company_links.c.linked_company_id == second.id,
            )
            .values(role=role.value)
        )
        try:
            async with self._database.write() as transaction:
                if not (await transaction.connection.execute(again)).rowcount:
                    await transaction.connection.execute(insert(company_links).values(values))
                _note(transaction, "link", first, second, role=role.value)
        except IntegrityError:  # somebody linked them at the same moment
            async with self._database.write() as transaction:
                await transaction.connection.execute(again)
                _note(transaction, "link", first, second, role=role.value)
        self._access.reach.forget()

    async def unlink(self, company: str, linked: str) -> bool:
        """End a link; gives whether there was one."""
        first, second = await self._both(company, linked)
        statement = delete(company_links).where(
            company_links.c.company_id == first.id, company_links.c.linked_company_id == second.id
        )
        async with self._database.write() as transaction:
            ended = (await transaction.connection.execute(statement)).rowcount
            if ended:
                _note(transaction, "unlink", first, second)
        self._access.reach.forget()
        return ended > 0

    async def _both(self, *names: str) -> list[Company]:
        found = []
        for name in names:
            company = await self._access.find_company(name)
            if company is None:
                raise NotFound(f"There is no company {name!r}")
            found.append(company)
        return found


def _note(
    transaction: Transaction, verb: str, company: Company, linked: Company, **details: str
) -> None:
    """In both: the one whose members reach more, and the one that they reach."""
    for one in (company, linked):
        audit.note(
            transaction, operator(one.id), f"company.{verb}", ("company", one.id),
            members_of=company.name, reach=linked.name, **details,
        )  # fmt: skip
