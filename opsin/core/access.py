"""Who is calling: the principal, API keys, and the local user of dev mode."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from opsin.core.errors import InvalidInput, NotFound, Unauthenticated
from opsin.core.known_keys import KnownKeys, Together
from opsin.core.live_keys import LiveKeys
from opsin.core.records import ApiKey, Company, columns_of, from_values, to_record
from opsin.core.storable import is_storable_text
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import accounts, api_keys, companies

LOCAL_COMPANY = "local"
_NOT_VALID = "This API key is not valid"
_KEY_MARK = "opsin"
_PREFIX_BYTES = 6
_SECRET_BYTES = 32
# Writing `last_used_at` on every request would turn each read into a write.
_LAST_USED_RESOLUTION = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: the company whose rows they reach, and who they are in it."""

    company_id: str
    name: str
    key_id: str | None = None
    account_id: str | None = None

    @property
    def identity(self) -> str:
        """The id of whoever calls: of the account, else of the key, else of the company."""
        return self.account_id or self.key_id or self.company_id


class Access:
    """Authenticates callers; every other use case starts from the Principal this gives."""

    def __init__(
        self, database: Database, *, mode: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._mode = mode
        self._local: Principal | None = None
        self._known: KnownKeys[Principal] = KnownKeys(clock)
        self._together = Together()
        self._live_keys = LiveKeys(database)

    async def authenticate(self, token: str | None) -> Principal:
        """The caller behind an API key; without one, the local user in dev mode.

        Raises Unauthenticated, with the same text for an unknown, a wrong and a revoked key.  A key
        that this process revokes ends at once; one that another process revokes may be taken for
        KNOWN_SECONDS longer.
        """
        if token:
            return await self._principal_of_key(token)
        if self._mode == "dev":
            return await self.local()
        raise Unauthenticated("Send an API key: Authorization: Bearer <key>, or X-API-Key: <key>")

    async def confirm(self, principal: Principal) -> None:
        """Raises Unauthenticated once the caller's key has ended; for connections that stay.

        The database is asked each time, in one statement for all who ask at the same time.
        """
        if principal.key_id is not None and not await self._live_keys.holds(principal.key_id):
            raise Unauthenticated(_NOT_VALID)

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
        if not 1 <= len(name.strip()) <= 255 or not is_storable_text(name):
            raise InvalidInput("A key's name has 1 to 255 characters")
        prefix = secrets.token_hex(_PREFIX_BYTES)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        values = {
            "id": new_id(),
            "company_id": principal.company_id,
            "account_id": principal.account_id,
            "name": name.strip(),
            "prefix": prefix,
            "secret_sha256": _digest(secret),
            "created_at": datetime.now(UTC),
        }
        async with self._database.write() as transaction:
            await transaction.connection.execute(insert(api_keys).values(values))
        return from_values(ApiKey, values), f"{_KEY_MARK}_{prefix}_{secret}"

    async def keys(self, principal: Principal) -> list[ApiKey]:
        """The company's keys, newest first, without their secrets."""
        statement = (
            select(*columns_of(api_keys, ApiKey))
            .where(api_keys.c.company_id == principal.company_id)
            .order_by(api_keys.c.id.desc())
        )
        async with self._database.read() as connection:
            return [to_record(ApiKey, row) for row in await connection.execute(statement)]

    async def revoke_key(self, principal: Principal, key_id: str) -> ApiKey:
        """End a key at once; revoking twice changes nothing."""
        mine = (api_keys.c.id == canonical_id(key_id)) & (
            api_keys.c.company_id == principal.company_id
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
        self._known.revoke(row.id)
        return to_record(ApiKey, row)

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
        mark, _, rest = token.partition("_")
        prefix, _, secret = rest.partition("_")
        columns = (
            api_keys.c.id,
            api_keys.c.company_id,
            api_keys.c.account_id,
            api_keys.c.name,
            api_keys.c.secret_sha256,
            api_keys.c.revoked_at,
            api_keys.c.last_used_at,
            accounts.c.is_active,  # NULL for a key of no account
        )
        statement = select(*columns).outerjoin(accounts, accounts.c.id == api_keys.c.account_id)
        async with self._database.read() as connection:
            row = (
                await connection.execute(statement.where(api_keys.c.prefix == prefix[:16]))
            ).first()
        # An unknown prefix is compared too, so that the time taken tells nothing.
        matches = hmac.compare_digest(row.secret_sha256 if row else "0" * 64, _digest(secret))
        if mark != _KEY_MARK or row is None or not matches or row.revoked_at is not None:
            raise Unauthenticated(_NOT_VALID)
        if row.is_active is False:
            raise Unauthenticated(_NOT_VALID)
        now = datetime.now(UTC)
        if row.last_used_at is None or now - row.last_used_at > _LAST_USED_RESOLUTION:
            async with self._database.write() as transaction:
                await transaction.connection.execute(
                    update(api_keys).where(api_keys.c.id == row.id).values(last_used_at=now)
                )
        principal = Principal(row.company_id, row.name, row.id, row.account_id)
        self._known.put(digest, principal, row.id, checked_at=begun)
        return principal


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


def _digest(secret: str) -> str:
    # A key's secret has 256 random bits: a fast hash is enough, nothing can be guessed.
    return hashlib.sha256(secret.encode()).hexdigest()
