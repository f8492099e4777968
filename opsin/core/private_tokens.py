"""Private tokens: what an account's own programs show, for every company that it reaches."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update

from opsin.core import audit
from opsin.core.access import PRIVATE, Access, Principal
from opsin.core.errors import Forbidden, InvalidInput, LimitReached, NotFound
from opsin.core.offset_pages import BY_ID
from opsin.core.pages import Order
from opsin.core.records import ApiKey, columns_of, from_values, to_record
from opsin.core.storable import is_storable_text
from opsin.core.token_ends import ends_with
from opsin.core.tokens import NewToken, require_token_name
from opsin.storage.counters import next_number
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.substring import Substring, column_contains
from opsin.storage.tables import accounts, api_keys

MOST_TOKENS = 100
"""Of one account, without those that have expired."""

_LARGEST_NUMBER = 2**31 - 1
_ORDERS: Mapping[str, ColumnElement[Any]] = {
    "id": api_keys.c.number,
    "name": api_keys.c.name,
    # What never ends comes last, on either database.
    "expires_at": func.coalesce(api_keys.c.expires_at, datetime.max.replace(tzinfo=UTC)),
}


class PrivateTokens:
    """Makes, lists and ends the tokens of the caller's own account; each has a number."""

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
        self, principal: Principal, name: str, expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """A new token, which ends at `expires_at` if ever, and its text, never shown again.

        One that is made with a private token ends no later than that.  Raises InvalidInput for a
        time that is over, Forbidden for a caller that is not signed in, LimitReached when the
        account has MOST_TOKENS that are good.
        """
        account_id = _account_of(principal)
        name = require_token_name(name, "A token's name")
        now, token = self._now(), NewToken.make()
        async with self._database.write() as transaction:
            connection = transaction.connection
            # The account is locked: two who count at once would count alike.
            home = select(accounts.c.company_id).where(accounts.c.id == account_id)
            company_id = (await connection.execute(home.with_for_update())).scalar_one()
            ends = await ends_with(connection, principal.key_id, expires_at, now)
            good = api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > now)
            counted = select(func.count()).select_from(api_keys).where(*_own(principal), good)
            if (await connection.execute(counted)).scalar_one() >= MOST_TOKENS:
                raise LimitReached(f"An account has at most {MOST_TOKENS} private tokens")
            values = {
                "id": new_id(),
                # Not the one that the caller acts for: it is good for all of them.
                "company_id": company_id,
                "account_id": account_id,
                "name": name,
                "kind": PRIVATE,
                "number": await next_number(connection, "private token"),
                "prefix": token.prefix,
                "secret_sha256": token.secret_sha256,
                "created_at": now,
                "expires_at": ends,
            }
            await connection.execute(insert(api_keys).values(values))
            audit.note(
                transaction,
                principal,
                "private_token.create",
                ("private_token", str(values["id"])),
                name=name,
                number=values["number"],
            )
        return from_values(ApiKey, values), token.text

    async def listed(
        self,
        principal: Principal,
        *,
        skip: int = 0,
        limit: int = 100,
        text: str | None = None,
        order: Order = BY_ID,
    ) -> tuple[list[ApiKey], int]:
        """Some of the account's tokens by `id`, their number, `name` or `expires_at`, and how many.

        Raises InvalidInput for another order.  With `text` those whose name has it, whatever its
        case.  Also those that have expired, until they are deleted.
        """
        conditions = _own(principal)
        if text:
            if not is_storable_text(text):
                return [], 0
            conditions.append(column_contains(api_keys.c.name, Substring(text)))
        if order.column not in _ORDERS:
            raise InvalidInput(f"Tokens have no order by {order.column!r}: {', '.join(_ORDERS)}")
        columns = (_ORDERS[order.column], api_keys.c.number)
        by = [column.desc() if order.descending else column.asc() for column in columns]
        page = select(*columns_of(api_keys, ApiKey)).where(*conditions)
        counted = select(func.count()).select_from(api_keys).where(*conditions)
        async with self._database.read() as connection:
            rows = await connection.execute(page.order_by(*by).offset(skip).limit(limit))
            tokens = [to_record(ApiKey, row) for row in rows]
            return tokens, (await connection.execute(counted)).scalar_one()

    async def delete(self, principal: Principal, number: int) -> None:
        """End a token at once; NotFound for a number that is none of the account's."""
        if not 0 < number <= _LARGEST_NUMBER:  # the database could not even look for it
            raise NotFound("Token not found")
        statement = (
            update(api_keys)
            .where(api_keys.c.number == number, *_own(principal))
            .values(revoked_at=self._now())
            .returning(api_keys.c.id)
        )
        async with self._database.write() as transaction:
            key_id = (await transaction.connection.execute(statement)).scalar()
            if key_id is None:
                raise NotFound("Token not found")
            audit.note(
                transaction,
                principal,
                "private_token.delete",
                ("private_token", key_id),
                number=number,
            )
        self._access.ended(key_id)


def _account_of(principal: Principal) -> str:
    # A company's key must not make what reaches more than that company, whoever made the key.
    if principal.account_id is None or not principal.reaches_all:
        raise Forbidden("Sign in first: private tokens belong to accounts")
    return principal.account_id


def _own(principal: Principal) -> list[ColumnElement[bool]]:
    return [
        api_keys.c.account_id == _account_of(principal),
        api_keys.c.kind == PRIVATE,
        api_keys.c.revoked_at.is_(None),
    ]
