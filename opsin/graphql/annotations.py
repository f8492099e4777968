"""Annotations and artifacts as GraphQL shows them."""

from datetime import datetime
from typing import Self

import strawberry
from strawberry.scalars import JSON

from opsin.core import records
from opsin.core.annotations import AnnotationFilter
from opsin.core.artifacts import LISTING as ARTIFACTS
from opsin.graphql.context import Info
from opsin.graphql.given import plain_texts
from opsin.graphql.nodes import Node
from opsin.graphql.signed_links import signed_link


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

    @classmethod
    def of(cls, record: records.StoredAnnotation) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            annotation_type=record.annotation_type,
            class_name=record.class_name,
            confidence=record.confidence,
            data=JSON(record.data),
            storage_path=record.storage_path,
            ordering=record.ordering,
            created_at=record.created_at,
            analysis_id=strawberry.ID(record.analysis_id),
        )

    @strawberry.field(description="Where the artifact's file is, as its own `url` says.")
    async def url(self, info: Info) -> str | None:
        if self.storage_path is None:
            return None
        beside = await info.context.loaders.children(ARTIFACTS, self.analysis_id)
        named = (a for a in beside if a.storage_path == self.storage_path)
        return next((_url(info, artifact) for artifact in named), None)


@strawberry.type(description="A stored binary output of an analysis.")
class Artifact(Node):
    name: str
    content_type: str
    storage_path: str = strawberry.field(description="How annotations name it.")
    size_bytes: float | None
    sha256: str | None
    created_at: datetime
    record: strawberry.Private[records.Artifact]

    @classmethod
    def of(cls, record: records.Artifact) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            name=record.name,
            content_type=record.content_type,
            storage_path=record.storage_path,
            size_bytes=record.size_bytes,
            sha256=record.sha256,
            created_at=record.created_at,
            record=record,
        )

    @strawberry.field(
        description="Where the file is for the next hours, without further rights; null while it "
        "has not been stored."
    )
    def url(self, info: Info) -> str | None:
        return _url(info, self.record)


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


def _url(info: Info, artifact: records.Artifact) -> str | None:
    if artifact.stored_at is None:
        return None
    return signed_link(info, f"/artifacts/{artifact.id}/content")
