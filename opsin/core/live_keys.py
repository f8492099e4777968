"""What keys allow, also those of callers who stay connected: one question for all who ask."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.gathering import Gathering
from opsin.core.roles import ALL_RIGHTS, Rights, permissions_of, rights_of
from opsin.storage.database import Database
from opsin.storage.tables import accounts, api_keys, dataset_roles

KEY, PRIVATE, SESSION = "key", "private", "session"
"""Kinds of tokens: a company's, an account's for all it reaches, and one of somebody signed in."""

_AT_ONCE = 500


class LiveKeys:
    """Says what a key is good for now, asked once for all who follow the log."""

    def __init__(
        self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._now = now
        self._asked: Gathering[str, Rights | None] = Gathering(self._read)

    async def rights(self, key_id: str) -> Rights | None:
        """What the key itself allows, never older than the question.

        None once the key has ended or its account is off.
        """
        return await asyncio.shield(self._asked.ask(key_id, key_id))

    async def _read(self, key_ids: Sequence[str]) -> list[Rights | None]:
        found: dict[str, Rights] = {}
        async with self._database.read() as connection:
            for start in range(0, len(key_ids), _AT_ONCE):
                some = key_ids[start : start + _AT_ONCE]
                rows = (
                    await connection.execute(
                        select(api_keys.c.id, api_keys.c.kind, api_keys.c.role)
                        .outerjoin(accounts, accounts.c.id == api_keys.c.account_id)
                        .where(
                            api_keys.c.id.in_(some),
                            api_keys.c.revoked_at.is_(None),
                            api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > self._now()),
                            accounts.c.is_active.is_not(False),  # NULL for a key of no account
                        )
                    )
                ).all()
                keys = [(row.id, row.role) for row in rows if row.kind == KEY]
                found.update(await rights_of_keys(connection, keys))
                found.update((row.id, ALL_RIGHTS) for row in rows if row.kind != KEY)
        return [found.get(key_id) for key_id in key_ids]


async def rights_of_keys(
    connection: AsyncConnection, keys: Sequence[tuple[str, str | None]]
) -> dict[str, Rights]:
    """What keys of companies allow, by their ids; given with their roles in the company."""
    permissions = {key_id: permissions_of(role) for key_id, role in keys}
    narrow = [one for one, given in permissions.items() if given != ALL_RIGHTS.company]
    datasets: dict[str, list[tuple[str, str]]] = {}
    if narrow:
        columns = (dataset_roles.c.key_id, dataset_roles.c.dataset_id, dataset_roles.c.role)
        statement = select(*columns).where(dataset_roles.c.key_id.in_(narrow))
        for key_id, dataset_id, role in await connection.execute(statement):
            datasets.setdefault(key_id, []).append((dataset_id, role))
    return {one: rights_of(given, datasets.get(one, ())) for one, given in permissions.items()}
