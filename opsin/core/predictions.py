"""Predictions: what an API has answered of pictures that are stored nowhere, in short records.

The newest are kept for export, their scores are watched for drift, and the log tells of those that
were rejected.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.drift import DriftSummary, DriftWindow
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.storable import storable_text
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.group_commit import GroupCommit
from opsin.storage.ids import new_id
from opsin.storage.predictions import drift_windows, predictions

log = logging.getLogger(__name__)

KEPT = 10_000
"""Records of each API and company."""
_LONGEST_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer: its record, why it was rejected, and its score and probability if it has any."""

    name: str
    """Of the picture."""
    record: dict[str, Any]
    rejection: str | None = None
    measured: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Predicted:
    """The answers of one request; `baseline` is the mean score that the operation had in tests."""

    source: str
    """The API."""
    made: Sequence[Prediction]
    is_batch: bool = False
    baseline: float | None = None


class Predictions:
    """Writes records and what follows from them in one transaction, and reads them back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing: GroupCommit[tuple[str, Predicted], None] = GroupCommit(database, _write)

    async def add(self, principal: Principal, predicted: Predicted) -> None:
        """Returns once it is committed; what others add at the same time is in one transaction."""
        if predicted.made or predicted.is_batch:
            await self._writing.add((principal.company_id, predicted))

    async def newest(
        self, principal: Principal, source: str, since: datetime | None = None
    ) -> list[tuple[datetime, dict[str, Any]]]:
        """The newest KEPT records of an API that are not older than `since`, the oldest first."""
        table = predictions
        mine = (within(principal, table), table.c.source == source)
        newest = (
            select(table.c.id, table.c.created_at, table.c.record)
            .where(*mine)
            .order_by(table.c.id.desc())
            .limit(KEPT)
        )
        if since is not None:
            newest = newest.where(table.c.created_at >= since)
        async with self._database.read() as connection:
            rows = (await connection.execute(newest)).all()
        return [(row.created_at, row.record) for row in reversed(rows)]

    async def drift(self, principal: Principal, source: str) -> DriftSummary:
        """How the last scores of an API lie; of none, for who does not read the whole company."""
        if not principal.may(Permission.READ):
            return DriftWindow().summary()
        async with self._database.read() as connection:
            window = await _window(connection, principal.company_id, source)
        return window.summary()

    async def sweep(self) -> int:
        """Forget all but the newest records; gives how many went."""
        table = predictions
        async with self._database.read() as connection:
            kinds = select(table.c.company_id, table.c.source).distinct()
            owners = (await connection.execute(kinds)).all()
        count = 0
        for company_id, source in owners:
            mine = (table.c.company_id == company_id, table.c.source == source)
            edge = select(table.c.id).where(*mine).order_by(table.c.id.desc()).offset(KEPT).limit(1)
            old = delete(table).where(*mine, table.c.id <= edge.scalar_subquery())
            async with self._database.write() as transaction:
                count += (await transaction.connection.execute(old)).rowcount
        return count


async def _write(
    transaction: Transaction, items: Sequence[tuple[str, Predicted]]
) -> Sequence[Exception | None]:
    """In the order in which they came; a window is read and written once for all of them."""
    connection, now = transaction.connection, datetime.now(UTC)
    rows = [
        {
            "id": new_id(),
            "company_id": company_id,
            "source": predicted.source,
            "record": {name: _kept(value) for name, value in one.record.items()},
            "created_at": now,
        }
        for company_id, predicted in items
        for one in predicted.made
    ]
    if rows:
        await connection.execute(insert(predictions), rows)
    for company_id, source in dict.fromkeys((owner, one.source) for owner, one in items):
        mine = [one for owner, one in items if (owner, one.source) == (company_id, source)]
        await _watch(connection, company_id, source, mine)
    for company_id, predicted in items:
        _tell(transaction, company_id, predicted)
    return [None] * len(items)


async def _watch(
    connection: AsyncConnection, company_id: str, source: str, mine: Sequence[Predicted]
) -> None:
    """Take the scores into the API's window."""
    if not any(one.measured for predicted in mine for one in predicted.made):
        return
    await _make_window(connection, company_id, source)
    window = await _window(connection, company_id, source, lock=True)
    for predicted in mine:
        measured = [one.measured for one in predicted.made if one.measured is not None]
        if window.add(measured, predicted.baseline):
            mean = window.summary().score_mean
            log.warning(
                "the mean score of %s has sunk to %.4f, from %.4f where it was calibrated",
                source, mean, predicted.baseline,
            )  # fmt: skip
    values = {
        "scores": window.scores,
        "probabilities": window.probabilities,
        "alarms": window.alarms,
        "is_alarmed": window.is_alarmed,
        "updated_at": datetime.now(UTC),
    }
    await connection.execute(update(drift_windows).where(*_of(company_id, source)).values(values))


def _tell(transaction: Transaction, company_id: str, predicted: Predicted) -> None:
    rejected = [one for one in predicted.made if one.rejection is not None]
    for one in rejected:
        told = {
            "source": predicted.source,
            "name": _kept(one.name),
            "reason": one.rejection,
        }
        transaction.emit(NewEvent("prediction.rejected", company_id, data=told))
    if predicted.is_batch:
        counts = {
            "source": predicted.source,
            "count": len(predicted.made),
            "accepted": len(predicted.made) - len(rejected),
            "rejected": len(rejected),
        }
        transaction.emit(NewEvent("prediction.batch_completed", company_id, data=counts))


def _kept(value: Any) -> Any:
    """Names come from strangers: texts as a database takes them, and not without end."""
    return storable_text(value)[:_LONGEST_TEXT] if isinstance(value, str) else value


async def _make_window(connection: AsyncConnection, company_id: str, source: str) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    empty = {
        "id": new_id(),
        "company_id": company_id,
        "source": source,
        "scores": [],
        "probabilities": [],
        "alarms": 0,
        "is_alarmed": False,
        "updated_at": datetime.now(UTC),
    }
    statement = dialect.insert(drift_windows).values(empty)
    await connection.execute(statement.on_conflict_do_nothing())


async def _window(
    connection: AsyncConnection, company_id: str, source: str, *, lock: bool = False
) -> DriftWindow:
    table = drift_windows
    columns = (table.c.scores, table.c.probabilities, table.c.alarms, table.c.is_alarmed)
    statement = select(*columns).where(*_of(company_id, source))
    if lock:
        statement = statement.with_for_update()
    row = (await connection.execute(statement)).first()
    return DriftWindow() if row is None else DriftWindow(*row)


def _of(company_id: str, source: str) -> tuple[Any, ...]:
    return (drift_windows.c.company_id == company_id, drift_windows.c.source == source)
