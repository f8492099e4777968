"""The history of a subject: its measures over time, and smoothed values."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.errors import InvalidInput
from opsin.core.history.reading import (
    ImageKey,
    Key,
    Measured,
    Wanted,
    measured,
    pages,
    runs_of,
)
from opsin.core.history.records import HistoryPoint, Smoothed
from opsin.core.history.smoothing import SCORES, Sample, SmoothingOptions, smooth
from opsin.core.images import require_image
from opsin.core.records import Image
from opsin.core.subjects import require_subject
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id

DEFAULT_POINTS = 1_000
MOST_POINTS = 100_000
_LOOKED_THROUGH = 500
"""Images of a page in which only a few measures are still looked for."""


class History:
    """Reads only; what retention has deleted is no part of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_subject(
        self,
        principal: Principal,
        dataset_id: str,
        subject_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        application_id: str | None = None,
        limit: int = DEFAULT_POINTS,
    ) -> list[HistoryPoint]:
        """The main metrics of a subject's images, newest image first, `limit` at most.

        Of images taken from `since` to `until`, both included.  Of several results of one image
        for the same step of an application, or for the same operation, the newest counts.  Raises
        NotFound.
        """
        if not 1 <= limit <= MOST_POINTS:
            raise InvalidInput(f"limit must be from 1 to {MOST_POINTS}")
        async with self._database.read() as connection:
            subject = await require_subject(connection, principal, dataset_id, subject_id)
            wanted = Wanted(subject.dataset_id, subject.id, since, until)
            return await points(connection, principal, wanted, application_id, limit)

    async def leading_to(
        self, principal: Principal, image: Image, *, most: int = DEFAULT_POINTS
    ) -> list[HistoryPoint]:
        """The points of an image, then those of earlier images that compare with them.

        Newest first, of `most` images: those of its subject with its side and light that are not
        later.
        """
        moment = image.taken_at or image.created_at
        async with self._database.read() as connection:
            runs = await runs_of(connection, principal, image.dataset_id)
            own = ImageKey(image.id, moment, image.batch_id)
            found = await measured(connection, [image.id])
            first = [_point(own, one, runs) for one in _in_order(found)]
            if image.subject_id is None or not first:
                return first
            wanted = Wanted(image.dataset_id, image.subject_id, until=moment, alike=image)
            # Of images, not of points: a kind that few of them have is no reason to read them all.
            more = await _alike(connection, principal, wanted, found, most, runs)
            return first + more

    async def smoothed(
        self,
        principal: Principal,
        image_id: str,
        options: SmoothingOptions | None = None,
        *,
        application_id: str | None = None,
    ) -> list[Smoothed]:
        """The main metrics of an image, smoothed with its subject's history, by operation.

        The history are images of the same subject with the same side and light that are not later,
        each with its newest completed result of the same step of the same application.  A score is
        smoothed with scores only, a value with values.  Raises NotFound.
        """
        options = options or SmoothingOptions()
        async with self._database.read() as connection:
            image = await require_image(connection, principal, image_id)
            runs = await runs_of(connection, principal, image.dataset_id)
            run_id = None
            if application_id is not None:
                run_id = await _run_of(connection, principal, image.dataset_id, application_id)
                if run_id is None:
                    return []
            own = await measured(connection, [image.id], run_id=run_id)
            others = await _others(connection, principal, image, own, options)
        moment = image.taken_at or image.created_at
        return [
            _smoothed(one, Sample(moment, image.id, _number(one)), others[one.key], options, runs)
            for one in _in_order(own)
        ]


async def points(
    connection: AsyncConnection,
    principal: Principal,
    wanted: Wanted,
    application_id: str | None,
    limit: int,
) -> list[HistoryPoint]:
    """The points of a subject's images, newest image first, then by operation."""
    runs = await runs_of(connection, principal, wanted.dataset_id)
    run_id = None
    if application_id is not None:
        run_id = await _run_of(connection, principal, wanted.dataset_id, application_id)
        if run_id is None:
            return []
    found: list[HistoryPoint] = []
    async for page in pages(connection, principal, wanted):
        by_image: dict[str, list[Measured]] = defaultdict(list)
        for one in await measured(connection, [key.id for key in page], run_id=run_id):
            by_image[one.image_id].append(one)
        for key in page:
            found += [_point(key, one, runs) for one in _in_order(by_image[key.id])]
        if len(found) >= limit:
            return found[:limit]
    return found


async def _alike(
    connection: AsyncConnection,
    principal: Principal,
    wanted: Wanted,
    own: Sequence[Measured],
    most: int,
    runs: Mapping[str, str],
) -> list[HistoryPoint]:
    """The points of the newest `most` images that compare with the image's own."""
    targets = {one.key: one for one in own}
    found: list[HistoryPoint] = []
    left = most
    async for page in pages(connection, principal, wanted):
        page = page[:left]
        by_image: dict[str, list[Measured]] = defaultdict(list)
        for one in await measured(connection, [key.id for key in page], keys=targets):
            if _comparable(targets[one.key], one):
                by_image[one.image_id].append(one)
        for key in page:
            found += [_point(key, one, runs) for one in _in_order(by_image[key.id])]
        left -= len(page)
        if left == 0:
            break
    return found


async def _others(
    connection: AsyncConnection,
    principal: Principal,
    image: Image,
    own: Sequence[Measured],
    options: SmoothingOptions,
) -> Mapping[Key, Sequence[Sample]]:
    """The newest samples for each of the image's own, no more than can count."""
    found: dict[Key, list[Sample]] = defaultdict(list)
    most = options.max_size - 1
    open_keys = {one.key: one for one in own}
    if image.subject_id is None or not own or most == 0:
        return found
    moment = image.taken_at or image.created_at
    wanted = Wanted(
        image.dataset_id,
        image.subject_id,
        since=_earlier(moment, options.window_days),
        after_since=True,
        until=moment,
        alike=image,
    )
    async for page in pages(connection, principal, wanted, first=most, most=_LOOKED_THROUGH):
        by_image: dict[str, list[Measured]] = defaultdict(list)
        for one in await measured(connection, [key.id for key in page], keys=open_keys):
            by_image[one.image_id].append(one)
        for key in page:
            for one in by_image[key.id]:
                target = open_keys.get(one.key)
                if target is None or not _comparable(target, one):
                    continue
                samples = found[one.key]
                samples.append(Sample(key.taken_at, key.id, _number(one)))
                if len(samples) == most:
                    del open_keys[one.key]
        if not open_keys:
            break
    return found


def _smoothed(
    own: Measured,
    target: Sample,
    others: Sequence[Sample],
    options: SmoothingOptions,
    runs: Mapping[str, str],
) -> Smoothed:
    is_score = own.metric.score is not None
    result = smooth(target, others, options, SCORES if is_score else None)
    return Smoothed(
        operation=own.key.operation,
        application_id=_application(own.key, runs),
        step=own.key.step,
        name=own.metric.name,
        value=result.value,
        count=result.count,
        is_score=is_score,
        unit=own.metric.unit,
        analysis_id=own.analysis_id,
    )


def _comparable(first: Measured, second: Measured) -> bool:
    return (first.metric.score is None) == (second.metric.score is None)


def _number(one: Measured) -> float:
    number = one.metric.number
    assert number is not None  # `read_metric` gives no metric without one
    return number


def _earlier(moment: datetime, days: int) -> datetime | None:
    try:
        return moment - timedelta(days=days)
    except OverflowError:  # before the first year
        return None


def _in_order(found: Sequence[Measured]) -> list[Measured]:
    return sorted(found, key=lambda one: (one.key.operation, one.key.step or "", one.analysis_id))


def _application(key: Key, runs: Mapping[str, str]) -> str | None:
    return None if key.run_id is None else runs.get(key.run_id)


def _point(image: ImageKey, one: Measured, runs: Mapping[str, str]) -> HistoryPoint:
    return HistoryPoint(
        image_id=image.id,
        taken_at=image.taken_at,
        batch_id=image.batch_id,
        analysis_id=one.analysis_id,
        operation=one.key.operation,
        step=one.key.step,
        application_id=_application(one.key, runs),
        name=one.metric.name,
        value=one.metric.value,
        score=one.metric.score,
        unit=one.metric.unit,
    )


async def _run_of(
    connection: AsyncConnection, principal: Principal, dataset_id: str, application_id: str | None
) -> str | None:
    identity = canonical_id(application_id)
    runs = {} if identity is None else await runs_of(connection, principal, dataset_id)
    return next((run for run, application in runs.items() if application == identity), None)
