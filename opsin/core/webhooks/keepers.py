"""Who answers for a webhook, and whether they may still read what it tells of."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from sqlalchemy import select

from opsin.core.bounded_cache import BoundedCache
from opsin.core.known_keys import KNOWN_SECONDS, Together
from opsin.core.live_keys import SESSION, LiveKeys
from opsin.core.principal import Principal
from opsin.core.reach import Reach
from opsin.core.roles import ALL_RIGHTS, Permission, Rights
from opsin.core.webhooks.records import Webhook
from opsin.storage.database import Database
from opsin.storage.tables import accounts

_ENDED = "the key that it was made or last changed with has ended"
_OFF = "the account of whoever made or last changed it is switched off"
_LEFT = "whoever made or last changed it has left the company"
_LESS = "whoever made or last changed it may no longer read what it tells of"
_MOST_KNOWN = 10_000


class Silenced(Exception):
    """Nothing may be told to a webhook any more; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def keeper(principal: Principal) -> dict[str, str | None]:
    """The columns that say who answers: a person, and the key or private token they came with.

    A session is none: whoever was signed in is answerable as long as they are let in.
    """
    key_id = None if principal.kind == SESSION else principal.key_id
    return {"account_id": principal.account_id, "key_id": key_id}


class Keepers:
    """Asks the database about each keeper at most once in KNOWN_SECONDS, however much is sent."""

    def __init__(
        self,
        database: Database,
        reach: Reach,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._reach = reach
        self._clock = clock
        self._live_keys = LiveKeys(database, now)
        self._known: BoundedCache[str, tuple[float, Rights | None]] = BoundedCache(_MOST_KNOWN)
        self._together = Together()

    async def check(self, webhook: Webhook) -> None:
        """Raises Silenced unless the keeper may read all that this webhook can be told of.

        One that is nobody's, as dev mode's are, goes on.  What has changed is known within
        KNOWN_SECONDS.  Raises StorageError when that cannot be asked now.
        """
        rights: Rights = ALL_RIGHTS
        if webhook.key_id is not None:
            key_id = webhook.key_id
            of_key = await self._once(key_id, lambda: self._live_keys.rights(key_id))
            if of_key is None:
                raise Silenced(_ENDED)
            rights = of_key
        if webhook.account_id is not None:
            account_id = webhook.account_id
            if await self._once(account_id, lambda: self._of_account(account_id)) is None:
                raise Silenced(_OFF)
            reached = (await self._reach.of(account_id)).rights.get(webhook.company_id)
            if reached is None:
                raise Silenced(_LEFT)
            rights = rights.limited_by(reached)
        if not rights.allow(Permission.READ, webhook.dataset_id):
            raise Silenced(_LESS)

    async def _once(
        self, identity: str, ask: Callable[[], Awaitable[Rights | None]]
    ) -> Rights | None:
        known = self._known.get(identity)
        if known is not None and self._clock() - known[0] < KNOWN_SECONDS:
            return known[1]

        async def read() -> Rights | None:
            begun = self._clock()
            found = await ask()
            self._known.put(identity, (begun, found), 1)
            return found

        return await self._together.once(identity, read)

    async def _of_account(self, account_id: str) -> Rights | None:
        """None when it is switched off, or gone."""
        statement = select(accounts.c.is_active).where(accounts.c.id == account_id)
        async with self._database.read() as connection:
            is_active = (await connection.execute(statement)).scalar()
        return ALL_RIGHTS if is_active else None
