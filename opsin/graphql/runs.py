"""Runs as GraphQL shows them: applications attached to datasets, and their work on images."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

import strawberry

from opsin.core import datasets as core_datasets
from opsin.core import images as core_images
from opsin.core.applications import records as core
from opsin.core.conditions import Condition, absent, equal, has_id
from opsin.core.errors import NotFound
from opsin.core.pages import Listing, Wanted
from opsin.graphql.applications import APPLICATION, Application, read_application
from opsin.graphql.compiler.rules import Children, Computed, Parent, Reads
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.nodes import Node, Shown
from opsin.storage.applications import application_runs, image_runs

if TYPE_CHECKING:
    from opsin.graphql.datasets import Dataset
    from opsin.graphql.images import Image

OF_IMAGE = Listing(image_runs, core.ImageRun, parent="image_id", key="run_id")
OF_RUN = Listing(image_runs, core.ImageRun, parent="run_id", key="image_id")


@strawberry.type(description="What a run was before it was changed.")
class RunChange:
    until: datetime
    steps: list[str]
    is_enabled: bool

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        return cls(
            until=datetime.fromisoformat(stored["until"]),
            steps=stored["steps"],
            is_enabled=stored["is_enabled"],
        )


@strawberry.type(description="What one run does with one image.")
class ImageRun(Shown):
    is_live: bool = strawberry.field(
        description="Whether it was asked for when the image came, and not afterwards."
    )
    created_at: datetime
    completed_at: datetime | None = strawberry.field(
        description="When the last of its analyses ended, for the first time."
    )
    record: strawberry.Private[Any] = None

    @strawberry.field
    async def run(self, info: Info) -> Annotated["Run", strawberry.lazy("opsin.graphql.runs")]:
        found = await info.context.loaders.by_id(core.RUNS, self.record.run_id)
        if found is None:
            raise NotFound("Run not found")
        return Run.of(found)

    @strawberry.field
    async def image(
        self, info: Info
    ) -> Annotated["Image", strawberry.lazy("opsin.graphql.images")]:
        from opsin.graphql.images import Image

        found = await info.context.loaders.by_id(core_images.LISTING, self.record.image_id)
        if found is None:
            raise NotFound("Image not found")
        return Image.of(found)


@strawberry.input(name="ImageRunFilter", description="Every field given must hold.")
class ImageRunFilterInput:
    completed: bool | None = strawberry.field(
        default=None, description="Whether all of its analyses have ended."
    )
    live: bool | None = strawberry.field(
        default=None, description="Whether they were asked for when the image came."
    )

    def conditions(self) -> tuple[Condition, ...]:
        unfinished = None if self.completed is None else not self.completed
        return (*absent("completed_at", unfinished), *equal("is_live", self.live))


@strawberry.type(
    description="An application attached to a dataset; one that was detached keeps its results."
)
class Run(Node):
    application_id: strawberry.ID
    steps: list[str] = strawberry.field(description="Keys of the steps that are done.")
    is_enabled: bool = strawberry.field(description="False once it was detached.")
    created_at: datetime
    updated_at: datetime

    @strawberry.field(description="Null for one that is here no more.")
    async def application(self, info: Info) -> Application | None:
        return await read_application(info, self.application_id)

    @strawberry.field
    async def dataset(
        self, info: Info
    ) -> Annotated["Dataset", strawberry.lazy("opsin.graphql.datasets")]:
        from opsin.graphql.datasets import Dataset

        found = await info.context.loaders.by_id(core_datasets.LISTING, self.record.dataset_id)
        if found is None:
            raise NotFound("Dataset not found")
        return Dataset.of(found)

    @strawberry.field(
        description="Whether images that were there before it are still to be asked for."
    )
    def is_catching_up(self) -> bool:
        return _is_catching_up(None, self.record.backfill_until)

    @strawberry.field(description="What it was before, oldest first.")
    def history(self) -> list[RunChange]:
        return _history(None, self.record.history)

    @strawberry.field(description="Its work on images, in the order in which these came.")
    async def images(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: ImageRunFilterInput | None = None,
    ) -> Connection[ImageRun]:
        wanted = wanted_image_runs(info.context, first, after, filter)
        source = Source(info.context, OF_RUN, wanted, self.id)
        return await Connection[ImageRun].read(source, ImageRun.of)


@strawberry.input(name="RunFilter", description="Every field given must hold.")
class RunFilterInput:
    dataset_id: strawberry.ID | None = None
    application_id: strawberry.ID | None = None
    enabled: bool | None = None

    def conditions(self) -> tuple[Condition, ...]:
        return (
            *has_id("dataset_id", self.dataset_id),
            *has_id("application_id", self.application_id),
            *equal("is_enabled", self.enabled),
        )


def wanted_runs(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: RunFilterInput | None = None,
) -> Wanted:
    return Wanted(page_request(context, first, after), filter.conditions() if filter else ())


def wanted_image_runs(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: ImageRunFilterInput | None = None,
) -> Wanted:
    return Wanted(page_request(context, first, after), filter.conditions() if filter else ())


def _is_catching_up(_context: Context | None, backfill_until: str | None) -> bool:
    return backfill_until is not None


def _history(_context: Context | None, stored: list[dict[str, Any]]) -> list[RunChange]:
    return [RunChange.of(one) for one in stored]


READS = {
    "Run": Reads(
        application_runs,
        {
            "application": APPLICATION,
            "dataset": Parent("dataset_id", "Dataset"),
            "is_catching_up": Computed(("backfill_until",), _is_catching_up),
            "history": Computed(("history",), _history),
            "images": Children(OF_RUN, "ImageRun", wanted_image_runs),
        },
    ),
    "ImageRun": Reads(
        image_runs, {"run": Parent("run_id", "Run"), "image": Parent("image_id", "Image")}
    ),
}
