"""Analyses as GraphQL shows them, with their results, annotations and image."""

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.scalars import JSON

from opsin.core import annotations as core_annotations
from opsin.core import images as core_images
from opsin.core.analyses import AnalysisFilter
from opsin.core.applications.records import RUNS
from opsin.core.artifacts import LISTING as ARTIFACTS
from opsin.core.errors import NotFound
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.pages import Order, Wanted
from opsin.core.similarity.embeddings import VECTOR
from opsin.graphql.annotations import (
    Annotation,
    AnnotationFilterInput,
    Artifact,
    wanted_annotations,
)
from opsin.graphql.compiler.rules import Beside, Children, Computed, Items, Parent, Reads
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.export_links import DESCRIPTION as EXPORT_DESCRIPTION
from opsin.graphql.export_links import export_rule, export_url
from opsin.graphql.given import plain_text
from opsin.graphql.loaders import MOST_CHILDREN
from opsin.graphql.nodes import Node
from opsin.graphql.results import PendingResult, read_result, shown_result
from opsin.storage.tables import analyses, embeddings

if TYPE_CHECKING:
    from opsin.graphql.images import Image
    from opsin.graphql.runs import Run

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

    @strawberry.field(description="What the operation found; null until it is COMPLETED.")
    async def result(self, info: Info) -> PendingResult | None:
        return await read_result(info, self.record)

    @strawberry.field(description=EXPORT_DESCRIPTION)
    def export_url(self, info: Info, format: ExportFormat) -> str:
        return export_url(TargetKind.ANALYSIS, info.context, self.id, format)

    @strawberry.field
    async def image(
        self, info: Info
    ) -> Annotated["Image", strawberry.lazy("opsin.graphql.images")]:
        from opsin.graphql.images import Image

        found = await info.context.loaders.by_id(core_images.LISTING, self.record.image_id)
        if found is None:
            raise NotFound("Image not found")
        return Image.of(found)

    @strawberry.field(description="The application's run that asked for it, as its step `taskId`.")
    async def run(
        self, info: Info
    ) -> Annotated["Run", strawberry.lazy("opsin.graphql.runs")] | None:
        from opsin.graphql.runs import Run

        if self.record.run_id is None:
            return None
        found = await info.context.loaders.by_id(RUNS, self.record.run_id)
        return None if found is None else Run.of(found)

    @strawberry.field(description="In the order in which they were added.")
    async def annotations(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: AnnotationFilterInput | None = None,
    ) -> Connection[Annotation]:
        wanted = wanted_annotations(info.context, first, after, filter)
        source = Source(info.context, core_annotations.LISTING, wanted, self.id)
        return await Connection[Annotation].read(source, Annotation.of)

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
    run_id: strawberry.ID | None = strawberry.field(
        default=None, description="An application's run that asked for them."
    )
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
            run_id=self.run_id,
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


def wanted_analyses(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: AnalysisFilterInput | None = None,
    order_by: AnalysisOrder = AnalysisOrder.CREATED_ASC,
) -> Wanted:
    request = page_request(context, first, after, order_by.to_order())
    return Wanted(request, filter.to_filter().conditions() if filter else ())


_VECTOR = Beside(
    embeddings, "vector", {"analysis_id": "id"}, order="analysis_id", only_for=frozenset({VECTOR})
)

READS = {
    "Analysis": Reads(
        analyses,
        {
            "result": Computed(("id", "operation", "result_type", "result", _VECTOR), shown_result),
            "image": Parent("image_id", "Image"),
            "run": Parent("run_id", "Run"),
            "export_url": export_rule(TargetKind.ANALYSIS),
            "annotations": Children(core_annotations.LISTING, "Annotation", wanted_annotations),
            "artifacts": Items(ARTIFACTS, "Artifact", MOST_CHILDREN),
        },
    )
}
