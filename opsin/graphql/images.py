"""Datasets, subjects, batches and images as GraphQL shows them."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry.scalars import JSON

from opsin.core import analyses as core_analyses
from opsin.core import comments as core_comments
from opsin.core import datasets as core_datasets
from opsin.core import deletion_log, records
from opsin.core import image_classes as core_classes
from opsin.core import images as core
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.pages import Listing
from opsin.graphql.analyses import Analysis, AnalysisFilterInput, AnalysisOrder, wanted_analyses
from opsin.graphql.compiler.rules import Children, Computed, Entries, Parent, Reads
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source
from opsin.graphql.context import Context, Info
from opsin.graphql.curation import (
    DELETION,
    Comment,
    ImageClass,
    ImageClassification,
    ImageDeletion,
    ImageDeletionEvent,
    wanted_newest,
    wanted_oldest,
)
from opsin.graphql.export_links import DESCRIPTION as EXPORT_DESCRIPTION
from opsin.graphql.export_links import export_rule, export_url
from opsin.graphql.image_filter import ImageFilterInput, ImageOrder, wanted_images
from opsin.graphql.nodes import Node
from opsin.graphql.signed_links import signed_link
from opsin.storage.curation import dataset_metadata
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
    uploaded_by: str | None = strawberry.field(
        description="The name of the account or the API key; null if that is not known."
    )

    @strawberry.field(description="Null unless the image is deleted.")
    def deletion(self) -> ImageDeletion | None:
        return ImageDeletion.of(self.record)

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

    @strawberry.field(description="The classes that people have given it, oldest first.")
    async def classifications(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[ImageClassification]:
        wanted = wanted_oldest(info.context, first, after)
        source = Source(info.context, core_classes.CLASSIFICATIONS, wanted, self.id)
        return await Connection[ImageClassification].read(source, ImageClassification.of)

    @strawberry.field(description="Oldest first.")
    async def comments(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Comment]:
        wanted = wanted_oldest(info.context, first, after)
        source = Source(info.context, core_comments.LISTING, wanted, self.id)
        return await Connection[Comment].read(source, Comment.of)


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
        filter: ImageFilterInput | None = None,
        order_by: ImageOrder = ImageOrder.CREATED_ASC,
    ) -> Connection[Image]:
        wanted = wanted_images(info.context, first, after, filter, order_by)
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

    @strawberry.field(description="What its images may be classified as, oldest first.")
    async def classes(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[ImageClass]:
        wanted = wanted_oldest(info.context, first, after)
        source = Source(info.context, core_classes.LISTING, wanted, self.id)
        return await Connection[ImageClass].read(source, ImageClass.of)

    @strawberry.field(description="Which images were deleted and restored, newest first.")
    async def deletions(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[ImageDeletionEvent]:
        wanted = wanted_newest(info.context, first, after)
        source = Source(info.context, deletion_log.LISTING, wanted, self.id)
        return await Connection[ImageDeletionEvent].read(source, ImageDeletionEvent.of)

    @strawberry.field(description="What callers keep with it, by key.")
    async def metadata(self, info: Info) -> JSON:
        return JSON(await info.context.loaders.metadata(self.id))


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
            "classifications": Children(
                core_classes.CLASSIFICATIONS, "ImageClassification", wanted_oldest
            ),
            "comments": Children(core_comments.LISTING, "Comment", wanted_oldest),
            "deletion": DELETION,
        },
    ),
    "Dataset": Reads(
        datasets,
        {
            "export_url": export_rule(TargetKind.DATASET),
            "images": Children(core.LISTING, "Image", wanted_images),
            "analyses": Children(DATASET_ANALYSES, "Analysis", wanted_analyses),
            "classes": Children(core_classes.LISTING, "ImageClass", wanted_oldest),
            "deletions": Children(deletion_log.LISTING, "ImageDeletionEvent", wanted_newest),
            "metadata": Entries(dataset_metadata, "dataset_id", "key", "value"),
        },
    ),
}


async def _optional(info: Info, listing: Listing[Any], identity: str | None, kind: Any) -> Any:
    if identity is None:
        return None
    found = await info.context.loaders.by_id(listing, identity)
    return None if found is None else kind.of(found)
