"""Following images: which came and which went, missed events first, then live ones."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Self

import strawberry

from opsin.core.events import RESYNC
from opsin.core.images import LISTING
from opsin.core.patience import patiently
from opsin.core.soft_deletion import is_deleted
from opsin.graphql.context import Context, Info
from opsin.graphql.given import filter_id
from opsin.graphql.images import Image
from opsin.graphql.scalars import Cursor
from opsin.storage.event_log import Event, EventFilter


@strawberry.enum(description="What happened to an image.")
class ImageEventKind(Enum):
    CREATED = strawberry.enum_value("image.created", description="It is new, or was restored.")
    DELETED = "image.deleted"
    FILE_DELETED = strawberry.enum_value(
        "image.file_deleted", description="Its file is not kept any longer; what was found is."
    )
    RESULTS_DELETED = strawberry.enum_value(
        "image.results_deleted", description="What was computed of it is not kept any longer."
    )
    RESYNC = strawberry.enum_value(RESYNC, description="As in `AnalysisEventKind`.")


_KINDS = tuple(kind.value for kind in ImageEventKind if kind.value != RESYNC)


@strawberry.type(description="One line of the event log that tells of an image, or RESYNC.")
class ImageEvent:
    cursor: Cursor = strawberry.field(description="Give it as `after` to go on from here.")
    kind: ImageEventKind
    occurred_at: datetime
    image_id: strawberry.ID | None = strawberry.field(description="Null only with RESYNC.")
    image: Image | None = strawberry.field(
        description="As it is now; null when it is deleted, and with RESYNC."
    )

    @classmethod
    def of(cls, event: Event, image: Image | None) -> Self:
        return cls(
            cursor=Cursor(event.sequence),
            kind=ImageEventKind(event.kind),
            occurred_at=event.created_at,
            image_id=None if event.image_id is None else strawberry.ID(event.image_id),
            image=image,
        )


@strawberry.type
class ImageSubscription:
    @strawberry.subscription(
        description="Events past `after`, then live ones; without `after` only live ones."
    )
    async def image_events(
        self, info: Info, after: Cursor | None = None, dataset_id: strawberry.ID | None = None
    ) -> AsyncIterator[ImageEvent]:
        context = info.context
        wanted = EventFilter(
            context.principal.company_id, kinds=_KINDS, dataset_id=filter_id(dataset_id)
        )
        groups = context.use_cases.events.follow(wanted, after=after, datasets=context.readable)
        async for events in groups:
            await patiently(context.confirm)
            context.forget()
            seen = context.seen(events)
            found = await patiently(partial(_images, context, seen))
            for event, image in zip(seen, found, strict=True):
                context.forget()
                yield ImageEvent.of(event, image)


async def _images(context: Context, events: Sequence[Event]) -> list[Image | None]:
    """The image of each event, all read in one statement."""
    ids = {event.image_id for event in events if event.image_id is not None}
    found = await asyncio.gather(*(context.loaders.by_id(LISTING, one) for one in ids))
    images = {one.id: Image.of(one) for one in found if one and not is_deleted(LISTING.table, one)}
    return [images.get(event.image_id or "") for event in events]
