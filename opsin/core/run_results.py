"""What runs of applications have found: ended analyses with all that a reader needs beside them."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.lifecycle import FINAL, AnalysisStatus
from opsin.core.records import Analysis, Artifact, StoredAnnotation, columns_of, to_record
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.applications import application_runs
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import analyses, annotations, artifacts, datasets, images

_IMAGES_AT_ONCE = 20
_MOST_ANNOTATIONS = 20_000
"""Of all analyses that are read together; more are not read."""
_ENDED = tuple(status.value for status in FINAL)


@dataclass(frozen=True, slots=True)
class RunResult:
    """An ended analysis of a run, and where its image lies."""

    analysis: Analysis
    application_id: str
    image_type: str | None
    """The dataset's."""
    subject_id: str | None
    batch_id: str | None
    width: int
    height: int
    side: str | None
    light: str | None

    @property
    def place(self) -> tuple[str, str]:
        """The image and the run: results that belong together."""
        assert self.analysis.run_id is not None, "it was read by its run"
        return self.analysis.image_id, self.analysis.run_id


@dataclass(frozen=True, slots=True)
class RunArtifact:
    """A stored file of a run's analysis."""

    artifact: Artifact
    run_id: str
    application_id: str


_COLUMNS = (
    *columns_of(analyses, Analysis),
    application_runs.c.application_id,
    datasets.c.image_type,
    images.c.subject_id,
    images.c.batch_id,
    images.c.width,
    images.c.height,
    images.c.side,
    images.c.light,
)
_ANALYSIS = len(Analysis.__dataclass_fields__)


class RunResults:
    """Reads results, an image's or many, in one statement; and what belongs to them in another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_images(self, principal: Principal, image_ids: Sequence[str]) -> list[RunResult]:
        """All that has ended, newest first."""
        statement = _ended().where(within(principal, analyses), analyses.c.image_id.in_(image_ids))
        async with self._database.read() as connection:
            return await _read(connection, statement)

    async def of_subject(
        self,
        principal: Principal,
        subject_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[list[RunResult]]:
        """Those of some of a subject's images after the other, the image taken last first.

        Of images taken from `since` to `until`, both included.
        """
        last: tuple[datetime, str] | None = None
        while True:
            async with self._database.read() as connection:
                statement = _images(principal, subject_id, since, until, last)
                rows = (await connection.execute(statement)).all()
                if not rows:
                    return
                place = {row.id: number for number, row in enumerate(rows)}
                found = await _read(connection, _ended().where(analyses.c.image_id.in_(place)))
            yield sorted(found, key=lambda one: place[one.analysis.image_id])
            last = rows[-1].taken_at, rows[-1].id

    async def of_analyses(
        self, company_id: str, analysis_ids: Collection[str]
    ) -> dict[str, RunResult]:
        """Those of these analyses that are a run's and have ended, by their ids."""
        statement = _ended().where(
            analyses.c.company_id == company_id, analyses.c.id.in_(analysis_ids)
        )
        async with self._database.read() as connection:
            return {one.analysis.id: one for one in await _read(connection, statement)}

    async def of_places(
        self, company_id: str, places: Collection[tuple[str, str]], operation: str
    ) -> list[RunResult]:
        """What one operation has found in images for runs, by (image, run)."""
        wanted = tuple_(analyses.c.image_id, analyses.c.run_id).in_(sorted(places))
        statement = _ended().where(
            analyses.c.company_id == company_id, analyses.c.operation == operation, wanted
        )
        async with self._database.read() as connection:
            return await _read(connection, statement)

    async def annotations_of(
        self, analysis_ids: Collection[str], types: Collection[str]
    ) -> dict[str, list[StoredAnnotation]]:
        """Annotations of these types by analysis, in the order in which they are displayed."""
        if not analysis_ids:
            return {}
        statement = (
            select(*columns_of(annotations, StoredAnnotation))
            .where(
                annotations.c.analysis_id.in_(analysis_ids),
                annotations.c.annotation_type.in_(types),
            )
            .order_by(
                annotations.c.analysis_id,
                annotations.c.ordering.is_(None),
                annotations.c.ordering,
                annotations.c.id,
            )
            .limit(_MOST_ANNOTATIONS)
        )
        found: dict[str, list[StoredAnnotation]] = {}
        async with self._database.read() as connection:
            for row in await connection.execute(statement):
                one = to_record(StoredAnnotation, row)
                found.setdefault(one.analysis_id, []).append(one)
        return found

    async def artifacts_of(
        self, principal: Principal, image_id: str, artifact_id: str | None = None
    ) -> list[RunArtifact]:
        """The stored files of an image's results, newest result first; the one of this id."""
        columns: list[ColumnElement[Any]] = [
            *columns_of(artifacts, Artifact),
            analyses.c.run_id,
            application_runs.c.application_id,
        ]
        statement = (
            select(*columns)
            .join_from(artifacts, analyses, analyses.c.id == artifacts.c.analysis_id)
            .join(application_runs, application_runs.c.id == analyses.c.run_id)
            .where(
                within(principal, artifacts),
                analyses.c.image_id == image_id,
                analyses.c.status == AnalysisStatus.COMPLETED.value,
                artifacts.c.sha256.is_not(None),
            )
            .order_by(analyses.c.completed_at.desc(), artifacts.c.id)
        )
        if artifact_id is not None:
            statement = statement.where(artifacts.c.id == canonical_id(artifact_id))
        async with self._database.read() as connection:
            return [
                RunArtifact(to_record(Artifact, row), row.run_id, row.application_id)
                for row in await connection.execute(statement)
            ]


def _ended() -> Select[Any]:
    return (
        select(*_COLUMNS)
        .join_from(analyses, application_runs, application_runs.c.id == analyses.c.run_id)
        .join(images, images.c.id == analyses.c.image_id)
        .join(datasets, datasets.c.id == analyses.c.dataset_id)
        .where(analyses.c.status.in_(_ENDED))
        .order_by(analyses.c.completed_at.desc(), analyses.c.id.desc())
    )


async def _read(connection: AsyncConnection, statement: Select[Any]) -> list[RunResult]:
    rows = await connection.execute(statement)
    return [RunResult(to_record(Analysis, row), *row[_ANALYSIS:]) for row in rows]


def _images(
    principal: Principal,
    subject_id: str,
    since: datetime | None,
    until: datetime | None,
    last: tuple[datetime, str] | None,
) -> Select[Any]:
    """The next images, newest first, of which `last` was the last one before."""
    taken_at: ColumnElement[datetime] = images.c.taken_at
    statement = select(images.c.id, taken_at).where(
        within(principal, images),
        images.c.subject_id == subject_id,
        *not_deleted(images),
    )
    if since is not None:
        statement = statement.where(taken_at >= since)
    if until is not None:
        statement = statement.where(taken_at <= until)
    if last is not None:
        before, identity = last
        statement = statement.where(
            taken_at <= before, (taken_at < before) | (images.c.id < identity)
        )
    return statement.order_by(taken_at.desc(), images.c.id.desc()).limit(_IMAGES_AT_ONCE)
