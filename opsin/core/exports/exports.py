"""Exports as streams: found for their owner, read from one state of the database."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from sqlalchemy import Table, select

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.actors import holder_of_link
from opsin.core.errors import NotFound, Overloaded
from opsin.core.exports import coco, documents
from opsin.core.exports.request import ExportFilter, ExportFormat, Target, TargetKind
from opsin.core.exports.selection import Selection
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.snapshot import Snapshot, open_snapshot
from opsin.storage.tables import analyses, datasets, images

Chunks = AsyncGenerator[bytes, None]

_CHUNK_CHARACTERS = 64 * 1024
_RETRY_SECONDS = 10.0
_TABLES: dict[TargetKind, Table] = {
    TargetKind.DATASET: datasets,
    TargetKind.IMAGE: images,
    TargetKind.ANALYSIS: analyses,
}
_WRITERS: dict[ExportFormat, Callable[[Snapshot, Selection], AsyncGenerator[str, None]]] = {
    ExportFormat.JSON: documents.json,
    ExportFormat.NDJSON: documents.ndjson,
    ExportFormat.CSV: documents.csv,
    ExportFormat.COCO: coco.coco,
}


class Exports:
    """Writes what is stored; at most `most_at_once` at the same time."""

    def __init__(self, database: Database, *, most_at_once: int = 8) -> None:
        self._database = database
        self._most = most_at_once
        self._running = 0

    async def find(self, principal: Principal, kind: TargetKind, identity: str) -> Target:
        """The caller's own; NotFound also for another company's."""
        target = await self._find(kind, identity, principal)
        if target is None:
            raise NotFound(f"{kind.name.capitalize()} not found")
        return target

    async def by_id(self, kind: TargetKind, identity: str) -> Target:
        """Any company's: for signed links only."""
        target = await self._find(kind, identity)
        if target is None:
            raise NotFound(f"{kind.name.capitalize()} not found")
        return target

    async def stream(
        self, target: Target, form: ExportFormat, wanted: ExportFilter | None = None
    ) -> Chunks:
        """The export's bytes, a piece at a time, each read when it is asked for.

        What changes meanwhile is not in it.  Close it to let go of the database's connection.
        Raises Overloaded before the first piece when too many are being written.
        """
        if self._running >= self._most:
            raise Overloaded("Too many exports are being written; try again", _RETRY_SECONDS)
        self._running += 1
        try:
            await self._note(target, form)
            async with open_snapshot(self._database.url) as snapshot:
                selection = Selection(snapshot.sql, target, wanted or ExportFilter())
                async with aclosing(_WRITERS[form](snapshot, selection)) as texts:
                    pieces, length = [], 0
                    async for text in texts:
                        pieces.append(text)
                        length += len(text)
                        if length >= _CHUNK_CHARACTERS:
                            yield "".join(pieces).encode()
                            pieces, length = [], 0
                    yield "".join(pieces).encode()
        finally:
            self._running -= 1

    async def _note(self, target: Target, form: ExportFormat) -> None:
        by = target.by or holder_of_link(target.company_id)
        kind = target.kind.name.lower()
        await audit.note_read(
            self._database, by, f"{kind}.export", (kind, target.id),
            dataset_id=target.dataset_id, format=form.value,
        )  # fmt: skip

    async def _find(
        self, kind: TargetKind, identity: str, principal: Principal | None = None
    ) -> Target | None:
        canonical = canonical_id(identity)
        if canonical is None:
            return None
        table = _TABLES[kind]
        place = table.c.id if kind is TargetKind.DATASET else table.c.dataset_id
        statement = select(table.c.company_id, place).where(table.c.id == canonical)
        if principal is not None:
            statement = statement.where(within(principal, table))
        if kind is TargetKind.DATASET:
            statement = statement.where(*not_deleted(table))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Target(kind, canonical, row[0], row[1], principal)
