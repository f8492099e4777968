"""Who is calling: whom a token lets in, and the local user of dev mode."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from opsin.core import audit
from opsin.core.errors import Forbidden, Unauthenticated
from opsin.core.known_keys import KNOWN_SECONDS, KnownKeys, Together
from opsin.core.live_keys import KEY, PRIVATE, SESSION, LiveKeys, rights_of_keys
from opsin.core.principal import Principal
from opsin.core.reach import Reach
from opsin.core.records import Company, columns_of, from_values, to_record
from opsin.core.refused_keys import RefusedKeys
from opsin.core.roles import ALL_RIGHTS, Rights
from opsin.core.storable import is_storable_text
from opsin.core.tokens import TokenParts
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import accounts, api_keys, companies

__all__ = ["KEY", "PRIVATE", "SESSION", "Principal"]

LOCAL_COMPANY = "local"

_NOT_VALID = "This API key is not valid"
# Writing `last_used_at` on every request would turn each read into a write.
_LAST_USED_RESOLUTION = timedelta(minutes=1)


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
        self._refused = RefusedKeys(database, clock)

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

    async def confirm(self, principal: Principal) -> Principal:
        """The caller with what they may do now; for connections that stay.

        Raises Unauthenticated once the caller's token has ended.  The database is asked each time,
        in one statement for all who ask at the same time.  Also for a company that the account
        reaches no more; that, and what it may do there, may take KNOWN_SECONDS longer.
        """
        rights = principal.rights
        if principal.key_id is not None:
            live = await self._live_keys.rights(principal.key_id)
            if live is None:
                raise Unauthenticated(_NOT_VALID)
            rights = live
        if principal.account_id is not None and principal.key_id is not None:
            reached = await self._rights_in(principal, principal.company_id)
            if reached is None:
                raise Unauthenticated("Your account does not reach this company any more")
            rights = rights.limited_by(reached)
        return principal if rights == principal.rights else replace(principal, rights=rights)

    async def principal_in(self, principal: Principal, company_id: str) -> Principal:
        """The caller acting for that company.

        Raises Forbidden for a company that the caller does not reach, and alike for an unknown one.
        """
        identity = canonical_id(company_id)
        if principal.reaches_all:
            rights = None if identity is None else await self._rights_in(principal, identity)
            if identity is not None and rights is not None:
                return replace(principal, company_id=identity, rights=rights)
        elif identity == principal.company_id:
            return principal
        raise Forbidden("This company is not open to you")

    async def _rights_in(self, principal: Principal, company_id: str) -> Rights | None:
        """What the caller's account may do in a company; None for one that it does not reach."""
        account_id = principal.account_id
        if account_id is None:
            return None
        return (await self.reach.of(account_id)).rights.get(company_id)

    async def local(self) -> Principal:
        """The one user of dev mode; else whoever comes by a door that is open to everybody."""
        if self._local is None:
            company = await self.ensure_company(LOCAL_COMPANY)
            is_dev = self._mode == "dev"
            name, came_as = ("local user", "dev") if is_dev else ("anybody", "open")
            self._local = Principal(company.id, name, came_as=came_as)
        return self._local

    async def find_company(self, name: str) -> Company | None:
        """The company of this name; for the command line, which no tenant reaches."""
        statement = select(*columns_of(companies, Company)).where(companies.c.name == name)
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return to_record(Company, row) if row is not None else None

    async def ensure_company(self, name: str, by: Principal | None = None) -> Company:
        """The company of this name, created by somebody, or Opsin, when it is not there."""
        values = {"id": new_id(), "name": name, "created_at": datetime.now(UTC)}
        for _ in range(2):
            found = await self.find_company(name)
            if found is not None:
                return found
            try:
                async with self._database.write() as transaction:
                    await transaction.connection.execute(insert(companies).values(values))
                    made = from_values(Company, values)
                    actor = replace(by or Principal(made.id, "opsin"), company_id=made.id)
                    audit.note(transaction, actor, "company.create", ("company", made.id))
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

    def ended(self, key_id: str) -> None:
        """A token was revoked here: from now on this process lets nobody in by it."""
        self._known.revoke(key_id)

    def key_changed(self, key_id: str) -> None:
        """What a key may do was changed here: it is read anew."""
        self._known.forget_key(key_id)

    def account_changed(self, account_id: str) -> None:
        """An account was let in or kept out here: its tokens are read anew."""
        self._known.forget_account(account_id)

    async def _principal_of_key(self, token: str) -> Principal:
        if not is_storable_text(token):  # PostgreSQL could not even look for it
            raise Unauthenticated(_NOT_VALID)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            return await self._limited(known)
        # Whoever comes after a change does not share a reading from before it.
        question = (self._known.changes, digest)
        found = await self._together.once(question, lambda: self._read_key(token, digest))
        if found.key_id is not None and self._known.is_revoked(found.key_id):
            raise Unauthenticated(_NOT_VALID)  # while it was being read
        return await self._limited(found)

    async def _limited(self, known: Principal) -> Principal:
        """Who is behind a token: with the rights that both it and its account have."""
        if known.account_id is None:
            return known
        rights = await self._rights_in(known, known.company_id)
        if rights is None:
            raise Unauthenticated(_NOT_VALID)  # it was made where the account comes no more
        rights = known.rights.limited_by(rights)
        return known if rights is known.rights else replace(known, rights=rights)

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
            api_keys.c.role,
            accounts.c.is_active,  # NULL for a key of no account
            accounts.c.email,
        )
        statement = select(*columns).outerjoin(accounts, accounts.c.id == api_keys.c.account_id)
        async with self._database.read() as connection:
            row = (
                await connection.execute(statement.where(api_keys.c.prefix == shown.prefix))
            ).first()
            rights = ALL_RIGHTS
            if row is not None and row.kind == KEY:
                rights = (await rights_of_keys(connection, [(row.id, row.role)]))[row.id]
        if not shown.fits(row.secret_sha256 if row else None) or row is None:
            raise Unauthenticated(_NOT_VALID)
        now = self._now()
        left = KNOWN_SECONDS if row.expires_at is None else (row.expires_at - now).total_seconds()
        if row.revoked_at is not None or row.is_active is False or left <= 0:
            stranger = Principal(row.company_id, row.name, came_as="stranger")
            reason = "expired" if left <= 0 else "its account is switched off"
            reason = "revoked" if row.revoked_at is not None else reason
            await self._refused.note(stranger, row.id, reason)
            raise Unauthenticated(_NOT_VALID)
        if row.last_used_at is None or now - row.last_used_at > _LAST_USED_RESOLUTION:
            async with self._database.write() as transaction:
                await transaction.connection.execute(
                    update(api_keys).where(api_keys.c.id == row.id).values(last_used_at=now)
                )
        reaches_all = row.kind != KEY
        # Whoever is signed in is somebody; a key is what it is called.
        name = row.email if reaches_all else row.name
        came_as = SESSION if row.kind == SESSION else None
        principal = Principal(
            row.company_id, name, row.id, row.account_id, reaches_all, rights, came_as
        )
        self._known.put(
            digest, principal, row.id, checked_at=begun, account_id=row.account_id, seconds=left
        )
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
