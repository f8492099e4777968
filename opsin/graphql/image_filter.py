"""Which images and datasets a list shows."""

from datetime import datetime
from enum import Enum

import strawberry

from opsin.core.analyses import AnalysisFilter
from opsin.core.annotations import AnnotationFilter
from opsin.core.conditions import (
    Condition,
    at_least,
    below,
    carries,
    contains,
    equal,
    has_id,
    related,
)
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.pages import Order, Wanted
from opsin.core.soft_deletion import DeletedRows
from opsin.graphql.connections import DEFAULT_PAGE, page_request
from opsin.graphql.context import Context
from opsin.graphql.given import plain_text, plain_texts
from opsin.storage.curation import image_classifications
from opsin.storage.tables import analyses, annotations

strawberry.enum(
    DeletedRows,
    name="DeletedImages",
    description="Whether images that were softly deleted are shown.",
)


@strawberry.input(
    name="MetadataFilter",
    description="Of a key, or of any: a value that is no text counts as its JSON.",
)
class MetadataFilterInput:
    key: str | None = strawberry.field(default=None, description="The whole key.")
    contains: str | None = strawberry.field(
        default=None, description="A text in the value, in whatever case."
    )

    def conditions(self) -> list[Condition]:
        key = plain_text(self.key, "key")
        return carries("metadata", key, plain_text(self.contains, "contains"))


@strawberry.input(
    name="ImageAnalysisFilter",
    description="One analysis for which every field given holds; `className` and "
    "`confidenceFrom` of one of its annotations.",
)
class ImageAnalysisFilterInput:
    status: list[AnalysisStatus] | None = None
    operation: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    class_name: list[str] | None = None
    confidence_from: float | None = None

    def conditions(self) -> list[Condition]:
        of_analysis = AnalysisFilter(
            status=None if self.status is None else tuple(self.status),
            operation=plain_text(self.operation, "operation"),
            model_name=plain_text(self.model_name, "modelName"),
            model_version=plain_text(self.model_version, "modelVersion"),
        ).conditions()
        of_annotation = AnnotationFilter(
            class_name=plain_texts(self.class_name, "className"),
            confidence_from=self.confidence_from,
        ).conditions()
        found = related(annotations, "analysis_id", of_annotation) if of_annotation else []
        return related(analyses, "image_id", (*of_analysis, *found))


@strawberry.input(name="ImageFilter", description="Every field given must hold.")
class ImageFilterInput:
    dataset_id: strawberry.ID | None = None
    subject_id: strawberry.ID | None = None
    batch_id: strawberry.ID | None = None
    sha256: str | None = None
    created_from: datetime | None = strawberry.field(default=None, description="Inclusive.")
    created_before: datetime | None = strawberry.field(default=None, description="Exclusive.")
    taken_from: datetime | None = strawberry.field(default=None, description="Inclusive.")
    taken_before: datetime | None = strawberry.field(default=None, description="Exclusive.")
    side: str | None = strawberry.field(default=None, description="The name of a side.")
    light: str | None = strawberry.field(default=None, description="The name of a light.")
    filename_contains: str | None = strawberry.field(
        default=None, description="A part of the name, in whatever case."
    )
    content_type: str | None = strawberry.field(
        default=None, description="A part of it, in whatever case, such as `png`."
    )
    uploaded_by: str | None = strawberry.field(
        default=None, description="A part of the name, in whatever case."
    )
    metadata: MetadataFilterInput | None = None
    class_id: strawberry.ID | None = strawberry.field(
        default=None, description="An image class that somebody gave them."
    )
    analysis: ImageAnalysisFilterInput | None = strawberry.field(
        default=None, description="They have at least one such analysis."
    )
    deleted: DeletedRows | None = strawberry.field(
        default=None, description="Default: EXCLUDED, as null."
    )

    def conditions(self) -> tuple[Condition, ...]:
        sha256 = plain_text(self.sha256, "sha256")
        in_class = has_id("class_id", self.class_id)
        return (
            *has_id("dataset_id", self.dataset_id),
            *has_id("subject_id", self.subject_id),
            *has_id("batch_id", self.batch_id),
            *equal("sha256", sha256.lower() if sha256 is not None else None),
            *at_least("created_at", self.created_from),
            *below("created_at", self.created_before),
            *at_least("taken_at", self.taken_from),
            *below("taken_at", self.taken_before),
            *equal("side", plain_text(self.side, "side")),
            *equal("light", plain_text(self.light, "light")),
            *contains("content_type", plain_text(self.content_type, "contentType")),
            *contains("uploaded_by", plain_text(self.uploaded_by, "uploadedBy")),
            *contains("filename", plain_text(self.filename_contains, "filenameContains")),
            *(self.metadata.conditions() if self.metadata else ()),
            *(related(image_classifications, "image_id", in_class) if in_class else ()),
            *(self.analysis.conditions() if self.analysis else ()),
        )


@strawberry.input(name="DatasetFilter", description="Every field given must hold.")
class DatasetFilterInput:
    name: str | None = strawberry.field(default=None, description="The whole name.")
    name_contains: str | None = strawberry.field(
        default=None, description="A part of the name, in whatever case."
    )

    def conditions(self) -> tuple[Condition, ...]:
        name = plain_text(self.name, "name")
        return (
            *equal("name", name.strip() if name is not None else None),
            *contains("name", plain_text(self.name_contains, "nameContains")),
        )


@strawberry.enum(description="The order of a list of images.")
class ImageOrder(Enum):
    CREATED_ASC = "CREATED_ASC"
    CREATED_DESC = "CREATED_DESC"
    TAKEN_ASC = "TAKEN_ASC"
    TAKEN_DESC = "TAKEN_DESC"

    def to_order(self) -> Order:
        column, _, direction = self.value.partition("_")
        # Ids ascend with the time of creation.
        return Order("id" if column == "CREATED" else "taken_at", direction == "DESC")


def wanted_images(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: ImageFilterInput | None = None,
    order_by: ImageOrder = ImageOrder.CREATED_ASC,
) -> Wanted:
    request = page_request(context, first, after, order_by.to_order())
    if filter is None:
        return Wanted(request)
    return Wanted(request, filter.conditions(), filter.deleted or DeletedRows.EXCLUDED)


def wanted_datasets(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: DatasetFilterInput | None = None,
) -> Wanted:
    return Wanted(page_request(context, first, after), filter.conditions() if filter else ())
