"""A company's API keys: made, listed and ended."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, false, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Access
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.live_keys import KEY
from opsin.core.principal import Principal
from opsin.core.records import ApiKey, columns_of, from_values, to_record
from opsin.core.role_holders import MOST_DATASETS
from opsin.core.roles import Permission, Role
from opsin.core.token_ends import ends_with
from opsin.core.tokens import NewToken, require_token_name
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import api_keys, dataset_roles, datasets


class ApiKeys:
    """Makes, lists and ends the keys of the caller's company; not what accounts have beside them.

    Whoever may do nothing else any more may end what is their own: a person the keys they have
    made, a key itself.
    """

    def __init__(
        self,
        database: Database,
        access: Access,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._access = access
        self._now = now

    async def create(
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
        wanted = _dataset_ids(dataset_ids)
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

    async def listed(self, principal: Principal) -> list[ApiKey]:
        """The company's keys, newest first, without their secrets; no account's own tokens.

        Of a caller who does not read the whole company only what is their own.
        """
        async with self._database.read() as connection:
            wanted = await shown_keys(connection, principal)
            statement = select(*columns_of(api_keys, ApiKey)).where(wanted)
            rows = await connection.execute(statement.order_by(api_keys.c.id.desc()))
            return [to_record(ApiKey, row) for row in rows]

    async def revoke(self, principal: Principal, key_id: str) -> ApiKey:
        """End a key at once; revoking twice changes nothing.

        One's own takes no permission.  NotFound, Forbidden.
        """
        async with self._database.write() as transaction:
            connection = transaction.connection
            named = (api_keys.c.id == canonical_id(key_id)) & await shown_keys(
                connection, principal
            )
            found = select(*columns_of(api_keys, ApiKey)).where(named)
            if (await connection.execute(found)).first() is None:
                raise NotFound("API key not found")
            own = select(api_keys.c.id).where(named, await _own(connection, principal))
            if (await connection.execute(own)).first() is None:
                principal.require(Permission.ADMIN)
            ended = (
                update(api_keys)
                .where(named, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=self._now())
            )
            is_first = (await connection.execute(ended)).rowcount == 1
            row = (await connection.execute(found)).one()
            if is_first:
                audit.note(transaction, principal, "key.revoke", ("key", row.id), name=row.name)
        self._access.ended(row.id)
        return to_record(ApiKey, row)


async def shown_keys(connection: AsyncConnection, principal: Principal) -> ColumnElement[bool]:
    """The keys that the caller is shown."""
    keys = (api_keys.c.company_id == principal.company_id) & (api_keys.c.kind == KEY)
    if principal.may(Permission.READ):
        return keys
    return keys & await _own(connection, principal)


async def _own(connection: AsyncConnection, principal: Principal) -> ColumnElement[bool]:
    """Those that are the caller's own: the key itself, and those of the person who calls."""
    own: list[ColumnElement[bool]] = []
    if principal.key_id is not None:
        own.append(api_keys.c.id == principal.key_id)
    if principal.account_id is not None and await _is_the_person(connection, principal):
        own.append(api_keys.c.account_id == principal.account_id)
    return or_(false(), *own)


async def _is_the_person(connection: AsyncConnection, principal: Principal) -> bool:
    """Whether the caller is all of its account.

    A key that was made with less than everything may be in hands that its maker would not have
    end their other keys.
    """
    if principal.key_id is None or principal.reaches_all:
        return True
    its = select(api_keys.c.role).where(api_keys.c.id == principal.key_id)
    role: Any = (await connection.execute(its)).scalar()
    return bool(role == Role.ADMIN.value)


def _dataset_ids(ids: Collection[str]) -> set[str]:
    """As they are stored; NotFound for what is no id, InvalidInput for too many."""
    if len(ids) > MOST_DATASETS:
        raise InvalidInput(f"Name at most {MOST_DATASETS} of them")
    found = {canonical_id(one) for one in ids}
    if None in found:
        raise NotFound("There is no such dataset")
    return {one for one in found if one is not None}
