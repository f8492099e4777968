"""Accounts: people known by their e-mail address, and the companies that they are members of."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select, union, update
from sqlalchemy.exc import IntegrityError

from opsin.core.access import Access
from opsin.core.engine.bounded_cache import BoundedCache
from opsin.core.errors import Conflict, InvalidInput, NotFound
from opsin.storage.curation import memberships
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import accounts, companies

KNOWN_SECONDS = 1.0
"""For so long a membership that has ended may still be taken for one."""

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    company_id: str
    email: str
    is_active: bool
    created_at: datetime


def clean_email(text: str | None) -> str | None:
    """The address in lower case, None for what is none."""
    address = (text or "").strip().lower()
    well_formed = len(address) <= 320 and _EMAIL.fullmatch(address)
    return address if well_formed else None


class Accounts:
    """Finds and makes accounts; a company is a group, and has members."""

    def __init__(
        self, database: Database, access: Access, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._access = access
        self._clock = clock
        self._known: BoundedCache[str, tuple[float, Account, dict[str, str]]]
        self._known = BoundedCache(_MOST_KNOWN)

    async def of_email(self, email: str, company: str | None = None) -> Account:
        """The account with this (clean) address, made at first sight.

        Its own company is the one named, or one that is named like the address.
        """
        for _ in range(2):
            found = await self.find_email(email)
            if found is not None:
                return found
            try:
                return await self.create(email, company=company)
            except Conflict:
                continue  # another request was first
        raise AssertionError("unreachable: the account was there and was not")

    async def create(
        self, email: str, *, is_active: bool = True, company: str | None = None
    ) -> Account:
        """A new account; Conflict when there is one with this address."""
        address = clean_email(email)
        if address is None:
            raise InvalidInput("This is no e-mail address")
        home = await self._access.ensure_company(company or address)
        made = Account(new_id(), home.id, address, is_active, datetime.now(UTC))
        values = {
            "id": made.id,
            "company_id": made.company_id,
            "email": made.email,
            "is_active": made.is_active,
            "created_at": made.created_at,
        }
        try:
            async with self._database.write() as transaction:
                await transaction.connection.execute(insert(accounts).values(values))
        except IntegrityError:
            raise Conflict("There is an account with this e-mail address") from None
        return made

    async def find_email(self, email: str) -> Account | None:
        return await self._find(accounts.c.email == email)

    async def find(self, account_id: str) -> Account | None:
        return await self._find(accounts.c.id == canonical_id(account_id))

    async def set_active(self, account_id: str, is_active: bool) -> Account:
        """Let the account in, or keep it out."""
        identity = canonical_id(account_id)
        async with self._database.write() as transaction:
            await transaction.connection.execute(
                update(accounts).where(accounts.c.id == identity).values(is_active=is_active)
            )
        found = await self.find(account_id)
        if found is None:
            raise NotFound("User not found")
        self._known.put(found.id, (float("-inf"), found, {}), 1)
        return found

    async def profile(self, account_id: str) -> tuple[Account, dict[str, str]]:
        """The account, and its own company and those it is a member of: id to name."""
        known = self._known.get(account_id)
        if known is not None and self._clock() - known[0] < KNOWN_SECONDS:
            return known[1], known[2]
        read_at = self._clock()
        account = await self.find(account_id)
        if account is None:
            raise NotFound("User not found")
        ids = union(
            select(accounts.c.company_id).where(accounts.c.id == account_id),
            select(memberships.c.company_id).where(memberships.c.account_id == account_id),
        )
        statement = (
            select(companies.c.id, companies.c.name)
            .where(companies.c.id.in_(ids))
            .order_by(companies.c.name)
        )
        async with self._database.read() as connection:
            found = {row.id: row.name for row in await connection.execute(statement)}
        self._known.put(account_id, (read_at, account, found), 1)
        return account, found

    async def add_member(self, group: str, email: str) -> Account:
        """Make an account a member of a company; both are made when they are not there."""
        address = clean_email(email)
        if address is None:
            raise InvalidInput("This is no e-mail address")
        account = await self.of_email(address)
        company = await self._access.ensure_company(group)
        try:
            async with self._database.write() as transaction:
                await transaction.connection.execute(
                    insert(memberships).values(
                        id=new_id(),
                        company_id=company.id,
                        account_id=account.id,
                        created_at=datetime.now(UTC),
                    )
                )
        except IntegrityError:
            pass  # it is one already
        self._known.put(account.id, (float("-inf"), account, {}), 1)
        return account

    async def remove_member(self, group: str, email: str) -> None:
        """End a membership; NotFound where there is no such company or account."""
        account = await self.find_email(clean_email(email) or "")
        company = await self._access.find_company(group)
        if account is None or company is None:
            raise NotFound("There is no such group or account")
        async with self._database.write() as transaction:
            await transaction.connection.execute(
                delete(memberships).where(
                    memberships.c.account_id == account.id,
                    memberships.c.company_id == company.id,
                )
            )
        self._known.put(account.id, (float("-inf"), account, {}), 1)

    async def members(self, group: str) -> list[Account]:
        """The members of a company, those it is the own company of among them."""
        columns = [accounts.c[name] for name in Account.__dataclass_fields__]
        inside = select(memberships.c.account_id).where(memberships.c.company_id == companies.c.id)
        statement = (
            select(*columns)
            .join(companies, companies.c.name == group)
            .where((accounts.c.company_id == companies.c.id) | accounts.c.id.in_(inside))
            .order_by(accounts.c.email)
        )
        async with self._database.read() as connection:
            return [Account(*row) for row in await connection.execute(statement)]

    async def _find(self, condition: object) -> Account | None:
        columns = [accounts.c[name] for name in Account.__dataclass_fields__]
        async with self._database.read() as connection:
            row = (await connection.execute(select(*columns).where(condition))).first()  # type: ignore[arg-type]  # a comparison of columns
        return None if row is None else Account(*row)
