"""Accounts: people known by their e-mail address, and the companies that they are members of."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import SESSION, Access, Principal
from opsin.core.actors import acting_in, operator
from opsin.core.bounded_cache import BoundedCache
from opsin.core.errors import Conflict, InvalidInput, NotFound
from opsin.core.passwords import Passwords
from opsin.core.reach import KNOWN_SECONDS
from opsin.core.records import columns_of, from_values, to_record
from opsin.core.roles import Role
from opsin.core.storable import is_storable_text
from opsin.storage.counters import next_number
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import accounts, api_keys, companies

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    company_id: str
    email: str
    is_active: bool
    created_at: datetime
    number: int
    """From 1 up, never given twice; for callers who know people by a number."""
    full_name: str = ""


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account as the operator sees it."""

    account: Account
    company: str
    has_password: bool


def clean_email(text: str | None) -> str | None:
    """The address in lower case, None for what is none."""
    address = (text or "").strip().lower()
    well_formed = len(address) <= 320 and _EMAIL.fullmatch(address)
    return address if well_formed else None


class Accounts:
    """Finds and makes accounts; a company is a group, and has members."""

    def __init__(
        self,
        database: Database,
        access: Access,
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._access = access
        self._passwords = passwords or Passwords()
        self._clock = clock
        self._known: BoundedCache[str, tuple[float, Account]] = BoundedCache(_MOST_KNOWN)

    async def of_email(
        self, email: str, company: str | None = None, by: Principal | None = None
    ) -> Account:
        """The account with this (clean) address, made at first sight.

        Its own company is the one named, or one that is named like the address.
        """
        for _ in range(2):
            found = await self.find_email(email)
            if found is not None:
                return found
            try:
                return await self.create(email, company=company, by=by)
            except Conflict:
                continue  # another request was first
        raise AssertionError("unreachable: the account was there and was not")

    async def create(
        self,
        email: str,
        *,
        is_active: bool = True,
        company: str | None = None,
        password: str | None = None,
        full_name: str = "",
        role: Role | None = Role.ADMIN,
        by: Principal | None = None,
    ) -> Account:
        """A new account, which can sign in if it has a password; its company is made too.

        `by` is who makes it, the operator when nobody is named.
        The role is the one in that company; with none they may do what they are given in datasets.
        Raises Conflict when there is one with this address, InvalidInput for what is no address, no
        name or no password.
        """
        address = clean_email(email)
        if address is None:
            raise InvalidInput("This is no e-mail address")
        full_name = full_name.strip()
        if len(full_name) > 255 or not is_storable_text(full_name):
            raise InvalidInput("A full name has 255 characters at most")
        stored = None if password is None else await self._passwords.hash(password)
        by = by or operator()
        home = await self._access.ensure_company(company or address, by)
        values: dict[str, Any] = {
            "id": new_id(),
            "company_id": home.id,
            "email": address,
            "is_active": is_active,
            "full_name": full_name,
            "password_hash": stored,
            "created_at": datetime.now(UTC),
            "role": None if role is None else role.value,
        }
        try:
            async with self._database.write() as transaction:
                connection = transaction.connection
                values["number"] = await next_number(connection, "account")
                await connection.execute(insert(accounts).values(values))
                audit.note(
                    transaction, acting_in(home.id, by), "account.create",
                    ("account", values["id"]), email=address, role=values["role"],
                )  # fmt: skip
        except IntegrityError:
            raise Conflict("There is an account with this e-mail address") from None
        return from_values(Account, values)

    async def set_password(
        self, account_id: str, password: str, by: Principal | None = None
    ) -> None:
        """Another password; whoever is signed in must sign in again.  NotFound, InvalidInput."""
        stored = await self._passwords.hash(password)
        await self._change(account_id, "change_password", by, password_hash=stored)

    async def set_active(
        self, account_id: str, is_active: bool, by: Principal | None = None
    ) -> Account:
        """Let the account in, or keep it out, also by its keys; whoever is signed in is out."""
        verb = "enable" if is_active else "disable"
        await self._change(account_id, verb, by, is_active=is_active)
        found = await self.find(account_id)
        if found is None:
            raise NotFound("User not found")
        return found

    async def _change(
        self, account_id: str, verb: str, by: Principal | None, **values: object
    ) -> None:
        """Change a row and end its sessions."""
        statement = update(accounts).where(accounts.c.id == canonical_id(account_id))
        async with self._database.write() as transaction:
            connection = transaction.connection
            changed = statement.values(values).returning(accounts.c.id, accounts.c.company_id)
            row = (await connection.execute(changed)).first()
            if row is None:
                raise NotFound("User not found")
            identity = row.id
            actor = acting_in(row.company_id, by)
            audit.note(transaction, actor, f"account.{verb}", ("account", identity))
            ended = await end_sessions(connection, identity, datetime.now(UTC))
        for key_id in ended:
            self._access.ended(key_id)
        self._access.account_changed(identity)
        self._known.take(identity)

    async def find_email(self, email: str) -> Account | None:
        return await self._find(accounts.c.email == email)

    async def find(self, account_id: str) -> Account | None:
        return await self._find(accounts.c.id == canonical_id(account_id))

    async def find_many(self, account_ids: Iterable[str]) -> dict[str, Account]:
        """Those of the ids that are accounts."""
        wanted = {identity for one in account_ids if (identity := canonical_id(one)) is not None}
        if not wanted:
            return {}
        statement = select(*columns_of(accounts, Account)).where(accounts.c.id.in_(wanted))
        async with self._database.read() as connection:
            found = [to_record(Account, row) for row in await connection.execute(statement)]
        return {account.id: account for account in found}

    async def listed(self) -> list[AccountInfo]:
        """Every account, by address; for the command line, which no tenant reaches."""
        columns = [
            *columns_of(accounts, Account),
            companies.c.name,
            accounts.c.password_hash.is_not(None).label("has_password"),
        ]
        statement = (
            select(*columns)
            .join(companies, companies.c.id == accounts.c.company_id)
            .order_by(accounts.c.email)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [AccountInfo(to_record(Account, row), row.name, row.has_password) for row in rows]

    async def profile(self, account_id: str) -> tuple[Account, dict[str, str]]:
        """The account, and its own company and those it is a member of: id to name."""
        known = self._known.get(account_id)
        if known is None or self._clock() - known[0] >= KNOWN_SECONDS:
            read_at = self._clock()
            account = await self.find(account_id)
            if account is None:
                raise NotFound("User not found")
            known = read_at, account
            self._known.put(account_id, known, 1)
        return known[1], dict((await self._access.reach.of(account_id)).own)

    async def companies_of(self, account_id: str) -> dict[str, str]:
        """Every company that the account reaches, also by links: id to name, by name."""
        identity = canonical_id(account_id)
        return {} if identity is None else dict((await self._access.reach.of(identity)).all)

    async def _find(self, condition: ColumnElement[bool]) -> Account | None:
        statement = select(*columns_of(accounts, Account)).where(condition)
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else to_record(Account, row)


async def end_sessions(
    connection: AsyncConnection,
    account_id: str | None,
    now: datetime,
    *,
    session_id: str | None = None,
) -> list[str]:
    """End the account's sessions, or one of them; gives the ids of their tokens.

    Once the transaction is committed, Access is to be told of each.
    """
    locked = select(accounts.c.id).where(accounts.c.id == account_id).with_for_update()
    await connection.execute(locked)  # the account first, as everybody who locks both
    statement = update(api_keys).where(
        api_keys.c.account_id == account_id,
        api_keys.c.kind == SESSION,
        api_keys.c.revoked_at.is_(None),
    )
    if session_id is not None:
        statement = statement.where(api_keys.c.session_id == session_id)
    ended = statement.values(revoked_at=now, refresh_sha256=None, refresh_until=now)
    return list((await connection.execute(ended.returning(api_keys.c.id))).scalars())
