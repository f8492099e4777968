"""Images as GraphQL shows them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.scalars import JSON

from opsin.core import analyses as core_analyses
from opsin.core import comments as core_comments
from opsin.core import datasets as core_datasets
from opsin.core import image_classes as core_classes
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.history import SmoothingMethod
from opsin.core.pages import Listing
from opsin.graphql.analyses import Analysis, AnalysisFilterInput, AnalysisOrder, wanted_analyses
from opsin.graphql.compiler.rules import Children, Computed, Items, Parent, Reads
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source
from opsin.graphql.context import Context, Info
from opsin.graphql.curation import (
    DELETION,
    Comment,
    ImageClassification,
    ImageDeletion,
    wanted_oldest,
)
from opsin.graphql.export_links import DESCRIPTION as EXPORT_DESCRIPTION
from opsin.graphql.export_links import export_rule, export_url
from opsin.graphql.history import SMOOTHED_OF_IMAGE, SmoothedValue, smoothed_of_image
from opsin.graphql.loaders import MOST_CHILDREN
from opsin.graphql.nodes import Node
from opsin.graphql.runs import OF_IMAGE, ImageRun
from opsin.graphql.signed_links import signed_link
from opsin.storage.tables import images

if TYPE_CHECKING:
    from opsin.graphql.datasets import Dataset
    from opsin.graphql.subjects import Batch, Subject

_LARGEST_THUMBNAIL = 2048


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
    side: str | None = strawberry.field(
        description="From which side it shows its subject: see `imageTypes`."
    )
    light: str | None = strawberry.field(description="In which light it was taken.")
    taken_at: datetime = strawberry.field(
        description="When it was taken, as the caller said; else when it came."
    )
    storage_deleted: bool = strawberry.field(
        name="fileDeleted", description="Whether its file is gone; what was found in it stays."
    )
    results_deleted_at: datetime | None = strawberry.field(
        description="When its results were deleted, as its dataset wants it."
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

    @strawberry.field(
        description="Where a PDF of it, its results and its subject's history is for the next "
        "hours, without further rights."
    )
    def report_url(self, info: Info) -> str:
        return _report_url(info.context, self.id)

    @strawberry.field
    async def dataset(
        self, info: Info
    ) -> Annotated["Dataset", strawberry.lazy("opsin.graphql.datasets")]:
        from opsin.graphql.datasets import Dataset

        found = await info.context.loaders.by_id(core_datasets.LISTING, self.record.dataset_id)
        if found is None:
            raise NotFound("Dataset not found")
        return Dataset.of(found)

    @strawberry.field
    async def subject(
        self, info: Info
    ) -> Annotated["Subject", strawberry.lazy("opsin.graphql.subjects")] | None:
        from opsin.graphql.subjects import SUBJECTS, Subject

        found: Subject | None = await _optional(info, SUBJECTS, self.record.subject_id, Subject)
        return found

    @strawberry.field
    async def batch(
        self, info: Info
    ) -> Annotated["Batch", strawberry.lazy("opsin.graphql.subjects")] | None:
        from opsin.graphql.subjects import BATCHES, Batch

        found: Batch | None = await _optional(info, BATCHES, self.record.batch_id, Batch)
        return found

    @strawberry.field(description="What the applications of its dataset do with it.")
    async def runs(self, info: Info) -> list[ImageRun]:
        return [ImageRun.of(one) for one in await info.context.loaders.children(OF_IMAGE, self.id)]

    @strawberry.field(
        description="The main metrics of its results, smoothed with those of earlier images of the "
        "same subject, type, side and light."
    )
    async def smoothed(
        self,
        info: Info,
        window_days: int = 14,
        max_size: int = 10,
        method: SmoothingMethod = SmoothingMethod.MEAN,
        application_id: strawberry.ID | None = None,
    ) -> list[SmoothedValue]:
        return await smoothed_of_image(
            info.context, self.id, window_days, max_size, method, application_id
        )

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


def _url(context: Context, image_id: str) -> str:
    return signed_link(context, f"/images/{image_id}/content")


def _report_url(context: Context, image_id: str) -> str:
    return signed_link(context, f"/images/{image_id}/report")


def _thumbnail_url(context: Context, image_id: str, width: int = 256, height: int = 256) -> str:
    if not (1 <= width <= _LARGEST_THUMBNAIL and 1 <= height <= _LARGEST_THUMBNAIL):
        raise InvalidInput(f"width and height must be from 1 to {_LARGEST_THUMBNAIL}")
    sides = {"width": str(width), "height": str(height)}
    return signed_link(context, f"/images/{image_id}/thumbnail", **sides)


READS = {
    "Image": Reads(
        images,
        {
            "url": Computed(("id",), _url),
            "thumbnail_url": Computed(("id",), _thumbnail_url),
            "export_url": export_rule(TargetKind.IMAGE),
            "report_url": Computed(("id",), _report_url),
            "dataset": Parent("dataset_id", "Dataset"),
            "subject": Parent("subject_id", "Subject"),
            "batch": Parent("batch_id", "Batch"),
            "runs": Items(OF_IMAGE, "ImageRun", MOST_CHILDREN),
            "smoothed": SMOOTHED_OF_IMAGE,
            "analyses": Children(core_analyses.LISTING, "Analysis", wanted_analyses),
            "classifications": Children(
                core_classes.CLASSIFICATIONS, "ImageClassification", wanted_oldest
            ),
            "comments": Children(core_comments.LISTING, "Comment", wanted_oldest),
            "deletion": DELETION,
        },
    ),
}


async def _optional(info: Info, listing: Listing[Any], identity: str | None, kind: Any) -> Any:
    if identity is None:
        return None
    found = await info.context.loaders.by_id(listing, identity)
    return None if found is None else kind.of(found)
