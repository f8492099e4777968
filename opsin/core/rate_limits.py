"""Rate limits: so many requests of one caller in any stretch of time, counted by all processes."""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from opsin.storage.database import Database, Transaction
from opsin.storage.predictions import rate_limits

_MOST_REMEMBERED = 10_000
"""Callers that are refused without asking the database."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `most` requests in any `seconds`, of each caller, for what `name` says."""

    name: str
    most: int
    seconds: float


class RateLimits:
    """Lets requests in by a sliding log: those that were refused do not count.

    The log is in the database, which all processes share; who is refused is remembered until the
    moment at which that can end, so that a flood costs no statements.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._refused: dict[str, float] = {}

    async def enter(self, limit: RateLimit, caller: str) -> float | None:
        """None when the request is let in and counted; else the seconds until one would be."""
        key = f"{limit.name}:{hashlib.sha256(caller.encode()).hexdigest()}"
        wait = self._refused.get(key, -math.inf) - self._clock()
        if wait > 0:
            return wait
        async with self._database.write() as transaction:
            accepted = await _locked(transaction, key)
            now = self._clock()
            # A clock that was set back must not lock anybody out.
            recent = [at for at in accepted if now - limit.seconds < at <= now]
            if len(recent) < limit.most:
                values = {"accepted": [*recent, now], "expires_at": now + limit.seconds}
                statement = update(rate_limits).where(rate_limits.c.id == key).values(**values)
                await transaction.connection.execute(statement)
                self._refused.pop(key, None)
                return None
        until = recent[len(recent) - limit.most] + limit.seconds
        if len(self._refused) >= _MOST_REMEMBERED:
            self._refused = {one: end for one, end in self._refused.items() if end > now}
        if len(self._refused) < _MOST_REMEMBERED:
            self._refused[key] = until
        return until - now

    async def sweep(self) -> int:
        """Forget callers who have not been let in for as long as it counts; gives how many."""
        statement = delete(rate_limits).where(rate_limits.c.expires_at <= self._clock())
        async with self._database.write() as transaction:
            return (await transaction.connection.execute(statement)).rowcount


async def _locked(transaction: Transaction, key: str) -> list[float]:
    """When this caller was let in; nobody else writes the row until the end of the transaction."""
    connection = transaction.connection
    locked = select(rate_limits.c.accepted).where(rate_limits.c.id == key).with_for_update()
    row = (await connection.execute(locked)).first()
    if row is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        made = dialect.insert(rate_limits).values(id=key, accepted=[], expires_at=0.0)
        await connection.execute(made.on_conflict_do_nothing())
        row = (await connection.execute(locked)).one()
    accepted: list[float] = row.accepted
    return accepted
