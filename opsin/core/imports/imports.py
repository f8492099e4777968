"""Imports: what other tools found, and what Opsin exported, taken in from files."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import select

from opsin.core.access import Principal
from opsin.core.blob_sweep import BlobSweep
from opsin.core.datasets import Datasets, visible
from opsin.core.errors import InvalidInput
from opsin.core.images import OnArrival
from opsin.core.imaging import ImageLimits
from opsin.core.imports.found import Refused, SourceAnalysis, SourceImage
from opsin.core.imports.options import ImportOptions
from opsin.core.imports.pictures import Pictures, Placed
from opsin.core.imports.report import ImportReport
from opsin.core.imports.sources import Source, SourcePaths, open_source
from opsin.core.imports.writing import ImportWriter, Prepared
from opsin.core.records import Dataset, columns_of, to_record
from opsin.core.storable import check_json
from opsin.storage.blobs import BlobStore
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import datasets

Progress = Callable[[int, int], None]
"""Told how many images of how many are dealt with."""

_BATCH_IMAGES = 128
_BATCH_BYTES = 8 << 20


class Imports:
    """Takes annotations in from files of this machine, for its operator."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        limits: ImageLimits,
        *,
        arrived: OnArrival | None = None,
    ) -> None:
        self._arrived = arrived
        self._database = database
        self._blobs = blobs
        self._limits = limits
        self._datasets = Datasets(database, BlobSweep(database, blobs))

    async def run(
        self,
        principal: Principal,
        paths: SourcePaths,
        dataset: str,
        options: ImportOptions,
        progress: Progress = lambda done, total: None,
    ) -> ImportReport:
        """Import into the dataset of that id or name, which is made when there is none.

        What was imported before is not imported again, so that a run that was broken off goes on.
        With `options.strict` everything is tried first, and nothing stored unless all of it can be.
        Raises InvalidInput or NotFound when the source cannot be read at all.
        """
        if options.strict and not options.dry_run:
            tried = replace(options, dry_run=True)
            report = await self._run(principal, paths, dataset, tried, progress)
            if not report.is_complete:
                return report
        return await self._run(principal, paths, dataset, options, progress)

    async def _run(
        self,
        principal: Principal,
        paths: SourcePaths,
        dataset: str,
        options: ImportOptions,
        progress: Progress,
    ) -> ImportReport:
        opened = open_source(paths, options, max_file_bytes=self._limits.max_bytes)
        source = await asyncio.to_thread(opened.__enter__)
        try:
            found = await self._find_dataset(principal, dataset)
            if found is None and not options.dry_run:
                found = await self._datasets.create(principal, dataset)
            report = ImportReport(
                source.name,
                source.form.value,
                source.reader.digest,
                dataset if found is None else found.name,
                None if found is None else found.id,
                options.dry_run,
                findings=source.reader.findings,
            )
            await self._all(principal, source, report, progress)
            return report
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)

    async def _all(
        self, principal: Principal, source: Source, report: ImportReport, progress: Progress
    ) -> None:
        """Batch after batch: while one is written, the next one's pictures are read."""
        pictures = Pictures(
            self._database, self._blobs, self._limits, principal, report.dataset_id,
            source.pictures, is_dry=report.dry_run,
        )  # fmt: skip
        writer = ImportWriter(self._database, principal, pictures, report, self._arrived)
        write = writer.count if report.dry_run else writer.write
        batches = _batches(source.reader.images())
        done, total = 0, len(source.reader)
        writing: asyncio.Task[None] | None = None
        progress(0, total)
        try:
            while batch := await asyncio.to_thread(next, batches, None):
                placed = await pictures.place(batch)
                prepared = await asyncio.to_thread(_prepared, batch, placed, report)
                if writing is not None:
                    await writing
                writing = asyncio.create_task(write(prepared))
                done += len(batch)
                progress(done, max(total, done))
            if writing is not None:
                await writing
        finally:
            if writing is not None and not writing.done():
                writing.cancel()
                with suppress(asyncio.CancelledError):
                    await writing

    async def _find_dataset(self, principal: Principal, name: str) -> Dataset | None:
        """By id or by name; InvalidInput when several are called so."""
        if canonical_id(name) is not None:
            return await self._datasets.get(principal, name)
        statement = select(*columns_of(datasets, Dataset)).where(
            datasets.c.name == name.strip(), *visible(principal)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.order_by(datasets.c.id))).all()
        if len(rows) > 1:
            ids = ", ".join(row[0] for row in rows[:5])
            raise InvalidInput(f"{len(rows)} datasets are called {name!r}; give the id: {ids}")
        return to_record(Dataset, rows[0]) if rows else None


def _batches(found: Iterator[SourceImage]) -> Iterator[list[SourceImage]]:
    batch: list[SourceImage] = []
    size = 0
    for image in found:
        batch.append(image)
        size += image.size_bytes
        if len(batch) == _BATCH_IMAGES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _prepared(
    batch: Sequence[SourceImage], placed: Sequence[Placed | Refused], report: ImportReport
) -> list[Prepared]:
    """The images that are there, with what the source says of them."""
    found = []
    for source, one in zip(batch, placed, strict=True):
        if isinstance(one, Refused):
            report.miss(source.place(), f"{source.name}: {one}")
            continue
        analyses: Sequence[SourceAnalysis] = ()
        try:
            analyses = source.read(one.size, one.orientation)
            for analysis in analyses:
                check_json(analysis.provenance, "names of the source")
        except (Refused, InvalidInput) as error:
            report.findings.refusals.add(source.place, f"{source.name}: {error}")
            analyses = ()
        found.append(Prepared(one, analyses))
    return found
