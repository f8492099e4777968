"""Datasets, subjects, batches and images as GraphQL shows them."""

import dataclasses
from datetime import datetime
from typing import Annotated, Any, Self

import strawberry
from sqlalchemy import ColumnElement, false
from strawberry.scalars import JSON

from opsin.core import analyses as core_analyses
from opsin.core import datasets as core_datasets
from opsin.core import images as core
from opsin.core import records
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.pages import Listing
from opsin.graphql.analyses import Analysis, AnalysisFilterInput, AnalysisOrder, read_analyses
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Info
from opsin.graphql.given import plain_text
from opsin.graphql.nodes import Node
from opsin.graphql.signed_links import signed_link
from opsin.storage.ids import canonical_id
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

    @classmethod
    def of(cls, record: records.Subject) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            name=record.name,
            attributes=JSON(record.attributes),
            created_at=record.created_at,
        )


@strawberry.type(description="Images taken together.")
class Batch(Node):
    name: str
    created_at: datetime

    @classmethod
    def of(cls, record: records.Batch) -> Self:
        return cls(id=strawberry.ID(record.id), name=record.name, created_at=record.created_at)


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
    record: strawberry.Private[records.Image]

    @classmethod
    def of(cls, record: records.Image) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            filename=record.filename,
            content_type=record.content_type,
            sha256=record.sha256,
            size_bytes=record.size_bytes,
            width=record.width,
            height=record.height,
            frames=record.frames,
            orientation=record.orientation,
            orientation_applied=record.orientation_applied,
            notes=record.notes,
            metadata=JSON(record.metadata),
            created_at=record.created_at,
            record=record,
        )

    @strawberry.field(description="Where the file is for the next hours, without further rights.")
    def url(self, info: Info) -> str:
        return signed_link(info, f"/images/{self.id}/content")

    @strawberry.field(description="A smaller copy that fits into the given sides.")
    def thumbnail_url(self, info: Info, width: int = 256, height: int = 256) -> str:
        if not (1 <= width <= _LARGEST_THUMBNAIL and 1 <= height <= _LARGEST_THUMBNAIL):
            raise InvalidInput(f"width and height must be from 1 to {_LARGEST_THUMBNAIL}")
        sides = {"width": str(width), "height": str(height)}
        return signed_link(info, f"/images/{self.id}/thumbnail", **sides)

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
        return await read_analyses(info, first, after, filter, order_by, parent_id=self.id)


@strawberry.type(description="A named set of images.")
class Dataset(Node):
    name: str
    description: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, record: records.Dataset) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            name=record.name,
            description=record.description,
            created_at=record.created_at,
            updated_at=record.updated_at,
        )

    @strawberry.field
    async def images(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: "ImageFilterInput | None" = None,
    ) -> Connection[Image]:
        return await read_images(info, first, after, filter, parent_id=self.id)

    @strawberry.field
    async def analyses(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: AnalysisFilterInput | None = None,
        order_by: AnalysisOrder = AnalysisOrder.CREATED_ASC,
    ) -> Connection[Analysis]:
        return await read_analyses(
            info, first, after, filter, order_by, DATASET_ANALYSES, parent_id=self.id
        )


@strawberry.input(name="ImageFilter", description="Every field given must hold.")
class ImageFilterInput:
    dataset_id: strawberry.ID | None = None
    subject_id: strawberry.ID | None = None
    batch_id: strawberry.ID | None = None
    sha256: str | None = None
    created_from: datetime | None = strawberry.field(default=None, description="Inclusive.")
    created_before: datetime | None = strawberry.field(default=None, description="Exclusive.")

    def conditions(self) -> list[ColumnElement[bool]]:
        c = images.c
        found: list[ColumnElement[bool]] = []
        for name in ("dataset_id", "subject_id", "batch_id"):
            if (value := getattr(self, name)) is not None:
                identity = canonical_id(value)
                # Some images have no subject and no batch: they are not what was asked for.
                found.append(false() if identity is None else c[name] == identity)
        if self.sha256 is not None:
            found.append(c.sha256 == plain_text(self.sha256.lower(), "sha256"))
        if self.created_from is not None:
            found.append(c.created_at >= self.created_from)
        if self.created_before is not None:
            found.append(c.created_at < self.created_before)
        return found


@strawberry.input(name="DatasetFilter", description="Every field given must hold.")
class DatasetFilterInput:
    name: str | None = strawberry.field(default=None, description="The whole name.")

    def conditions(self) -> list[ColumnElement[bool]]:
        if self.name is None:
            return []
        return [datasets.c.name == plain_text(self.name.strip(), "name")]


async def read_images(
    info: Info,
    first: int,
    after: str | None,
    filter: ImageFilterInput | None,
    parent_id: str | None = None,
) -> Connection[Image]:
    """A page of all images, or of one dataset's."""
    wanted = filter or ImageFilterInput()
    source = Source(
        info.context, core.LISTING, wanted.conditions(), dataclasses.astuple(wanted), parent_id
    )
    return await Connection[Image].read(source, page_request(info, first, after), Image.of)


async def _optional(info: Info, listing: Listing[Any], identity: str | None, kind: Any) -> Any:
    if identity is None:
        return None
    found = await info.context.loaders.by_id(listing, identity)
    return None if found is None else kind.of(found)
