"""Following runs: which application has finished which image, missed events first, then live."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Self

import strawberry

from opsin.core.applications.records import RUNS
from opsin.core.events import RESYNC
from opsin.core.images import LISTING as IMAGES
from opsin.core.patience import patiently
from opsin.core.soft_deletion import is_deleted
from opsin.graphql.context import Context, Info
from opsin.graphql.given import filter_id
from opsin.graphql.images import Image
from opsin.graphql.runs import Run
from opsin.graphql.scalars import Cursor
from opsin.storage.event_log import Event, EventFilter

_COMPLETED = "run.completed"


@strawberry.enum(description="What happened to a run's work on an image.")
class RunEventKind(Enum):
    COMPLETED = strawberry.enum_value(
        _COMPLETED,
        description="The last of its analyses of the image has ended, well or not.",
    )
    RESYNC = strawberry.enum_value(RESYNC, description="As in `AnalysisEventKind`.")


@strawberry.type(description="One line of the event log that tells of a run's work, or RESYNC.")
class RunEvent:
    cursor: Cursor = strawberry.field(description="Give it as `after` to go on from here.")
    kind: RunEventKind
    occurred_at: datetime
    run_id: strawberry.ID | None = strawberry.field(description="Null only with RESYNC.")
    application_id: strawberry.ID | None
    image_id: strawberry.ID | None
    subject_id: strawberry.ID | None
    batch_id: strawberry.ID | None
    run: Run | None = strawberry.field(description="As it is now.")
    image: Image | None = strawberry.field(
        description="As it is now; null when it is deleted, and with RESYNC."
    )

    @classmethod
    def of(cls, event: Event, run: Run | None, image: Image | None) -> Self:
        return cls(
            cursor=Cursor(event.sequence),
            kind=RunEventKind(event.kind),
            occurred_at=event.created_at,
            run_id=event.data.get("run_id"),
            application_id=event.data.get("application_id"),
            image_id=None if event.image_id is None else strawberry.ID(event.image_id),
            subject_id=event.data.get("subject_id"),
            batch_id=event.data.get("batch_id"),
            run=run,
            image=image,
        )


@strawberry.type
class RunSubscription:
    @strawberry.subscription(
        description="An application has finished an image: events past `after`, then live ones; "
        "without `after` only live ones."
    )
    async def run_events(
        self,
        info: Info,
        after: Cursor | None = None,
        dataset_id: strawberry.ID | None = None,
        image_id: strawberry.ID | None = None,
    ) -> AsyncIterator[RunEvent]:
        context = info.context
        wanted = EventFilter(
            context.principal.company_id,
            kinds=(_COMPLETED,),
            dataset_id=filter_id(dataset_id),
            image_id=filter_id(image_id),
        )
        groups = context.use_cases.events.follow(wanted, after=after, datasets=context.readable)
        async for events in groups:
            await patiently(context.confirm)
            context.forget()
            for told in await patiently(partial(_told, context, context.seen(events))):
                context.forget()
                yield told


async def _told(context: Context, events: Sequence[Event]) -> list[RunEvent]:
    """The events with their runs and images, each kind read in one statement."""
    load = context.loaders.by_id
    image_ids = {event.image_id for event in events if event.image_id is not None}
    run_ids = {event.data["run_id"] for event in events if "run_id" in event.data}
    images = await asyncio.gather(*(load(IMAGES, one) for one in image_ids))
    runs = await asyncio.gather(*(load(RUNS, one) for one in run_ids))
    shown = {one.id: Image.of(one) for one in images if one and not is_deleted(IMAGES.table, one)}
    known = {one.id: Run.of(one) for one in runs if one}
    return [
        RunEvent.of(event, known.get(event.data.get("run_id", "")), shown.get(event.image_id or ""))
        for event in events
    ]
