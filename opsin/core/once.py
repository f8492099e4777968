"""Requests with a name of their own: sent again, they change nothing a second time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select

from opsin.storage.curation import signed_answers
from opsin.storage.database import Transaction
from opsin.storage.ids import new_id


@dataclass(frozen=True, slots=True)
class Once:
    """What must happen once at most; `digest` (64 characters) names it among all requests."""

    digest: str
    keep: timedelta


class Repeated(Exception):
    """It has happened before; `told` is what was kept of it.  Raised to whoever gave a `Once`."""

    def __init__(self, told: str) -> None:
        super().__init__("this request was carried out before")
        self.told = told


async def require_first(transaction: Transaction, once: Once | None) -> None:
    """Raises Repeated if an earlier transaction made the change.

    The caller holds a row that everybody locks who could make the same change, and says by
    `keep_claims` that it is made, in the same transaction: of two at once the second one sees the
    claim of the first.
    """
    found = await earlier_claims(transaction, [once] if once is not None else [])
    if once is not None and once.digest in found:
        raise Repeated(found[once.digest])


async def earlier_claims(transaction: Transaction, wanted: Collection[Once]) -> dict[str, str]:
    """What was kept of those that have happened before, by digest."""
    if not wanted:
        return {}
    table = signed_answers
    statement = select(table.c.digest, table.c.body).where(
        table.c.digest.in_([once.digest for once in wanted])
    )
    rows = await transaction.connection.execute(statement)
    return {row.digest: row.body.decode() for row in rows}


async def keep_claims(
    transaction: Transaction, told: Sequence[tuple[Once, str]], company_id: str | None = None
) -> None:
    """Keep that these happen in this transaction, and what is to be told of each."""
    if not told:
        return
    now = datetime.now(UTC)
    rows = [
        {
            "id": new_id(),
            "company_id": company_id,
            "digest": once.digest,
            "status": 200,
            "content_type": "application/json",
            "body": text.encode(),
            "created_at": now,
            "expires_at": now + once.keep,
        }
        for once, text in told
    ]
    await transaction.connection.execute(insert(signed_answers), rows)
