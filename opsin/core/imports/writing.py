"""Some images of a source with their analyses, written in one transaction with their events."""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.analyses import status_event
from opsin.core.annotations import insert_annotations
from opsin.core.capture import captured
from opsin.core.checked_annotations import CheckedAnnotations
from opsin.core.datasets import require_dataset
from opsin.core.errors import Conflict
from opsin.core.images import OnArrival
from opsin.core.imports.found import SourceAnalysis
from opsin.core.imports.pictures import Pictures, Placed
from opsin.core.imports.report import ImportReport
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis, from_values
from opsin.core.roles import Permission
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_ids
from opsin.storage.tables import analyses, images

_LOCK = 0x6F707369  # with a number of the dataset: imports into it take turns


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image that has its place, and its analyses."""

    placed: Placed
    analyses: Sequence[SourceAnalysis]


class ImportWriter:
    """Writes what is new, and counts."""

    def __init__(
        self,
        database: Database,
        principal: Principal,
        pictures: Pictures,
        report: ImportReport,
        arrived: OnArrival | None,
    ) -> None:
        self._arrived = arrived
        self._database = database
        self._principal = principal
        self._pictures = pictures
        self._report = report

    async def write(self, prepared: Sequence[Prepared]) -> None:
        """All of it or nothing; raises Conflict when others changed the same at the same time."""
        dataset_id = self._report.dataset_id or ""
        placed = [one.placed for one in prepared]
        try:
            async with self._database.write() as transaction:
                connection = transaction.connection
                await _take_turns(connection, dataset_id)
                await transaction.lock_blobs(exclusive=False)
                dataset = await require_dataset(connection, self._principal, dataset_id, keep=True)
                self._principal.require(Permission.UPLOAD, dataset.id)
                self._principal.require(Permission.REPORT, dataset.id)
                for one in placed:
                    if one.row is not None:
                        one.row["side"], one.row["light"] = captured(dataset.image_type, None, None)
                if await self._pictures.appeared(connection, placed):
                    raise Conflict("Another stores the same pictures at the moment; run it again")
                await self._pictures.keep(placed)
                new = await self._new(connection, prepared)
                await self._insert_images(transaction, placed)
                await self._insert_analyses(transaction, dataset_id, new)
                self._note(transaction, dataset.id, placed, new)
        except IntegrityError:
            raise Conflict("An image was deleted while it was imported; run it again") from None
        self._count(prepared, new)

    def _note(
        self,
        transaction: Transaction,
        dataset_id: str,
        placed: Sequence[Placed],
        new: dict[str, tuple[Placed, SourceAnalysis]],
    ) -> None:
        """One line for each transaction that brought something new."""
        images_new = sum(one.row is not None for one in placed)
        if images_new or new:
            audit.note(
                transaction, self._principal, "dataset.import", ("dataset", dataset_id),
                dataset_id=dataset_id, source=self._report.source,
                images=images_new, analyses=len(new),
            )  # fmt: skip

    async def count(self, prepared: Sequence[Prepared]) -> None:
        """What `write` would do."""
        async with self._database.read() as connection:
            self._count(prepared, await self._new(connection, prepared))

    async def _new(
        self, connection: AsyncConnection, prepared: Sequence[Prepared]
    ) -> dict[str, tuple[Placed, SourceAnalysis]]:
        """The analyses that no earlier import stored, and that are not those exported, by key."""
        found = {
            _key(one.placed, analysis): (one.placed, analysis)
            for one in prepared
            for analysis in one.analyses
        }
        stored = {one.placed.image_id for one in prepared if one.placed.row is None}
        if not stored or not found:
            return found
        exported = {own for _, a in found.values() if (own := canonical_id(a.source_id))}
        statement = select(analyses.c.id, analyses.c.result_key, analyses.c.image_id).where(
            analyses.c.image_id.in_(stored),
            or_(analyses.c.result_key.in_(found), analyses.c.id.in_(exported)),
        )
        rows = (await connection.execute(statement)).all()
        keys = {row.result_key for row in rows}
        ids = {(row.id, row.image_id) for row in rows}
        return {
            key: (placed, analysis)
            for key, (placed, analysis) in found.items()
            if key not in keys and (canonical_id(analysis.source_id), placed.image_id) not in ids
        }

    async def _insert_images(self, transaction: Transaction, placed: Sequence[Placed]) -> None:
        rows = [one.row for one in placed if one.row is not None]
        if rows:
            await transaction.connection.execute(insert(images), rows)
        for row in rows:
            transaction.emit(
                NewEvent(
                    "image.created",
                    row["company_id"],
                    dataset_id=row["dataset_id"],
                    image_id=row["id"],
                )
            )
        if rows and self._arrived is not None:
            await self._arrived(transaction, rows)

    async def _insert_analyses(
        self,
        transaction: Transaction,
        dataset_id: str,
        new: dict[str, tuple[Placed, SourceAnalysis]],
    ) -> None:
        if not new:
            return
        now = datetime.now(UTC)
        rows = [
            self._row(identity, dataset_id, key, *found, now)
            for identity, (key, found) in zip(new_ids(len(new)), new.items(), strict=True)
        ]
        await transaction.connection.execute(insert(analyses), rows)
        made = [from_values(Analysis, row) for row in rows]
        findings: list[tuple[Analysis, CheckedAnnotations]] = [
            (record, analysis.annotations)
            for record, (_, analysis) in zip(made, new.values(), strict=True)
        ]
        await insert_annotations(transaction.connection, findings)
        for record in made:
            transaction.emit(status_event(record, record.status))

    def _row(
        self,
        identity: str,
        dataset_id: str,
        key: str,
        placed: Placed,
        analysis: SourceAnalysis,
        now: datetime,
    ) -> dict[str, Any]:
        status = AnalysisStatus(analysis.status)
        begun = status not in (AnalysisStatus.QUEUED, AnalysisStatus.CANCELLED)
        return {
            "id": identity,
            "company_id": self._principal.company_id,
            "dataset_id": dataset_id,
            "image_id": placed.image_id,
            # Also where an operation made it: its queue must never see it.
            "external": True,
            "operation": analysis.operation,
            "model_name": analysis.model_name,
            "model_version": analysis.model_version,
            "parameters": analysis.parameters,
            "provenance": analysis.provenance,
            "status": status.value,
            "error_message": analysis.error_message,
            "result_type": analysis.result_type,
            "result": analysis.result,
            "summary": analysis.summary,
            "priority": 0,
            "reuse": False,
            "attempts": 0,
            # No task has this key: it is how the next run knows what is here.
            "result_key": key,
            "available_at": now,
            "created_at": now,
            "started_at": now if begun else None,
            "completed_at": now if status.is_final else None,
            "updated_at": now,
        }

    def _count(
        self,
        prepared: Sequence[Prepared],
        new: dict[str, tuple[Placed, SourceAnalysis]],
    ) -> None:
        report = self._report
        made = sum(one.placed.row is not None for one in prepared)
        report.images_new += made
        report.images_known += len(prepared) - made
        total = sum(len(one.analyses) for one in prepared)
        report.analyses_new += len(new)
        report.analyses_known += total - len(new)
        added = 0
        for _, analysis in new.values():
            added += len(analysis.annotations)
            report.annotation_types.update(row[0] for row in analysis.annotations.rows)
        report.annotations_new += added
        found = sum(len(a.annotations) for one in prepared for a in one.analyses)
        report.annotations_known += found - added


def _key(placed: Placed, analysis: SourceAnalysis) -> str:
    """What an analysis is known by: the image, the source's words, and whose they are."""
    parts = (placed.image_id, analysis.identity, analysis.model_name, analysis.model_version)
    return hashlib.sha256("\0".join(("opsin import", *parts)).encode()).hexdigest()


async def _take_turns(connection: AsyncConnection, dataset_id: str) -> None:
    if connection.dialect.name == "postgresql":
        number = zlib.crc32(dataset_id.encode()) - (1 << 31)
        statement = text("SELECT pg_advisory_xact_lock(:room, :number)")
        await connection.execute(statement, {"room": _LOCK, "number": number})
    # On SQLite the transaction itself excludes every other writer.
