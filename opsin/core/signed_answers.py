"""Answers to signed requests whose signature holds no time: a repeat gets the first one again."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

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
    """What was answered: the status, and the body with its type."""

    status: int
    content_type: str
    body: bytes


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
        try:
            async with self._database.write() as transaction:
                await transaction.connection.execute(
                    delete(table).where(table.c.digest == digest, over)
                )
                await transaction.connection.execute(
                    insert(table).values(
                        id=new_id(), digest=digest, created_at=now, expires_at=now + keep
                    )
                )
        except IntegrityError:
            return False
        return True

    async def _find(self, digest: str) -> SignedAnswer | None:
        table = signed_answers
        statement = select(table.c.status, table.c.content_type, table.c.body).where(
            table.c.digest == digest, table.c.status.is_not(None)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else SignedAnswer(row.status, row.content_type, row.body)
