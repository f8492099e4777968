"""Sessions: people sign in with a password, renew, sign out; all of it ends in time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import SESSION, Access, Principal
from opsin.core.accounts import Account, clean_email, end_sessions
from opsin.core.actors import NO_COMPANY, stranger
from opsin.core.errors import InvalidInput, Throttled, Unauthenticated
from opsin.core.passwords import Passwords
from opsin.core.rate_limits import RateLimit, RateLimits
from opsin.core.records import columns_of, to_record
from opsin.core.storable import storable_text
from opsin.core.tokens import NewToken, digest_of, new_refresh_token
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import new_id
from opsin.storage.tables import accounts, api_keys

_MINUTE = 60.0
_PEOPLE_PER_ADDRESS = 5
"""So many times the attempts of one account may come from one address, which many may share."""

_REFUSED = "This e-mail address and password do not fit together"
_NOT_RENEWED = "This refresh token is not valid"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What somebody who has signed in shows from then on; the texts are told this once."""

    account: Account
    access_token: str
    refresh_token: str
    expires_at: datetime
    """When the access token ends."""


class Sessions:
    """Signs people in and out."""

    def __init__(
        self,
        database: Database,
        access: Access,
        passwords: Passwords,
        rate_limits: RateLimits,
        *,
        attempts: int = 60,
        lasts: timedelta = timedelta(hours=1),
        renewable: timedelta = timedelta(days=30),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`attempts` are those of one account in a minute."""
        self._database = database
        self._access = access
        self._passwords = passwords
        self._rate_limits = rate_limits
        self._by_account = RateLimit("login account", attempts, _MINUTE)
        self._by_address = RateLimit("login address", attempts * _PEOPLE_PER_ADDRESS, _MINUTE)
        self._lasts = lasts
        self._renewable = max(renewable, lasts)
        self._now = now

    async def login(self, email: str, password: str, *, address: str | None = None) -> SignedIn:
        """A new session; `address` is where the caller calls from.

        Raises Unauthenticated, with the same text after the same time, for an unknown e-mail
        address, a wrong password, an account without one and one that is switched off; Throttled
        after too many attempts, whatever came of them.
        """
        await self._count(email, address)
        known = clean_email(email) or ""
        columns = (accounts.c.id, accounts.c.company_id, accounts.c.password_hash)
        statement = select(*columns).where(accounts.c.email == known)
        for _ in range(3):
            async with self._database.read() as connection:
                row = (await connection.execute(statement)).first()
            checked = await self._passwords.check(row.password_hash if row else None, password)
            if row is None or not checked.fits:
                break
            async with self._database.write() as transaction:
                connection = transaction.connection
                renews = checked.new_hash is not None
                account, stored = await _locked(connection, row.id, to_change=renews)
                if account is None or not account.is_active:
                    break
                if stored != row.password_hash:
                    continue  # another hash since: of another password, or a renewed one
                if renews:
                    newer = update(accounts).where(accounts.c.id == account.id)
                    await connection.execute(newer.values(password_hash=checked.new_hash))
                return await self._begin(transaction, account, new_id(), "begin", address)
        # Whoever is unknown is noted as well: neither what is written nor its time tells of it.
        async with self._database.write() as transaction:
            audit.note(
                transaction, stranger(row.company_id if row else NO_COMPANY, known or "nobody"),
                "session.refuse", ("account", row.id) if row else None, address=address,
            )  # fmt: skip
        raise Unauthenticated(_REFUSED)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """A new pair of tokens for the session; each refresh token works once.

        The access token that it came with lives on until its time is over.  Raises Unauthenticated.
        """
        try:
            digest = digest_of(refresh_token)
        except UnicodeEncodeError:
            raise Unauthenticated(_NOT_RENEWED) from None
        fresh = (
            (api_keys.c.refresh_sha256 == digest)
            & (api_keys.c.refresh_until > self._now())
            & (api_keys.c.kind == SESSION)
            & api_keys.c.revoked_at.is_(None)
        )
        async with self._database.write() as transaction:
            connection = transaction.connection
            found = select(api_keys.c.account_id, api_keys.c.session_id).where(fresh)
            row = (await connection.execute(found)).first()
            if row is None:
                raise Unauthenticated(_NOT_RENEWED)
            # The account first, as everybody who locks both.
            account, _ = await _locked(connection, row.account_id)
            used = update(api_keys).where(fresh)
            used = used.values(refresh_sha256=None, refresh_until=api_keys.c.expires_at)
            # Of several who come with it at once, one finds it unused.
            is_first = (await connection.execute(used)).rowcount == 1
            if account is None or not account.is_active or not is_first:
                raise Unauthenticated(_NOT_RENEWED)
            return await self._begin(transaction, account, row.session_id, "renew")

    async def logout(self, principal: Principal) -> None:
        """End the caller's session with all its tokens; InvalidInput for a caller without one."""
        mine = (api_keys.c.id == principal.key_id) & (api_keys.c.kind == SESSION)
        async with self._database.write() as transaction:
            connection = transaction.connection
            session_id = (
                await connection.execute(select(api_keys.c.session_id).where(mine))
            ).scalar()
            if session_id is None:
                raise InvalidInput("Only who has signed in can sign out")
            ended = await end_sessions(
                connection, principal.account_id, self._now(), session_id=session_id
            )
            audit.note(transaction, principal, "session.end", ("session", session_id))
        for key_id in ended:
            self._access.ended(key_id)

    async def sweep(self) -> int:
        """Forget the sessions that nobody can use or renew any more; gives how many tokens."""
        over = (
            select(api_keys.c.id)
            .where(api_keys.c.kind == SESSION, api_keys.c.refresh_until <= self._now())
            .with_for_update(skip_locked=True)
        )
        async with self._database.write() as transaction:
            statement = delete(api_keys).where(api_keys.c.id.in_(over))
            return (await transaction.connection.execute(statement)).rowcount

    async def _count(self, email: str, address: str | None) -> None:
        counted = [(self._by_account, storable_text(email.strip().lower()))]
        if address is not None:
            counted.insert(0, (self._by_address, address))
        for limit, caller in counted:
            wait = await self._rate_limits.enter(limit, caller)
            if wait is not None:
                raise Throttled("Too many attempts to sign in; try again later", retry_after=wait)

    async def _begin(
        self,
        transaction: Transaction,
        account: Account,
        session_id: str,
        verb: str,
        address: str | None = None,
    ) -> SignedIn:
        now, token, refresh_token = self._now(), NewToken.make(), new_refresh_token()
        expires_at, token_id = now + self._lasts, new_id()
        values = {
            "id": token_id,
            "company_id": account.company_id,
            "account_id": account.id,
            "name": "session",
            "kind": SESSION,
            "session_id": session_id,
            "prefix": token.prefix,
            "secret_sha256": token.secret_sha256,
            "refresh_sha256": digest_of(refresh_token),
            "created_at": now,
            "expires_at": expires_at,
            "refresh_until": now + self._renewable,
        }
        await transaction.connection.execute(insert(api_keys).values(values))
        by = Principal(account.company_id, account.email, token_id, account.id, came_as=SESSION)
        told = {} if address is None else {"address": address}
        audit.note(transaction, by, f"session.{verb}", ("session", session_id), **told)
        return SignedIn(account, token.text, refresh_token, expires_at)


async def _locked(
    connection: AsyncConnection, account_id: str, *, to_change: bool = False
) -> tuple[Account | None, str | None]:
    """The account and its hash, which nobody changes until the end of the transaction."""
    columns = (*columns_of(accounts, Account), accounts.c.password_hash)
    statement = select(*columns).where(accounts.c.id == account_id)
    # Those who want to change it do not share it first: two of them would wait for each other.
    statement = statement.with_for_update(read=not to_change)
    row = (await connection.execute(statement)).first()
    return (None, None) if row is None else (to_record(Account, row), row.password_hash)
