"""The roots of every read."""

from datetime import datetime
from typing import Any, Self

import strawberry
from sqlalchemy import literal, select, union_all

from opsin.core import analyses as core_analyses
from opsin.core import annotations as core_annotations
from opsin.core import artifacts as core_artifacts
from opsin.core import datasets as core_datasets
from opsin.core import images as core_images
from opsin.core import records
from opsin.core.collections import collections as core_collections
from opsin.core.pages import Listing
from opsin.graphql.analyses import Analysis, AnalysisFilterInput, AnalysisOrder, read_analyses
from opsin.graphql.annotations import Annotation, Artifact
from opsin.graphql.collections import Classifier, Collection, CollectionMember
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Info
from opsin.graphql.images import (
    BATCHES,
    SUBJECTS,
    Batch,
    Dataset,
    DatasetFilterInput,
    Image,
    ImageFilterInput,
    Subject,
    read_images,
)
from opsin.graphql.nodes import Node
from opsin.graphql.operations import Operation, Plugin, list_plugins
from opsin.graphql.scalars import Cursor
from opsin.storage.ids import canonical_id

_NODES: dict[str, tuple[Listing[Any], Any]] = {
    "Dataset": (core_datasets.LISTING, Dataset),
    "Image": (core_images.LISTING, Image),
    "Analysis": (core_analyses.LISTING, Analysis),
    "Annotation": (core_annotations.LISTING, Annotation),
    "Artifact": (core_artifacts.LISTING, Artifact),
    "Subject": (SUBJECTS, Subject),
    "Batch": (BATCHES, Batch),
    "Collection": (core_collections.LISTING, Collection),
    "CollectionMember": (core_collections.MEMBERS, CollectionMember),
    "Classifier": (core_collections.CLASSIFIERS, Classifier),
}


@strawberry.type(description="An API key, without its secret.")
class ApiKey:
    id: strawberry.ID
    name: str
    prefix: str = strawberry.field(description="How the key begins, after `opsin_`.")
    created_at: datetime
    last_used_at: datetime | None = strawberry.field(description="To the minute.")
    revoked_at: datetime | None

    @classmethod
    def of(cls, record: records.ApiKey) -> Self:
        return cls(
            id=strawberry.ID(record.id),
            name=record.name,
            prefix=record.prefix,
            created_at=record.created_at,
            last_used_at=record.last_used_at,
            revoked_at=record.revoked_at,
        )


@strawberry.type(description="The caller.")
class Viewer:
    name: str

    @strawberry.field(description="The company whose data the caller reaches.")
    async def company(self, info: Info) -> str:
        return (await info.context.use_cases.access.company(info.context.principal)).name

    @strawberry.field(description="The company's keys, newest first.")
    async def api_keys(self, info: Info) -> list[ApiKey]:
        keys = await info.context.use_cases.access.keys(info.context.principal)
        return [ApiKey.of(key) for key in keys]


@strawberry.type
class Query:
    @strawberry.field(description="Every operation that a plugin provides.")
    def operations(self, info: Info) -> list[Operation]:
        return [Operation.of(o) for o in info.context.use_cases.host.operations.values()]

    @strawberry.field(description="Every plugin, with what failed in it.")
    def plugins(self, info: Info) -> list[Plugin]:
        return list_plugins(info.context.use_cases)

    @strawberry.field
    def viewer(self, info: Info) -> Viewer:
        return Viewer(name=info.context.principal.name)

    @strawberry.field(
        description="The end of the event log: read this, then what you follow, then subscribe "
        "with it as `after`, and nothing that happens meanwhile is missed."
    )
    async def event_cursor(self, info: Info) -> Cursor:
        return Cursor(await info.context.use_cases.events.position())

    @strawberry.field(description="Whatever has this id; null when the caller has nothing such.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        identity = canonical_id(id)
        kind = await _kind_of(info, identity) if identity else None
        if identity is None or kind is None:
            return None
        listing, node = _NODES[kind]
        return await _find(info, listing, node, identity)

    @strawberry.field
    async def dataset(self, info: Info, id: strawberry.ID) -> Dataset | None:
        return await _find(info, core_datasets.LISTING, Dataset, id)

    @strawberry.field
    async def datasets(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: DatasetFilterInput | None = None,
    ) -> Connection[Dataset]:
        conditions = filter.conditions() if filter else []
        source = Source(info.context, core_datasets.LISTING, conditions, None)
        return await Connection[Dataset].read(source, page_request(info, first, after), Dataset.of)

    @strawberry.field
    async def image(self, info: Info, id: strawberry.ID) -> Image | None:
        return await _find(info, core_images.LISTING, Image, id)

    @strawberry.field
    async def images(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: ImageFilterInput | None = None,
    ) -> Connection[Image]:
        return await read_images(info, first, after, filter)

    @strawberry.field
    async def analysis(self, info: Info, id: strawberry.ID) -> Analysis | None:
        return await _find(info, core_analyses.LISTING, Analysis, id)

    @strawberry.field
    async def analyses(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: AnalysisFilterInput | None = None,
        order_by: AnalysisOrder = AnalysisOrder.CREATED_ASC,
    ) -> Connection[Analysis]:
        return await read_analyses(info, first, after, filter, order_by)


async def _find(info: Info, listing: Listing[Any], kind: Any, identity: str) -> Any | None:
    found = canonical_id(identity)
    record = await info.context.loaders.by_id(listing, found) if found else None
    return None if record is None else kind.of(record)


async def _kind_of(info: Info, identity: str) -> str | None:
    """Which of the caller's tables holds the id: ids are unique over all of them."""
    company_id = info.context.principal.company_id
    lookups = [
        select(literal(name)).where(
            listing.table.c.id == identity, listing.table.c.company_id == company_id
        )
        for name, (listing, _) in _NODES.items()
    ]
    async with info.context.use_cases.database.read() as connection:
        kind: str | None = (await connection.execute(union_all(*lookups))).scalar()
    return kind
