"""Annotations and artifacts as GraphQL shows them."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from opsin.core.annotations import AnnotationFilter
from opsin.core.artifacts import LISTING as ARTIFACTS
from opsin.core.pages import Wanted
from opsin.graphql.compiler.rules import Beside, Computed, Reads
from opsin.graphql.connections import DEFAULT_PAGE, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.given import plain_texts
from opsin.graphql.nodes import Node
from opsin.graphql.signed_links import signed_link
from opsin.storage.tables import annotations, artifacts


@strawberry.type(description="One finding inside an analysis.")
class Annotation(Node):
    annotation_type: str = strawberry.field(
        description="bounding_box, segmentation, keypoint, classification, heatmap, ..."
    )
    class_name: str | None
    confidence: float | None = strawberry.field(description="From 0 to 1.")
    data: JSON = strawberry.field(description="What the type needs, e.g. `bbox` and `format`.")
    storage_path: str | None = strawberry.field(description="The artifact that holds the rest.")
    ordering: int | None
    created_at: datetime
    analysis_id: strawberry.ID

    @strawberry.field(description="Where the artifact's file is, as its own `url` says.")
    async def url(self, info: Info) -> str | None:
        if self.storage_path is None:
            return None
        beside = await info.context.loaders.children(ARTIFACTS, self.analysis_id)
        named = (a for a in beside if a.storage_path == self.storage_path)
        found = next(named, None)
        return None if found is None else _url(info.context, found.id, found.stored_at)


@strawberry.type(description="A stored binary output of an analysis.")
class Artifact(Node):
    name: str
    content_type: str
    storage_path: str = strawberry.field(description="How annotations name it.")
    size_bytes: float | None
    sha256: str | None
    created_at: datetime

    @strawberry.field(
        description="Where the file is for the next hours, without further rights; null while it "
        "has not been stored."
    )
    def url(self, info: Info) -> str | None:
        return _url(info.context, self.record.id, self.record.stored_at)


@strawberry.input(name="AnnotationFilter", description="Every field given must hold.")
class AnnotationFilterInput:
    annotation_type: list[str] | None = None
    class_name: list[str] | None = None
    confidence_from: float | None = None
    confidence_to: float | None = None

    def to_filter(self) -> AnnotationFilter:
        return AnnotationFilter(
            annotation_type=plain_texts(self.annotation_type, "annotationType"),
            class_name=plain_texts(self.class_name, "className"),
            confidence_from=self.confidence_from,
            confidence_to=self.confidence_to,
        )


def wanted_annotations(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: AnnotationFilterInput | None = None,
) -> Wanted:
    request = page_request(context, first, after)
    return Wanted(request, filter.to_filter().conditions() if filter else ())


def _url(context: Context, artifact_id: str | None, stored_at: object) -> str | None:
    if artifact_id is None or stored_at is None:
        return None
    return signed_link(context, f"/artifacts/{artifact_id}/content")


def _of_its_artifact(column: str) -> Beside:
    """A column of the artifact that an annotation names."""
    match = {"analysis_id": "analysis_id", "storage_path": "storage_path"}
    return Beside(artifacts, column, match, order="id")


READS = {
    "Annotation": Reads(
        annotations,
        {"url": Computed((_of_its_artifact("id"), _of_its_artifact("stored_at")), _url)},
    ),
    "Artifact": Reads(artifacts, {"url": Computed(("id", "stored_at"), _url)}),
}
