"""The keys of callers who stay connected: one question to the database for all who ask at once."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import select

from opsin.core.gathering import Gathering
from opsin.storage.database import Database
from opsin.storage.tables import accounts, api_keys

_AT_ONCE = 500


class LiveKeys:
    """Says whether a key holds now, in one statement for all who follow the log."""

    def __init__(
        self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._now = now
        self._asked: Gathering[str, bool] = Gathering(self._hold)

    async def holds(self, key_id: str) -> bool:
        """False once the key has ended or its account is off; never older than the question."""
        return await asyncio.shield(self._asked.ask(key_id, key_id))

    async def _hold(self, key_ids: Sequence[str]) -> list[bool]:
        valid: set[str] = set()
        async with self._database.read() as connection:
            for start in range(0, len(key_ids), _AT_ONCE):
                some = key_ids[start : start + _AT_ONCE]
                rows = await connection.execute(
                    select(api_keys.c.id)
                    .outerjoin(accounts, accounts.c.id == api_keys.c.account_id)
                    .where(
                        api_keys.c.id.in_(some),
                        api_keys.c.revoked_at.is_(None),
                        api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > self._now()),
                        accounts.c.is_active.is_not(False),  # NULL for a key of no account
                    )
                )
                valid.update(rows.scalars())
        return [key_id in valid for key_id in key_ids]
