"""Who is calling: the principal, API keys, and the local user of dev mode."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from opsin.core.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from opsin.core.known_keys import KNOWN_SECONDS, KnownKeys, Together
from opsin.core.live_keys import LiveKeys
from opsin.core.reach import Reach
from opsin.core.records import ApiKey, Company, columns_of, from_values, to_record
from opsin.core.roles import ALL_RIGHTS, Permission, Rights
from opsin.core.storable import is_storable_text
from opsin.core.tokens import NewToken, TokenParts
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import accounts, api_keys, companies

LOCAL_COMPANY = "local"
KEY, PRIVATE, SESSION = "key", "private", "session"
"""Kinds of tokens: a company's, an account's for all it reaches, and one of somebody signed in."""

_NOT_VALID = "This API key is not valid"
# Writing `last_used_at` on every request would turn each read into a write.
_LAST_USED_RESOLUTION = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: the company whose rows they reach, and who they are in it."""

    company_id: str
    name: str
    key_id: str | None = None
    account_id: str | None = None
    reaches_all: bool = False
    """Whether they may act for every company that their account reaches."""
    rights: Rights = ALL_RIGHTS
    """What they may do in that company."""

    @property
    def kind(self) -> str:
        """What they are: an `account`, a company's `key`, or `opsin` itself and its operator."""
        if self.account_id is not None:
            return "account"
        return "key" if self.key_id is not None else "opsin"

    @property
    def identity(self) -> str:
        """The id of whoever calls: of the account, else of the key, else of the company."""
        return self.account_id or self.key_id or self.company_id

    def may(self, permission: Permission, dataset_id: str | None = None) -> bool:
        """In that dataset; without one, in the company as a whole."""
        return self.rights.allow(permission, dataset_id)

    def require(self, permission: Permission, dataset_id: str | None = None) -> None:
        """Raises Forbidden unless the caller may; ask of rows that were read within their reach."""
        if not self.may(permission, dataset_id):
            where = "in the whole company" if dataset_id is None else "in this dataset"
            raise Forbidden(f"You need the permission to {permission.value} {where}")


class Access:
    """Authenticates callers; every other use case starts from the Principal this gives."""

    def __init__(
        self,
        database: Database,
        *,
        mode: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.reach = Reach(database, clock)
        self._database = database
        self._mode = mode
        self._now = now
        self._local: Principal | None = None
        self._known: KnownKeys[Principal] = KnownKeys(clock)
        self._together = Together()
        self._live_keys = LiveKeys(database, now)

    async def authenticate(self, token: str | None) -> Principal:
        """The caller behind an API key, a private token or a session's access token.

        Without one, the local user in dev mode.  Raises Unauthenticated, with the same text for a
        token that is unknown, wrong, revoked or expired.  A token that this process revokes ends at
        once, as does one whose time is over; one that another process revokes may be taken for
        KNOWN_SECONDS longer.
        """
        if token:
            return await self._principal_of_key(token)
        if self._mode == "dev":
            return await self.local()
        raise Unauthenticated("Send an API key: Authorization: Bearer <key>, or X-API-Key: <key>")

    async def confirm(self, principal: Principal) -> None:
        """Raises Unauthenticated once the caller's token has ended; for connections that stay.

        The database is asked each time, in one statement for all who ask at the same time.  Also
        for a company that the account reaches no more, which may take KNOWN_SECONDS longer.
        """
        if principal.key_id is not None and not await self._live_keys.holds(principal.key_id):
            raise Unauthenticated(_NOT_VALID)
        if principal.reaches_all and not await self._reaches(principal, principal.company_id):
            raise Unauthenticated("Your account does not reach this company any more")

    async def principal_in(self, principal: Principal, company_id: str) -> Principal:
        """The caller acting for that company.

        Raises Forbidden for a company that the caller does not reach, and alike for an unknown one.
        """
        identity = canonical_id(company_id)
        if principal.reaches_all:
            if identity is not None and await self._reaches(principal, identity):
                return replace(principal, company_id=identity)
        elif identity == principal.company_id:
            return principal
        raise Forbidden("This company is not open to you")

    async def _reaches(self, principal: Principal, company_id: str) -> bool:
        account_id = principal.account_id
        return account_id is not None and company_id in (await self.reach.of(account_id)).all

    async def local(self) -> Principal:
        """The one user of dev mode and of the command line."""
        if self._local is None:
            company = await self.ensure_company(LOCAL_COMPANY)
            self._local = Principal(company.id, "local user")
        return self._local

    async def find_company(self, name: str) -> Company | None:
        """The company of this name; for the command line, which no tenant reaches."""
        statement = select(*columns_of(companies, Company)).where(companies.c.name == name)
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return to_record(Company, row) if row is not None else None

    async def ensure_company(self, name: str) -> Company:
        """The company of this name, created when it is not there."""
        values = {"id": new_id(), "name": name, "created_at": datetime.now(UTC)}
        for _ in range(2):
            found = await self.find_company(name)
            if found is not None:
                return found
            try:
                async with self._database.write() as transaction:
                    await transaction.connection.execute(insert(companies).values(values))
            except IntegrityError:
                continue  # another process was first
            return from_values(Company, values)
        raise AssertionError("unreachable: the company was there and was not")

    async def company(self, principal: Principal) -> Company:
        statement = select(*columns_of(companies, Company)).where(
            companies.c.id == principal.company_id
        )
        async with self._database.read() as connection:
            return to_record(Company, (await connection.execute(statement)).one())

    async def create_key(self, principal: Principal, name: str) -> tuple[ApiKey, str]:
        """A new key of the caller's company, and its text, which is never shown again."""
        name = require_token_name(name, "A key's name")
        token = NewToken.make()
        values = {
            "id": new_id(),
            "company_id": principal.company_id,
            "account_id": principal.account_id,
            "name": name,
            "kind": KEY,
            "prefix": token.prefix,
            "secret_sha256": token.secret_sha256,
            "created_at": datetime.now(UTC),
        }
        async with self._database.write() as transaction:
            await transaction.connection.execute(insert(api_keys).values(values))
        return from_values(ApiKey, values), token.text

    async def keys(self, principal: Principal) -> list[ApiKey]:
        """The company's keys, newest first, without their secrets; no account's own tokens."""
        statement = (
            select(*columns_of(api_keys, ApiKey))
            .where(api_keys.c.company_id == principal.company_id, api_keys.c.kind == KEY)
            .order_by(api_keys.c.id.desc())
        )
        async with self._database.read() as connection:
            return [to_record(ApiKey, row) for row in await connection.execute(statement)]

    async def revoke_key(self, principal: Principal, key_id: str) -> ApiKey:
        """End a key at once; revoking twice changes nothing."""
        mine = (
            (api_keys.c.id == canonical_id(key_id))
            & (api_keys.c.company_id == principal.company_id)
            & (api_keys.c.kind == KEY)
        )
        async with self._database.write() as transaction:
            await transaction.connection.execute(
                update(api_keys)
                .where(mine, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=datetime.now(UTC))
            )
            row = (
                await transaction.connection.execute(
                    select(*columns_of(api_keys, ApiKey)).where(mine)
                )
            ).first()
        if row is None:
            raise NotFound("API key not found")
        self.ended(row.id)
        return to_record(ApiKey, row)

    def ended(self, key_id: str) -> None:
        """A token was revoked here: from now on this process lets nobody in by it."""
        self._known.revoke(key_id)

    def account_changed(self, account_id: str) -> None:
        """An account was let in or kept out here: its tokens are read anew."""
        self._known.forget_account(account_id)

    async def _principal_of_key(self, token: str) -> Principal:
        if not is_storable_text(token):  # PostgreSQL could not even look for it
            raise Unauthenticated(_NOT_VALID)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            return known
        found = await self._together.once(digest, lambda: self._read_key(token, digest))
        if found.key_id is not None and self._known.is_revoked(found.key_id):
            raise Unauthenticated(_NOT_VALID)  # while it was being read
        return found

    async def _read_key(self, token: str, digest: bytes) -> Principal:
        begun = self._known.now()
        shown = TokenParts.of(token)
        columns = (
            api_keys.c.id,
            api_keys.c.company_id,
            api_keys.c.account_id,
            api_keys.c.name,
            api_keys.c.kind,
            api_keys.c.secret_sha256,
            api_keys.c.revoked_at,
            api_keys.c.expires_at,
            api_keys.c.last_used_at,
            accounts.c.is_active,  # NULL for a key of no account
            accounts.c.email,
        )
        statement = select(*columns).outerjoin(accounts, accounts.c.id == api_keys.c.account_id)
        async with self._database.read() as connection:
            row = (
                await connection.execute(statement.where(api_keys.c.prefix == shown.prefix))
            ).first()
        if not shown.fits(row.secret_sha256 if row else None) or row is None:
            raise Unauthenticated(_NOT_VALID)
        now = self._now()
        left = KNOWN_SECONDS if row.expires_at is None else (row.expires_at - now).total_seconds()
        if row.revoked_at is not None or row.is_active is False or left <= 0:
            raise Unauthenticated(_NOT_VALID)
        if row.last_used_at is None or now - row.last_used_at > _LAST_USED_RESOLUTION:
            async with self._database.write() as transaction:
                await transaction.connection.execute(
                    update(api_keys).where(api_keys.c.id == row.id).values(last_used_at=now)
                )
        reaches_all = row.kind != KEY
        # Whoever is signed in is somebody; a key is what it is called.
        name = row.email if reaches_all else row.name
        principal = Principal(row.company_id, name, row.id, row.account_id, reaches_all)
        self._known.put(
            digest, principal, row.id, checked_at=begun, account_id=row.account_id, seconds=left
        )
        return principal


def require_token_name(name: str, what: str) -> str:
    """The name without blanks around it; InvalidInput when it is none."""
    if not 1 <= len(name.strip()) <= 255 or not is_storable_text(name):
        raise InvalidInput(f"{what} has 1 to 255 characters")
    return name.strip()


def presented_key(authorization: str | None, api_key: str | None) -> str | None:
    """The key in the headers `Authorization: Bearer`, or `X-API-Key`; None without either.

    Raises Unauthenticated for any other kind of Authorization.
    """
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("The Authorization header must be: Bearer <key>")
        return token.strip()
    return (api_key or "").strip() or None
