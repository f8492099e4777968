"""Who is calling: the principal, API keys, and the local user of dev mode."""

import hashlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from opsin.core import audit
from opsin.core.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from opsin.core.known_keys import KNOWN_SECONDS, KnownKeys, Together
from opsin.core.live_keys import KEY, PRIVATE, SESSION, LiveKeys, rights_of_keys
from opsin.core.reach import Reach
from opsin.core.records import ApiKey, Company, columns_of, from_values, to_record
from opsin.core.refused_keys import RefusedKeys
from opsin.core.roles import ALL_RIGHTS, Permission, Rights, Role
from opsin.core.storable import is_storable_text
from opsin.core.token_ends import ends_with
from opsin.core.tokens import NewToken, TokenParts
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import accounts, api_keys, companies, dataset_roles, datasets

__all__ = ["KEY", "PRIVATE", "SESSION"]

LOCAL_COMPANY = "local"
MOST_DATASETS = 1000
"""In which a key, or an account, can have a role of its own."""

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
    came_as: str | None = None
    """How they came in, where that tells more than their ids: see `kind`."""

    @property
    def kind(self) -> str:
        """What they are: an `account`, a company's `key`, or `opsin` itself.

        Or as they came in: a `session`, by a `proxy` that vouches for them, by a signed `link`, by
        a `signature` alone, the `dev` mode's local user, the `operator` at the command line.
        """
        if self.came_as is not None:
            return self.came_as
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
        """The one user of dev mode and of the command line."""
        if self._local is None:
            company = await self.ensure_company(LOCAL_COMPANY)
            self._local = Principal(company.id, "local user", came_as="dev")
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

    async def create_key(
        self,
        principal: Principal,
        name: str,
        *,
        role: Role = Role.ADMIN,
        dataset_ids: Collection[str] = (),
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key of the caller's company, and its text, which is never shown again.

        With `dataset_ids` it has the role in those only.  A key that an account makes may never do
        more than that account, and one that a key or private token makes ends no later than that.
        Raises Forbidden for who is no administrator, NotFound for a dataset, InvalidInput for a
        time that is over.
        """
        name = require_token_name(name, "A key's name")
        principal.require(Permission.ADMIN)
        wanted = canonical_ids(dataset_ids, "dataset", MOST_DATASETS)
        token, now = NewToken.make(), self._now()
        async with self._database.write() as transaction:
            connection = transaction.connection
            ends = await ends_with(connection, principal.key_id, expires_at, now)
            values = {
                "id": new_id(),
                "company_id": principal.company_id,
                "account_id": principal.account_id,
                "name": name,
                "kind": KEY,
                "prefix": token.prefix,
                "secret_sha256": token.secret_sha256,
                "created_at": now,
                "expires_at": ends,
                "role": None if wanted else role.value,
            }
            await connection.execute(insert(api_keys).values(values))
            if wanted:
                found = select(datasets.c.id).where(
                    datasets.c.company_id == principal.company_id,
                    datasets.c.id.in_(wanted),
                    datasets.c.deleted_at.is_(None),
                )
                if set((await connection.execute(found)).scalars()) != wanted:
                    raise NotFound("There is no such dataset")
                rows = [
                    {
                        "id": new_id(),
                        "company_id": principal.company_id,
                        "dataset_id": dataset_id,
                        "key_id": values["id"],
                        "role": role.value,
                        "created_at": now,
                    }
                    for dataset_id in sorted(wanted)
                ]
                await connection.execute(insert(dataset_roles), rows)
            audit.note(
                transaction,
                principal,
                "key.create",
                ("key", str(values["id"])),
                name=name,
                role=role.value,
                datasets=sorted(wanted),
                expires_at=None if ends is None else ends.isoformat(),
            )
        return from_values(ApiKey, values), token.text

    async def keys(self, principal: Principal) -> list[ApiKey]:
        """The company's keys, newest first, without their secrets; no account's own tokens.

        None for a caller who does not read the whole company.
        """
        if not principal.may(Permission.READ):
            return []
        statement = (
            select(*columns_of(api_keys, ApiKey))
            .where(api_keys.c.company_id == principal.company_id, api_keys.c.kind == KEY)
            .order_by(api_keys.c.id.desc())
        )
        async with self._database.read() as connection:
            return [to_record(ApiKey, row) for row in await connection.execute(statement)]

    async def revoke_key(self, principal: Principal, key_id: str) -> ApiKey:
        """End a key at once; revoking twice changes nothing.  NotFound, Forbidden."""
        mine = (
            (api_keys.c.id == canonical_id(key_id))
            & (api_keys.c.company_id == principal.company_id)
            & (api_keys.c.kind == KEY)
        )
        if not principal.may(Permission.READ):
            raise NotFound("API key not found")
        async with self._database.write() as transaction:
            connection = transaction.connection
            ended = (
                update(api_keys)
                .where(mine, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=self._now())
            )
            found = select(*columns_of(api_keys, ApiKey)).where(mine)
            if (await connection.execute(found)).first() is None:
                raise NotFound("API key not found")
            principal.require(Permission.ADMIN)
            is_first = (await connection.execute(ended)).rowcount == 1
            row = (await connection.execute(found)).one()
            if is_first:
                audit.note(transaction, principal, "key.revoke", ("key", row.id), name=row.name)
        self.ended(row.id)
        return to_record(ApiKey, row)

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


def canonical_ids(ids: Collection[str], what: str, most: int) -> set[str]:
    """The ids in the form in which they are stored; InvalidInput for more than `most`."""
    if len(ids) > most:
        raise InvalidInput(f"Name at most {most} of them")
    found = {canonical_id(one) for one in ids}
    if None in found:
        raise NotFound(f"There is no such {what}")
    return {one for one in found if one is not None}


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
