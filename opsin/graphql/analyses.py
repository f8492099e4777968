"""Analyses as GraphQL shows them, with their results, annotations and image."""

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Self

import strawberry
from strawberry.scalars import JSON

from opsin.core import analyses as core
from opsin.core import annotations as core_annotations
from opsin.core import images as core_images
from opsin.core import records
from opsin.core.analyses import AnalysisFilter
from opsin.core.artifacts import LISTING as ARTIFACTS
from opsin.core.errors import NotFound
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.pages import Listing, Order
from opsin.graphql.annotations import Annotation, AnnotationFilterInput, Artifact
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Info
from opsin.graphql.given import plain_text
from opsin.graphql.nodes import Node
from opsin.graphql.results import PendingResult, read_result

if TYPE_CHECKING:
    from opsin.graphql.images import Image

strawberry.enum(AnalysisStatus, description="Where an analysis is in its life.")


@strawberry.type(description="The durable record of one operation, or one external model's run.")
class Analysis(Node):
    operation: str | None = strawberry.field(description="Null when the model was run elsewhere.")
    operation_version: str | None
    external: bool = strawberry.field(description="Told by a pipeline that ran elsewhere.")
    task_id: str | None
    model_name: str
    model_version: str
    parameters: JSON | None
    status: AnalysisStatus
    priority: int
    error_code: str | None
    error_message: str | None
    summary: JSON | None
    provenance: JSON | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime
    record: strawberry.Private[records.Analysis]

    @classmethod
    def of(cls, record: records.Analysis) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            operation=record.operation,
            operation_version=record.operation_version,
            external=record.external,
            task_id=record.task_id,
            model_name=record.model_name,
            model_version=record.model_version,
            parameters=_json(record.parameters),
            status=record.status,
            priority=record.priority,
            error_code=record.error_code,
            error_message=record.error_message,
            summary=_json(record.summary),
            provenance=_json(record.provenance),
            attempts=record.attempts,
            created_at=record.created_at,
            started_at=record.started_at,
            completed_at=record.completed_at,
            updated_at=record.updated_at,
            record=record,
        )

    @strawberry.field(description="What the operation found; null until it is COMPLETED.")
    async def result(self, info: Info) -> PendingResult | None:
        return await read_result(info, self.record)

    @strawberry.field
    async def image(
        self, info: Info
    ) -> Annotated["Image", strawberry.lazy("opsin.graphql.images")]:
        from opsin.graphql.images import Image

        found = await info.context.loaders.by_id(core_images.LISTING, self.record.image_id)
        if found is None:
            raise NotFound("Image not found")
        return Image.of(found)

    @strawberry.field(description="In the order in which they were added.")
    async def annotations(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: AnnotationFilterInput | None = None,
    ) -> Connection[Annotation]:
        wanted = filter.to_filter() if filter else core_annotations.AnnotationFilter()
        source = Source(
            info.context, core_annotations.LISTING, wanted.conditions(), wanted, self.id
        )
        return await Connection[Annotation].read(
            source, page_request(info, first, after), Annotation.of
        )

    @strawberry.field
    async def artifacts(self, info: Info) -> list[Artifact]:
        return [Artifact.of(a) for a in await info.context.loaders.children(ARTIFACTS, self.id)]


@strawberry.input(name="AnalysisFilter", description="Every field given must hold.")
class AnalysisFilterInput:
    status: list[AnalysisStatus] | None = None
    operation: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    dataset_id: strawberry.ID | None = None
    image_id: strawberry.ID | None = None
    external: bool | None = None
    created_from: datetime | None = strawberry.field(default=None, description="Inclusive.")
    created_before: datetime | None = strawberry.field(default=None, description="Exclusive.")

    def to_filter(self) -> AnalysisFilter:
        return AnalysisFilter(
            status=None if self.status is None else tuple(self.status),
            operation=plain_text(self.operation, "operation"),
            model_name=plain_text(self.model_name, "modelName"),
            model_version=plain_text(self.model_version, "modelVersion"),
            dataset_id=self.dataset_id,
            image_id=self.image_id,
            external=self.external,
            created_from=self.created_from,
            created_before=self.created_before,
        )


@strawberry.enum(description="The order of a list of analyses.")
class AnalysisOrder(Enum):
    CREATED_ASC = "CREATED_ASC"
    CREATED_DESC = "CREATED_DESC"
    UPDATED_ASC = "UPDATED_ASC"
    UPDATED_DESC = "UPDATED_DESC"

    def to_order(self) -> Order:
        column, _, direction = self.value.partition("_")
        # Ids ascend with the time of creation.
        return Order("id" if column == "CREATED" else "updated_at", direction == "DESC")


async def read_analyses(
    info: Info,
    first: int,
    after: str | None,
    filter: AnalysisFilterInput | None,
    order_by: AnalysisOrder,
    listing: Listing[records.Analysis] = core.LISTING,
    parent_id: str | None = None,
) -> Connection[Analysis]:
    """A page of all analyses, or of one parent's."""
    wanted = filter.to_filter() if filter else AnalysisFilter()
    source = Source(info.context, listing, wanted.conditions(), wanted, parent_id)
    request = page_request(info, first, after, order_by.to_order())
    return await Connection[Analysis].read(source, request, Analysis.of)


def _json(value: dict[str, Any] | None) -> JSON | None:
    return None if value is None else JSON(value)
