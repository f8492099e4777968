"""Answers to signed requests whose signature holds no time: a repeat gets the first one again."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from opsin.core.errors import Overloaded
from opsin.storage.curation import signed_answers
from opsin.storage.database import Database
from opsin.storage.ids import new_id

_PENDING = timedelta(seconds=60)
"""Whoever has claimed a request and not answered for so long is dead."""
_WAIT_SECONDS = 15.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """What was answered: the status, and the body with its type; and of whose things it tells."""

    status: int
    content_type: str
    body: bytes
    company_id: str | None = None


class SignedAnswers:
    """One answer a request, also when it comes twice at once or to two processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, digest: str, keep: timedelta) -> SignedAnswer | None:
        """The answer that was given; None when it is the caller who acts, and then says what came.

        Waits while another acts on the same request.  Raises Overloaded if that takes too long.
        """
        deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
        while True:
            if await self._insert(digest, keep):
                return None
            found = await self._find(digest)
            if found is not None:
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise Overloaded("The same request is still being worked on")
            await asyncio.sleep(_POLL_SECONDS)

    async def answer(self, digest: str, given: SignedAnswer, keep: timedelta) -> None:
        """Remember what the claimed request was answered."""
        async with self._database.write() as transaction:
            await transaction.connection.execute(
                update(signed_answers)
                .where(signed_answers.c.digest == digest)
                .values(
                    status=given.status,
                    content_type=given.content_type,
                    body=given.body,
                    company_id=given.company_id,
                    expires_at=datetime.now(UTC) + keep,
                )
            )

    async def release(self, digest: str) -> None:
        """Forget a claim that came to nothing: the request may be sent again."""
        async with self._database.write() as transaction:
            await transaction.connection.execute(
                delete(signed_answers).where(
                    signed_answers.c.digest == digest, signed_answers.c.status.is_(None)
                )
            )

    async def sweep(self, now: datetime | None = None) -> int:
        """Forget what is older than it must be; gives how many."""
        statement = delete(signed_answers).where(
            signed_answers.c.expires_at <= (now or datetime.now(UTC))
        )
        async with self._database.write() as transaction:
            return (await transaction.connection.execute(statement)).rowcount

    async def _insert(self, digest: str, keep: timedelta) -> bool:
        now = datetime.now(UTC)
        table = signed_answers
        over = (table.c.expires_at <= now) | (
            table.c.status.is_(None) & (table.c.created_at <= now - _PENDING)
        )
        fresh = {"id": new_id(), "created_at": now, "expires_at": now + keep}
        empty = {"status": None, "content_type": None, "body": None}
        async with self._database.write() as transaction:
            connection = transaction.connection
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            claimed = (
                dialect.insert(table)
                .values(digest=digest, **fresh)
                .on_conflict_do_update(
                    index_elements=[table.c.digest], set_=fresh | empty, where=over
                )
                .returning(table.c.id)
            )
            return (await connection.execute(claimed)).first() is not None

    async def _find(self, digest: str) -> SignedAnswer | None:
        table = signed_answers
        columns = (table.c.status, table.c.content_type, table.c.body, table.c.company_id)
        statement = select(*columns).where(table.c.digest == digest, table.c.status.is_not(None))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else SignedAnswer(*row)
