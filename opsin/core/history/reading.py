"""Reads a subject's images newest first, and what was measured in them; nothing is read whole."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.history.main_metrics import MainMetric, main_metric_of, read_metric
from opsin.core.records import Image
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.applications import application_runs
from opsin.storage.tables import analyses, images

_ALL_READ = 40
"""Images of a page whose every result is read: the event loop waits for no more at a time."""


class Key(NamedTuple):
    """What is measured again and again: an operation for a step of a run, or for none."""

    operation: str
    run_id: str | None
    step: str | None


class ImageKey(NamedTuple):
    """An image of a history, and where it is in it."""

    id: str
    taken_at: datetime
    batch_id: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """The main metric of an image's newest completed analysis of a kind."""

    image_id: str
    analysis_id: str
    key: Key
    metric: MainMetric


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images of a subject, by when they were taken and how."""

    dataset_id: str
    subject_id: str
    since: datetime | None = None
    """Included, unless `after_since`."""
    until: datetime | None = None
    after_since: bool = False
    alike: Image | None = None
    """Only others with its side and light."""
    behind: ImageKey | None = None
    """Only those that come after it in the order of newest first."""

    def conditions(self, principal: Principal) -> list[ColumnElement[bool]]:
        column = images.c.taken_at
        found = [
            images.c.subject_id == self.subject_id,
            images.c.dataset_id == self.dataset_id,
            within(principal, images),
            *not_deleted(images),
        ]
        if self.since is not None:
            found.append(column > self.since if self.after_since else column >= self.since)
        if self.until is not None:
            found.append(column <= self.until)
        if self.alike is not None:
            found += [
                images.c.id != self.alike.id,
                images.c.side.is_not_distinct_from(self.alike.side),
                images.c.light.is_not_distinct_from(self.alike.light),
            ]
        if self.behind is not None:
            # The first condition alone bounds the index.
            last = self.behind
            same = and_(column == last.taken_at, images.c.id < last.id)
            found += [column <= last.taken_at, or_(column < last.taken_at, same)]
        return found


async def runs_of(
    connection: AsyncConnection, principal: Principal, dataset_id: str
) -> Mapping[str, str]:
    """The application of each run on a dataset."""
    statement = select(application_runs.c.id, application_runs.c.application_id).where(
        application_runs.c.dataset_id == dataset_id,
        within(principal, application_runs),
    )
    return {row[0]: row[1] for row in await connection.execute(statement)}


async def pages(
    connection: AsyncConnection,
    principal: Principal,
    wanted: Wanted,
    first: int = _ALL_READ,
    most: int = _ALL_READ,
) -> AsyncGenerator[Sequence[ImageKey], None]:
    """The images, newest first and of equal times the last that came.

    In pages of `first`, then of four times as many, up to `most`.
    """
    size = first
    while True:
        statement = (
            select(images.c.id, images.c.taken_at, images.c.batch_id)
            .where(*wanted.conditions(principal))
            .order_by(images.c.taken_at.desc(), images.c.id.desc())
            .limit(size)
        )
        page = [ImageKey(*row) for row in await connection.execute(statement)]
        if page:
            yield page
            wanted = replace(wanted, behind=page[-1])
        if len(page) < size:
            return
        size = max(size, min(4 * size, most))


async def measured(
    connection: AsyncConnection,
    image_ids: Collection[str],
    *,
    run_id: str | None = None,
    keys: Collection[Key] | None = None,
) -> list[Measured]:
    """The main metrics of the images' newest completed analyses of each kind, newest first.

    With `run_id` only of that run, with `keys` only of those kinds.
    """
    named = func.coalesce(analyses.c.operation, analyses.c.model_name)
    columns = (analyses.c.image_id, analyses.c.id, named, analyses.c.run_id, analyses.c.task_id)
    statement = (
        select(*columns, main_metric_of(analyses.c.id))
        .where(analyses.c.image_id.in_(image_ids), analyses.c.status == "COMPLETED")
        .order_by(analyses.c.id.desc())
    )
    if run_id is not None:
        statement = statement.where(analyses.c.run_id == run_id)
    if keys is not None:
        statement = statement.where(named.in_({key.operation for key in keys}))
    found: dict[tuple[str, Key], Measured | None] = {}
    for image_id, analysis_id, operation, run, task_id, data in await connection.execute(statement):
        key = Key(operation, run, task_id if run is not None else None)
        if (image_id, key) in found or (keys is not None and key not in keys):
            continue
        metric = read_metric(data)
        # The newest result counts, also where it tells no number.
        one = None if metric is None else Measured(image_id, analysis_id, key, metric)
        found[image_id, key] = one
    return [one for one in found.values() if one is not None]
