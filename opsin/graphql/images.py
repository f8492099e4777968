"""Datasets, subjects, batches and images as GraphQL shows them."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry.scalars import JSON

from opsin.core import analyses as core_analyses
from opsin.core import datasets as core_datasets
from opsin.core import images as core
from opsin.core import records
from opsin.core.conditions import Condition, at_least, below, equal, has_id
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.pages import Listing, Wanted
from opsin.graphql.analyses import Analysis, AnalysisFilterInput, AnalysisOrder, wanted_analyses
from opsin.graphql.compiler.rules import Children, Computed, Parent, Reads
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.export_links import DESCRIPTION as EXPORT_DESCRIPTION
from opsin.graphql.export_links import export_rule, export_url
from opsin.graphql.given import plain_text
from opsin.graphql.nodes import Node
from opsin.graphql.signed_links import signed_link
from opsin.storage.tables import batches, datasets, images, subjects

SUBJECTS = Listing(subjects, records.Subject, parent="dataset_id")
BATCHES = Listing(batches, records.Batch, parent="dataset_id")
DATASET_ANALYSES = Listing(
    core_analyses.LISTING.table, core_analyses.LISTING.record, parent="dataset_id"
)

_LARGEST_THUMBNAIL = 2048


@strawberry.type(description="A person or thing that images show.")
class Subject(Node):
    name: str
    attributes: JSON
    created_at: datetime


@strawberry.type(description="Images taken together.")
class Batch(Node):
    name: str
    created_at: datetime


@strawberry.type(description="A picture, as it was taken in.")
class Image(Node):
    filename: str
    content_type: str
    sha256: str
    size_bytes: float
    width: int = strawberry.field(description="Pixels, as displayed.")
    height: int = strawberry.field(description="Pixels, as displayed.")
    frames: int = strawberry.field(description="Only the first is analysed.")
    orientation: int = strawberry.field(description="The EXIF orientation of the file, 1 to 8.")
    orientation_applied: bool = strawberry.field(
        description="Whether sides and boxes are those of the displayed picture."
    )
    notes: list[str]
    metadata: JSON
    created_at: datetime

    @strawberry.field(description="Where the file is for the next hours, without further rights.")
    def url(self, info: Info) -> str:
        return _url(info.context, self.id)

    @strawberry.field(description="A smaller copy that fits into the given sides.")
    def thumbnail_url(self, info: Info, width: int = 256, height: int = 256) -> str:
        return _thumbnail_url(info.context, self.id, width, height)

    @strawberry.field(description=EXPORT_DESCRIPTION)
    def export_url(self, info: Info, format: ExportFormat) -> str:
        return export_url(TargetKind.IMAGE, info.context, self.id, format)

    @strawberry.field
    async def dataset(
        self, info: Info
    ) -> Annotated["Dataset", strawberry.lazy("opsin.graphql.images")]:
        found = await info.context.loaders.by_id(core_datasets.LISTING, self.record.dataset_id)
        if found is None:
            raise NotFound("Dataset not found")
        return Dataset.of(found)

    @strawberry.field
    async def subject(self, info: Info) -> Subject | None:
        found: Subject | None = await _optional(info, SUBJECTS, self.record.subject_id, Subject)
        return found

    @strawberry.field
    async def batch(self, info: Info) -> Batch | None:
        found: Batch | None = await _optional(info, BATCHES, self.record.batch_id, Batch)
        return found

    @strawberry.field
    async def analyses(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: AnalysisFilterInput | None = None,
        order_by: AnalysisOrder = AnalysisOrder.CREATED_ASC,
    ) -> Connection[Analysis]:
        wanted = wanted_analyses(info.context, first, after, filter, order_by)
        source = Source(info.context, core_analyses.LISTING, wanted, self.id)
        return await Connection[Analysis].read(source, Analysis.of)


@strawberry.type(description="A named set of images.")
class Dataset(Node):
    name: str
    description: str
    created_at: datetime
    updated_at: datetime

    @strawberry.field(description=EXPORT_DESCRIPTION)
    def export_url(self, info: Info, format: ExportFormat) -> str:
        return export_url(TargetKind.DATASET, info.context, self.id, format)

    @strawberry.field
    async def images(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: "ImageFilterInput | None" = None,
    ) -> Connection[Image]:
        wanted = wanted_images(info.context, first, after, filter)
        source = Source(info.context, core.LISTING, wanted, self.id)
        return await Connection[Image].read(source, Image.of)

    @strawberry.field
    async def analyses(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: AnalysisFilterInput | None = None,
        order_by: AnalysisOrder = AnalysisOrder.CREATED_ASC,
    ) -> Connection[Analysis]:
        wanted = wanted_analyses(info.context, first, after, filter, order_by)
        source = Source(info.context, DATASET_ANALYSES, wanted, self.id)
        return await Connection[Analysis].read(source, Analysis.of)


@strawberry.input(name="ImageFilter", description="Every field given must hold.")
class ImageFilterInput:
    dataset_id: strawberry.ID | None = None
    subject_id: strawberry.ID | None = None
    batch_id: strawberry.ID | None = None
    sha256: str | None = None
    created_from: datetime | None = strawberry.field(default=None, description="Inclusive.")
    created_before: datetime | None = strawberry.field(default=None, description="Exclusive.")

    def conditions(self) -> tuple[Condition, ...]:
        sha256 = plain_text(self.sha256, "sha256")
        return (
            *has_id("dataset_id", self.dataset_id),
            *has_id("subject_id", self.subject_id),
            *has_id("batch_id", self.batch_id),
            *equal("sha256", sha256.lower() if sha256 is not None else None),
            *at_least("created_at", self.created_from),
            *below("created_at", self.created_before),
        )


@strawberry.input(name="DatasetFilter", description="Every field given must hold.")
class DatasetFilterInput:
    name: str | None = strawberry.field(default=None, description="The whole name.")

    def conditions(self) -> tuple[Condition, ...]:
        name = plain_text(self.name, "name")
        return (*equal("name", name.strip() if name is not None else None),)


def wanted_images(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: ImageFilterInput | None = None,
) -> Wanted:
    return Wanted(page_request(context, first, after), filter.conditions() if filter else ())


def wanted_datasets(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: DatasetFilterInput | None = None,
) -> Wanted:
    return Wanted(page_request(context, first, after), filter.conditions() if filter else ())


def _url(context: Context, image_id: str) -> str:
    return signed_link(context, f"/images/{image_id}/content")


def _thumbnail_url(context: Context, image_id: str, width: int = 256, height: int = 256) -> str:
    if not (1 <= width <= _LARGEST_THUMBNAIL and 1 <= height <= _LARGEST_THUMBNAIL):
        raise InvalidInput(f"width and height must be from 1 to {_LARGEST_THUMBNAIL}")
    sides = {"width": str(width), "height": str(height)}
    return signed_link(context, f"/images/{image_id}/thumbnail", **sides)


READS = {
    "Subject": Reads(subjects),
    "Batch": Reads(batches),
    "Image": Reads(
        images,
        {
            "url": Computed(("id",), _url),
            "thumbnail_url": Computed(("id",), _thumbnail_url),
            "export_url": export_rule(TargetKind.IMAGE),
            "dataset": Parent("dataset_id", "Dataset"),
            "subject": Parent("subject_id", "Subject"),
            "batch": Parent("batch_id", "Batch"),
            "analyses": Children(core_analyses.LISTING, "Analysis", wanted_analyses),
        },
    ),
    "Dataset": Reads(
        datasets,
        {
            "export_url": export_rule(TargetKind.DATASET),
            "images": Children(core.LISTING, "Image", wanted_images),
            "analyses": Children(DATASET_ANALYSES, "Analysis", wanted_analyses),
        },
    ),
}


async def _optional(info: Info, listing: Listing[Any], identity: str | None, kind: Any) -> Any:
    if identity is None:
        return None
    found = await info.context.loaders.by_id(listing, identity)
    return None if found is None else kind.of(found)
