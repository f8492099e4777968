"""Following analyses: missed events first, then live ones, each exactly once."""

from collections.abc import AsyncIterator
from datetime import datetime
from enum import Enum

import strawberry

from opsin.core.lifecycle import AnalysisStatus
from opsin.graphql.analyses import Analysis
from opsin.graphql.context import Context, Info
from opsin.graphql.scalars import Cursor
from opsin.storage.event_log import Event, EventFilter
from opsin.storage.ids import canonical_id


@strawberry.enum(description="What happened to an analysis.")
class AnalysisEventKind(Enum):
    QUEUED = "analysis.queued"
    PROCESSING = "analysis.processing"
    PROGRESS = "analysis.progress"
    COMPLETED = "analysis.completed"
    FAILED = "analysis.failed"
    CANCELLED = "analysis.cancelled"
    ANNOTATED = "analysis.annotated"


_KINDS = tuple(kind.value for kind in AnalysisEventKind)


@strawberry.type(description="One line of the event log that tells of an analysis.")
class AnalysisEvent:
    cursor: Cursor = strawberry.field(description="Give it as `after` to go on from here.")
    kind: AnalysisEventKind
    status: AnalysisStatus = strawberry.field(description="As it was when this happened.")
    text: str | None = strawberry.field(
        description="With PROGRESS: what the operation has written so far, all of it."
    )
    occurred_at: datetime
    analysis_id: strawberry.ID
    analysis: Analysis | None = strawberry.field(
        description="As it is now; null when it has been deleted since."
    )


@strawberry.type
class Subscription:
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
        context = info.context
        wanted = EventFilter(
            context.principal.company_id,
            kinds=_KINDS,
            dataset_id=_filter_id(dataset_id),
            image_id=_filter_id(image_id),
            analysis_id=_filter_id(analysis_id),
        )
        async for events in context.use_cases.events.follow(wanted, after=after):
            await context.confirm()
            for event in await _with_analyses(context, events):
                context.forget()
                yield event


async def _with_analyses(context: Context, events: list[Event]) -> list[AnalysisEvent]:
    """The events with their analyses, read in one statement."""
    ids = {event.analysis_id for event in events if event.analysis_id is not None}
    found = await context.use_cases.analyses.find_many(context.principal, sorted(ids))
    return [
        AnalysisEvent(
            cursor=Cursor(event.sequence),
            kind=AnalysisEventKind(event.kind),
            status=AnalysisStatus(event.data["status"]),
            text=event.data.get("text"),
            occurred_at=event.created_at,
            analysis_id=strawberry.ID(event.analysis_id or ""),
            analysis=Analysis.of(found[event.analysis_id]) if event.analysis_id in found else None,
        )
        for event in events
    ]


def _filter_id(identity: str | None) -> str | None:
    """An id that is none matches no event, rather than every event."""
    if identity is None:
        return None
    return canonical_id(identity) or "00000000-0000-0000-0000-000000000000"
