"""Histories of subjects and smoothed values, which Python works out of what is stored."""

from datetime import datetime

import strawberry

from opsin.core.errors import NotFound
from opsin.core.history import SmoothingMethod, SmoothingOptions
from opsin.core.images import LISTING as IMAGES
from opsin.core.pages import Listing, Order, PageRequest, Wanted
from opsin.graphql.compiler.rules import Computed
from opsin.graphql.connections import DEFAULT_PAGE, page_request
from opsin.graphql.context import Context
from opsin.graphql.given import filter_id
from opsin.graphql.nodes import Shown

strawberry.enum(SmoothingMethod, description="How the values of a history become one.")

SUBJECT_IMAGES = Listing(IMAGES.table, IMAGES.record, parent="subject_id")
_NEWEST = Wanted(PageRequest(1, order=Order("taken_at", descending=True)))


@strawberry.type(description="The main metric of one analysis of one of a subject's images.")
class HistoryPoint(Shown):
    image_id: strawberry.ID
    taken_at: datetime
    batch_id: strawberry.ID | None
    analysis_id: strawberry.ID
    operation: str = strawberry.field(
        description="The name of the model, where that was run elsewhere."
    )
    step: str | None = strawberry.field(description="Of the application that asked for it.")
    application_id: strawberry.ID | None
    name: str = strawberry.field(description="The metric's, such as `face.redness`.")
    value: float | None = strawberry.field(description="What was measured, in `unit`.")
    score: float | None
    unit: str | None


@strawberry.type(description="An operation's main metric on an image, smoothed with its history.")
class SmoothedValue(Shown):
    operation: str
    step: str | None = strawberry.field(description="Of the application that asked for it.")
    application_id: strawberry.ID | None
    name: str = strawberry.field(description="The metric's, such as `face.redness`.")
    value: float
    count: int = strawberry.field(description="Of how many images it was made.")
    is_score: bool = strawberry.field(description="Whether `value` is a score, and in no unit.")
    unit: str | None


async def history_of(
    context: Context,
    subject_id: str,
    dataset_id: str,
    first: int = DEFAULT_PAGE,
    taken_from: datetime | None = None,
    taken_to: datetime | None = None,
    application_id: str | None = None,
) -> list[HistoryPoint]:
    """The history of a subject of the caller's."""
    page_request(context, first, None)
    if first == 0:
        return []
    async with context.loaders.turns:
        try:
            found = await context.use_cases.history.of_subject(
                context.principal,
                dataset_id,
                subject_id,
                since=taken_from,
                until=taken_to,
                application_id=filter_id(application_id),
                limit=first,
            )
        except NotFound:  # reached from an image, and being deleted
            return []
    return [HistoryPoint.of(one) for one in found]


async def smoothed_of_image(
    context: Context,
    image_id: str,
    window_days: int = 14,
    max_size: int = 10,
    method: SmoothingMethod = SmoothingMethod.MEAN,
    application_id: str | None = None,
) -> list[SmoothedValue]:
    """The smoothed values of an image of the caller's."""
    options = SmoothingOptions(window_days, max_size, method)
    async with context.loaders.turns:
        try:
            found = await context.use_cases.history.smoothed(
                context.principal, image_id, options, application_id=filter_id(application_id)
            )
        except NotFound:  # it is deleted, and was asked for all the same
            return []
    return [SmoothedValue.of(one) for one in found]


async def smoothed_of_subject(
    context: Context,
    subject_id: str,
    window_days: int = 14,
    max_size: int = 10,
    method: SmoothingMethod = SmoothingMethod.MEAN,
    application_id: str | None = None,
) -> list[SmoothedValue]:
    """Those of the newest image of a subject of the caller's; none without an image."""
    SmoothingOptions(window_days, max_size, method)  # refused with or without an image
    page = await context.loaders.page(SUBJECT_IMAGES, subject_id, _NEWEST)
    if not page.records:
        return []
    return await smoothed_of_image(
        context, page.records[0].id, window_days, max_size, method, application_id
    )


HISTORY = Computed(("id", "dataset_id"), history_of)
SMOOTHED_OF_IMAGE = Computed(("id",), smoothed_of_image)
SMOOTHED_OF_SUBJECT = Computed(("id",), smoothed_of_subject)
"""How `Subject.history`, `Image.smoothed` and `Subject.smoothed` are read."""
