"""Annotations: the findings of an analysis, added in bulk, in order, all or none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.analyses import lock_analysis
from opsin.core.checked_annotations import (
    COLUMNS,
    CheckedAnnotations,
    Row,
    check_annotations,
)
from opsin.core.checked_annotations import validate_annotations as validate_annotations
from opsin.core.conditions import Condition, among, at_least, at_most
from opsin.core.errors import Conflict, TooLarge
from opsin.core.once import Once, keep_claims, require_first
from opsin.core.pages import Listing
from opsin.core.records import Analysis, StoredAnnotation
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.storage.bulk import as_sent, insert_rows
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import new_ids
from opsin.storage.tables import annotations

LISTING = Listing(annotations, StoredAnnotation, parent="analysis_id")
_COLUMNS = ("id", "company_id", "analysis_id", "created_at", *COLUMNS)


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of annotations to the caller's own."""
    return [within(principal, annotations)]


@dataclass(frozen=True, slots=True)
class AnnotationFilter:
    """Which annotations are wanted; None means any."""

    annotation_type: tuple[str, ...] | None = None
    class_name: tuple[str, ...] | None = None
    confidence_from: float | None = None
    confidence_to: float | None = None

    def conditions(self) -> tuple[Condition, ...]:
        return (
            *among("annotation_type", self.annotation_type),
            *among("class_name", self.class_name),
            *at_least("confidence", self.confidence_from),
            *at_most("confidence", self.confidence_to),
        )


class NewRow(NamedTuple):
    """A row just inserted; `values` are those of COLUMNS, `data` as JSON text."""

    id: str
    analysis: Analysis
    created_at: datetime
    values: Row


class Annotations:
    """Adds what external pipelines found."""

    def __init__(self, database: Database, *, max_annotations: int) -> None:
        self._database = database
        self._max = max_annotations

    async def add(
        self,
        principal: Principal,
        analysis_id: str,
        found: Sequence[Any] | CheckedAnnotations,
    ) -> tuple[Analysis, int]:
        """Append annotations as `append` does; gives the analysis and how many were added."""
        analysis, rows = await self.append(principal, analysis_id, found)
        return analysis, len(rows)

    async def append(
        self,
        principal: Principal,
        analysis_id: str,
        found: Sequence[Any] | CheckedAnnotations,
        *,
        once: Once | None = None,
        tell: Callable[[Sequence[NewRow], int], str] | None = None,
    ) -> tuple[Analysis, list[NewRow]]:
        """Append annotations to an external analysis; one bad one refuses them all.

        `found` holds `Annotation`s or dictionaries of their fields, or was checked before.  Gives
        the analysis and the rows as they were inserted, which one event tells.  With `once`, raises
        Repeated if it was done before: with what `tell` made then of the rows and of how many there
        are now, or with their number.
        """
        if len(found) > self._max:
            raise TooLarge(f"At most {self._max} annotations may be added in one request")
        checked = found if isinstance(found, CheckedAnnotations) else check_annotations(found)
        async with self._database.write() as transaction:
            analysis = await lock_analysis(transaction.connection, principal, analysis_id)
            principal.require(Permission.REPORT, analysis.dataset_id)
            if not analysis.external:
                raise Conflict("Opsin runs this analysis itself and writes its annotations")
            await require_first(transaction, once)
            rows = await _insert(transaction.connection, [(analysis, checked)])
            if once is not None:
                told = str(len(rows))
                if tell is not None:
                    told = tell(rows, await _count(transaction.connection, analysis))
                await keep_claims(transaction, [(once, told)], analysis.company_id)
            if rows:
                transaction.emit(
                    NewEvent(
                        "analysis.annotated",
                        analysis.company_id,
                        dataset_id=analysis.dataset_id,
                        image_id=analysis.image_id,
                        analysis_id=analysis.id,
                        data={"status": analysis.status.value, "added": len(rows)},
                    )
                )
                audit.note(
                    transaction, principal, "annotation.add", ("analysis", analysis.id),
                    dataset_id=analysis.dataset_id, count=len(rows),
                )  # fmt: skip
        return analysis, rows


async def _count(connection: AsyncConnection, analysis: Analysis) -> int:
    mine = annotations.c.analysis_id == analysis.id
    count = select(func.count()).select_from(annotations).where(mine)
    return (await connection.execute(count)).scalar_one()


async def insert_annotations(
    connection: AsyncConnection, found: Sequence[tuple[Analysis, CheckedAnnotations]]
) -> int:
    """Write the findings of some analyses in one statement; gives how many.

    Their ids ascend, so that reading by id keeps the order.
    """
    return len(await _insert(connection, found))


async def _insert(
    connection: AsyncConnection, found: Sequence[tuple[Analysis, CheckedAnnotations]]
) -> list[NewRow]:
    ids = iter(new_ids(sum(len(checked) for _, checked in found)))
    moment = datetime.now(UTC)
    now = as_sent(connection, annotations.c.created_at, moment)
    new = [
        NewRow(next(ids), analysis, moment, row)
        for analysis, checked in found
        for row in checked.rows
    ]
    rows = [
        (identity, analysis.company_id, analysis.id, now, *values)
        for identity, analysis, _, values in new
    ]
    await insert_rows(connection, annotations, _COLUMNS, rows)
    return new
