"""Subjects and batches as GraphQL shows them, with their images and their history."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.scalars import JSON

from opsin.core import datasets as core_datasets
from opsin.core import records
from opsin.core.conditions import Condition, contains, equal
from opsin.core.errors import NotFound
from opsin.core.history import SmoothingMethod
from opsin.core.images import LISTING as IMAGES
from opsin.core.pages import Listing, Wanted
from opsin.graphql.compiler.rules import Children, Parent, Reads
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.curation import wanted_oldest
from opsin.graphql.given import plain_text
from opsin.graphql.history import (
    HISTORY,
    SMOOTHED_OF_SUBJECT,
    SUBJECT_IMAGES,
    HistoryPoint,
    SmoothedValue,
    history_of,
    smoothed_of_subject,
)
from opsin.graphql.image_filter import ImageFilterInput, ImageOrder, wanted_images
from opsin.graphql.images import Image
from opsin.graphql.nodes import Node
from opsin.storage.tables import batches, subjects

if TYPE_CHECKING:
    from opsin.graphql.datasets import Dataset

SUBJECTS = Listing(subjects, records.Subject, parent="dataset_id")
BATCHES = Listing(batches, records.Batch, parent="dataset_id")
SUBJECT_BATCHES = Listing(batches, records.Batch, parent="subject_id")
BATCH_IMAGES = Listing(IMAGES.table, IMAGES.record, parent="batch_id")


@strawberry.type(description="A person or thing that images show.")
class Subject(Node):
    name: str
    birth_date: date | None
    sex: str | None = strawberry.field(description="male or female, as the caller said.")
    attributes: JSON
    created_at: datetime
    updated_at: datetime | None = strawberry.field(description="Null while it is as it was made.")

    @strawberry.field
    async def dataset(
        self, info: Info
    ) -> Annotated["Dataset", strawberry.lazy("opsin.graphql.datasets")]:
        return await _dataset(info, self.record.dataset_id)

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
        source = Source(info.context, SUBJECT_IMAGES, wanted, self.id)
        return await Connection[Image].read(source, Image.of)

    @strawberry.field(description="Oldest first.")
    async def batches(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Annotated["Batch", strawberry.lazy("opsin.graphql.subjects")]]:
        wanted = wanted_oldest(info.context, first, after)
        source = Source(info.context, SUBJECT_BATCHES, wanted, self.id)
        return await Connection[Batch].read(source, Batch.of)

    @strawberry.field(
        description="The main metrics of its images, newest image first; both times are inclusive."
    )
    async def history(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        taken_from: datetime | None = None,
        taken_to: datetime | None = None,
        application_id: strawberry.ID | None = None,
    ) -> list[HistoryPoint]:
        return await history_of(
            info.context,
            self.id,
            self.record.dataset_id,
            first,
            taken_from,
            taken_to,
            application_id,
        )

    @strawberry.field(description="The smoothed values of its newest image.")
    async def smoothed(
        self,
        info: Info,
        window_days: int = 14,
        max_size: int = 10,
        method: SmoothingMethod = SmoothingMethod.MEAN,
        application_id: strawberry.ID | None = None,
    ) -> list[SmoothedValue]:
        return await smoothed_of_subject(
            info.context, self.id, window_days, max_size, method, application_id
        )


@strawberry.type(description="Images taken together.")
class Batch(Node):
    name: str
    taken_at: datetime | None = strawberry.field(
        description="When its images were taken, as the caller said."
    )
    created_at: datetime

    @strawberry.field
    async def dataset(
        self, info: Info
    ) -> Annotated["Dataset", strawberry.lazy("opsin.graphql.datasets")]:
        return await _dataset(info, self.record.dataset_id)

    @strawberry.field
    async def subject(self, info: Info) -> Subject | None:
        if self.record.subject_id is None:
            return None
        found = await info.context.loaders.by_id(SUBJECTS, self.record.subject_id)
        return None if found is None else Subject.of(found)

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
        source = Source(info.context, BATCH_IMAGES, wanted, self.id)
        return await Connection[Image].read(source, Image.of)


@strawberry.input(name="SubjectFilter", description="Every field given must hold.")
class SubjectFilterInput:
    name: str | None = strawberry.field(default=None, description="The whole name.")
    name_contains: str | None = strawberry.field(
        default=None, description="A part of the name, in whatever case."
    )
    sex: str | None = None

    def conditions(self) -> tuple[Condition, ...]:
        name = plain_text(self.name, "name")
        return (
            *equal("name", name.strip() if name is not None else None),
            *equal("sex", plain_text(self.sex, "sex")),
            *contains("name", plain_text(self.name_contains, "nameContains")),
        )


def wanted_subjects(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: SubjectFilterInput | None = None,
) -> Wanted:
    return Wanted(page_request(context, first, after), filter.conditions() if filter else ())


READS = {
    "Subject": Reads(
        subjects,
        {
            "dataset": Parent("dataset_id", "Dataset"),
            "images": Children(SUBJECT_IMAGES, "Image", wanted_images),
            "batches": Children(SUBJECT_BATCHES, "Batch", wanted_oldest),
            "history": HISTORY,
            "smoothed": SMOOTHED_OF_SUBJECT,
        },
    ),
    "Batch": Reads(
        batches,
        {
            "dataset": Parent("dataset_id", "Dataset"),
            "subject": Parent("subject_id", "Subject"),
            "images": Children(BATCH_IMAGES, "Image", wanted_images),
        },
    ),
}


async def _dataset(info: Info, dataset_id: str) -> "Dataset":
    from opsin.graphql.datasets import Dataset

    found = await info.context.loaders.by_id(core_datasets.LISTING, dataset_id)
    if found is None:
        raise NotFound("Dataset not found")
    return Dataset.of(found)
