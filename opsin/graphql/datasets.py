"""Datasets as GraphQL shows them, with all that is in them."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from opsin.core import analyses as core_analyses
from opsin.core import deletion_log
from opsin.core import image_classes as core_classes
from opsin.core import images as core_images
from opsin.core.applications.records import RUNS
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.pages import Listing
from opsin.graphql.analyses import Analysis, AnalysisFilterInput, AnalysisOrder, wanted_analyses
from opsin.graphql.capture import IMAGE_TYPE, ImageType, image_type_of
from opsin.graphql.compiler.rules import Children, Entries, Reads
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source
from opsin.graphql.context import Info
from opsin.graphql.curation import ImageClass, ImageDeletionEvent, wanted_newest, wanted_oldest
from opsin.graphql.export_links import DESCRIPTION as EXPORT_DESCRIPTION
from opsin.graphql.export_links import export_rule, export_url
from opsin.graphql.image_filter import ImageFilterInput, ImageOrder, wanted_images
from opsin.graphql.images import Image
from opsin.graphql.nodes import Node
from opsin.graphql.retention import RETENTION, Retention, retention_of
from opsin.graphql.runs import Run
from opsin.graphql.subjects import (
    BATCHES,
    SUBJECTS,
    Batch,
    Subject,
    SubjectFilterInput,
    wanted_subjects,
)
from opsin.storage.curation import dataset_metadata
from opsin.storage.tables import datasets

DATASET_ANALYSES = Listing(
    core_analyses.LISTING.table, core_analyses.LISTING.record, parent="dataset_id"
)


@strawberry.type(description="A named set of images.")
class Dataset(Node):
    name: str
    description: str
    branding: int | None = strawberry.field(description="A number that callers keep with it.")
    created_at: datetime
    updated_at: datetime

    @strawberry.field(description="What its images are; null: nothing is said of them.")
    def image_type(self, info: Info) -> ImageType | None:
        return image_type_of(info.context, self.record.image_type)

    @strawberry.field(description="How long its images' files and results are kept.")
    def retention(self, info: Info) -> Retention:
        record = self.record
        return retention_of(
            info.context,
            record.expire_files_after_days,
            record.expire_results_after_days,
            record.delete_files_when_ready,
        )

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
        source = Source(info.context, core_images.LISTING, wanted, self.id)
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

    @strawberry.field(
        description="Applications that are, or were, attached to it: a run of each, oldest first."
    )
    async def applications(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Run]:
        wanted = wanted_oldest(info.context, first, after)
        source = Source(info.context, RUNS, wanted, self.id)
        return await Connection[Run].read(source, Run.of)

    @strawberry.field(description="Oldest first.")
    async def subjects(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: SubjectFilterInput | None = None,
    ) -> Connection[Subject]:
        wanted = wanted_subjects(info.context, first, after, filter)
        source = Source(info.context, SUBJECTS, wanted, self.id)
        return await Connection[Subject].read(source, Subject.of)

    @strawberry.field(description="Oldest first.")
    async def batches(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Batch]:
        wanted = wanted_oldest(info.context, first, after)
        source = Source(info.context, BATCHES, wanted, self.id)
        return await Connection[Batch].read(source, Batch.of)

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


READS = {
    "Dataset": Reads(
        datasets,
        {
            "export_url": export_rule(TargetKind.DATASET),
            "images": Children(core_images.LISTING, "Image", wanted_images),
            "analyses": Children(DATASET_ANALYSES, "Analysis", wanted_analyses),
            "image_type": IMAGE_TYPE,
            "retention": RETENTION,
            "applications": Children(RUNS, "Run", wanted_oldest),
            "subjects": Children(SUBJECTS, "Subject", wanted_subjects),
            "batches": Children(BATCHES, "Batch", wanted_oldest),
            "classes": Children(core_classes.LISTING, "ImageClass", wanted_oldest),
            "deletions": Children(deletion_log.LISTING, "ImageDeletionEvent", wanted_newest),
            "metadata": Entries(dataset_metadata, "dataset_id", "key", "value"),
        },
    ),
}
