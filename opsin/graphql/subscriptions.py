"""Following analyses: missed events first, then live ones, each exactly once."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Self

import strawberry

from opsin.core.events import RESYNC
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.patience import patiently
from opsin.graphql.analyses import Analysis
from opsin.graphql.context import Context, Info
from opsin.graphql.given import filter_id
from opsin.graphql.image_events import ImageSubscription
from opsin.graphql.run_events import RunSubscription
from opsin.graphql.scalars import Cursor
from opsin.storage.event_log import Event, EventFilter


@strawberry.enum(description="What happened to an analysis.")
class AnalysisEventKind(Enum):
    QUEUED = "analysis.queued"
    PROCESSING = "analysis.processing"
    PROGRESS = "analysis.progress"
    COMPLETED = "analysis.completed"
    FAILED = "analysis.failed"
    CANCELLED = "analysis.cancelled"
    ANNOTATED = "analysis.annotated"
    ARTIFACT_STORED = strawberry.enum_value(
        "analysis.artifact_stored", description="A file that a pipeline sent has come."
    )
    RESYNC = strawberry.enum_value(
        RESYNC,
        description=(
            "You read too slowly and are far behind. What you missed is replayed from `cursor` on; "
            "to skip it instead, end this, read the state anew, and follow from `eventCursor`."
        ),
    )


_KINDS = tuple(kind.value for kind in AnalysisEventKind if kind.value != RESYNC)


@strawberry.type(description="One line of the event log that tells of an analysis, or RESYNC.")
class AnalysisEvent:
    cursor: Cursor = strawberry.field(description="Give it as `after` to go on from here.")
    kind: AnalysisEventKind
    status: AnalysisStatus | None = strawberry.field(
        description="As it was when this happened; null only with RESYNC."
    )
    text: str | None = strawberry.field(
        description="With PROGRESS: what the operation has written so far, all of it."
    )
    artifact_name: str | None = strawberry.field(
        description="With ARTIFACT_STORED: the name of the file."
    )
    occurred_at: datetime
    analysis_id: strawberry.ID | None = strawberry.field(description="Null only with RESYNC.")
    analysis: Analysis | None = strawberry.field(
        description="As it is now; null when it has been deleted since, and with RESYNC."
    )

    @classmethod
    def of(cls, event: Event, analysis: Analysis | None) -> Self:
        is_resync = event.kind == RESYNC
        return cls(
            cursor=Cursor(event.sequence),
            kind=AnalysisEventKind(event.kind),
            status=AnalysisStatus(event.data["status"]) if "status" in event.data else None,
            text=event.data.get("text"),
            artifact_name=event.data.get("name"),
            occurred_at=event.created_at,
            analysis_id=None if is_resync else strawberry.ID(event.analysis_id or ""),
            analysis=analysis,
        )


@strawberry.type
class Subscription(ImageSubscription, RunSubscription):
    @strawberry.subscription(
        description="Events past `after`, then live ones; without `after` only live ones."
    )
    async def analysis_events(
        self,
        info: Info,
        after: Cursor | None = None,
        dataset_id: strawberry.ID | None = None,
        image_id: strawberry.ID | None = None,
        analysis_id: strawberry.ID | None = None,
    ) -> AsyncIterator[AnalysisEvent]:
        # Most who follow never come here: `shared_events` answers all who ask for the same at once.
        context = info.context
        wanted = wanted_events(context, dataset_id, image_id, analysis_id)
        groups = context.use_cases.events.follow(wanted, after=after, datasets=context.readable)
        async for events in groups:
            await patiently(context.confirm)
            for event in await with_analyses(context, context.seen(events)):
                context.forget()
                yield event


def wanted_events(
    context: Context,
    dataset_id: str | None = None,
    image_id: str | None = None,
    analysis_id: str | None = None,
) -> EventFilter:
    """What the caller follows, of their own company."""
    return EventFilter(
        context.principal.company_id,
        kinds=_KINDS,
        dataset_id=filter_id(dataset_id),
        image_id=filter_id(image_id),
        analysis_id=filter_id(analysis_id),
    )


async def with_analyses(context: Context, events: Sequence[Event]) -> list[AnalysisEvent]:
    """The events with their analyses, read in one statement."""
    ids = {event.analysis_id for event in events if event.analysis_id is not None}
    found = await context.use_cases.analyses.find_many(context.principal, sorted(ids))
    analyses = {identity: Analysis.of(record) for identity, record in found.items()}
    return [AnalysisEvent.of(event, analyses.get(event.analysis_id or "")) for event in events]
