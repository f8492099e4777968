"""Results: one item for each algorithm of a run that has ended."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from opsin.compat.haut import findings, measures
from opsin.compat.haut.catalogue import CATALOGUE
from opsin.compat.haut.detector import detected, not_detected
from opsin.compat.haut.failures import error_of, has_no_face
from opsin.compat.haut.masks import Frame
from opsin.compat.haut.numbers import Algorithms
from opsin.core.access import Principal
from opsin.core.applications.records import ApplicationInfo
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import StoredAnnotation
from opsin.core.run_results import RunResult
from opsin.core.use_cases import UseCases

_ON_LOOP = 24
"""Results that are written in less time than is worth a change of thread."""

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which results are asked for; None means any."""

    application_run_id: str | None = None
    application_id: str | None = None
    application_name: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the items of some results need beside them."""

    numbers: Mapping[tuple[str, str | None], int]
    applications: Mapping[str, ApplicationInfo]
    faces: Mapping[tuple[str, str], Mapping[str, Any]]
    """What the detector has found, by image and run."""
    annotations: Mapping[str, Sequence[StoredAnnotation]]


class Results:
    """Reads results and writes them as items, newest first."""

    def __init__(self, use_cases: UseCases, algorithms: Algorithms) -> None:
        self._use_cases = use_cases
        self._algorithms = algorithms

    async def of_image(
        self, principal: Principal, image_id: str, filters: Filters | None = None
    ) -> list[Item]:
        """What has ended so far."""
        found = await self._use_cases.run_results.of_images(principal, [image_id])
        return await self.items(principal, found, filters)

    async def of_subject(
        self,
        principal: Principal,
        subject_id: str,
        since: datetime | None,
        until: datetime | None,
    ) -> AsyncIterator[list[Item]]:
        """The same of all of a subject's images, some images at a time, each with its batch."""
        async for found in self._use_cases.run_results.of_subject(
            principal, subject_id, since=since, until=until
        ):
            batches = {one.analysis.id: one.batch_id for one in found}
            items = await self.items(principal, found)
            yield [{**item, "batch_id": batches[item["id"]]} for item in items]

    async def items(
        self, principal: Principal, found: Sequence[RunResult], filters: Filters | None = None
    ) -> list[Item]:
        """One item for each result."""
        known = await self.known(principal, found)
        shown = [one for one in found if filters is None or _wanted(one, filters, known)]
        if len(shown) <= _ON_LOOP:
            return [item(one, known) for one in shown]
        return await asyncio.to_thread(lambda: [item(one, known) for one in shown])

    async def known(
        self, principal: Principal, found: Sequence[RunResult], more: Iterable[RunResult] = ()
    ) -> Known:
        """What their items need; `more` are detectors' results that are not among them."""
        asked = {(_operation(one), one.analysis.operation_version) for one in found}
        others = [one.analysis.id for one in found if _is_other(one)]
        ids = sorted({one.application_id for one in found})
        return Known(
            {one: await self._algorithms.number(*one) for one in asked},
            await self._use_cases.applications.find_many(principal, ids),
            faces_of([*found, *more]),
            await self._use_cases.run_results.annotations_of(others, findings.SHOWN),
        )


def faces_of(found: Iterable[RunResult]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What the detector has found, by image and run."""
    return {
        one.place: one.analysis.result
        for one in found
        if _operation(one) == CATALOGUE.detector.operation and one.analysis.result is not None
    }


def item(one: RunResult, known: Known) -> Item:
    """One result as the clients know it."""
    analysis, application = one.analysis, known.applications.get(one.application_id)
    # Where the dataset says nothing of its pictures, they are what the application is for.
    image_type = one.image_type
    if image_type is None and application is not None:
        image_type = application.image_type
    is_ok, result = _result(one, known, image_type)
    return {
        "id": analysis.id,
        "is_ok": is_ok,
        "result": result,
        "image_id": analysis.image_id,
        "image_type": image_type,
        "creation_time": result_time(analysis.completed_at or analysis.updated_at),
        "application_id": one.application_id,
        "application_name": None if application is None else application.title,
        "application_run_id": analysis.run_id,
        "application_description": None if application is None else application.description,
        "algorithm_version_id": known.numbers[_operation(one), analysis.operation_version],
        "algorithm_family_tech_name": CATALOGUE.tech_name(_operation(one)),
    }


def result_time(moment: datetime) -> str:
    """As results carry it: UTC, to the second, without a zone."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def text_of(content: Any) -> bytes:
    """As JSON."""
    return orjson.dumps(content)


def _result(one: RunResult, known: Known, image_type: str | None) -> tuple[bool, Any]:
    """Whether there is one, and it or why there is none."""
    analysis, operation = one.analysis, _operation(one)
    is_bare = one.application_id in CATALOGUE.bare_applications
    is_detector = operation == CATALOGUE.detector.operation
    face = known.faces.get(one.place)
    if analysis.status is not AnalysisStatus.COMPLETED or analysis.result is None:
        if is_detector and has_no_face(analysis):
            return True, 0 if is_bare else not_detected(one.side, one.light)
        return False, {"error": error_of(analysis, face)}
    if is_detector:
        return True, 1 if is_bare else detected(analysis.result, one.side, one.light)
    picture = Frame(one.width, one.height)
    names = CATALOGUE.by_operation.get(operation)
    if names is not None:
        if is_bare:
            return True, measures.main_value(names, analysis.result)
        aligned = Frame.aligned(face)
        return True, measures.measured(names, analysis.result, picture, aligned, image_type)
    annotations = known.annotations.get(analysis.id, ())
    if is_bare:
        return True, findings.main_value(annotations)
    return True, findings.found(operation, annotations, picture, image_type)


def _operation(one: RunResult) -> str:
    assert one.analysis.operation is not None, "runs have operations only"
    return one.analysis.operation


def _is_other(one: RunResult) -> bool:
    """Whether its result is read from its annotations."""
    operation = _operation(one)
    is_known = operation in CATALOGUE.by_operation or operation == CATALOGUE.detector.operation
    return not is_known and one.analysis.status is AnalysisStatus.COMPLETED


def _wanted(one: RunResult, filters: Filters, known: Known) -> bool:
    application = known.applications.get(one.application_id)
    names = () if application is None else (application.title, application.name)
    return (
        filters.application_run_id in (None, one.analysis.run_id)
        and filters.application_id in (None, one.application_id)
        and (filters.application_name is None or filters.application_name in names)
    )
