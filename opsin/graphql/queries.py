"""The roots of every read."""

from typing import Any

import strawberry
from sqlalchemy import literal, select, union_all

from opsin.core import analyses as core_analyses
from opsin.core import annotations as core_annotations
from opsin.core import artifacts as core_artifacts
from opsin.core import datasets as core_datasets
from opsin.core import images as core_images
from opsin.core.applications.records import RUNS
from opsin.core.collections import collections as core_collections
from opsin.core.collections.collections import plain_key
from opsin.core.pages import Listing
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.soft_deletion import DeletedRows
from opsin.graphql import (
    analyses,
    annotations,
    collections,
    curation,
    datasets,
    images,
    runs,
    subjects,
)
from opsin.graphql.accounts import (
    Account,
    PrivateToken,
    ReachedCompany,
    account_of,
    private_tokens,
    reached_companies,
)
from opsin.graphql.analyses import Analysis, AnalysisFilterInput, AnalysisOrder, wanted_analyses
from opsin.graphql.annotations import Annotation, Artifact
from opsin.graphql.collections import Classifier, Collection, CollectionMember, wanted_collections
from opsin.graphql.compiler.rules import AnyOne, Children, LogEnd, One, Rules
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source
from opsin.graphql.context import Info
from opsin.graphql.datasets import Dataset
from opsin.graphql.image_filter import (
    DatasetFilterInput,
    ImageFilterInput,
    ImageOrder,
    wanted_datasets,
    wanted_images,
)
from opsin.graphql.images import Image
from opsin.graphql.nodes import Node
from opsin.graphql.operations import Operation, Plugin, list_plugins
from opsin.graphql.roles import ApiKey, permissions_of
from opsin.graphql.runs import Run, RunFilterInput, wanted_runs
from opsin.graphql.scalars import Cursor
from opsin.graphql.subjects import BATCHES, SUBJECTS, Batch, Subject
from opsin.storage.ids import canonical_id

_NODES: dict[str, tuple[Listing[Any], Any]] = {
    "Dataset": (core_datasets.LISTING, Dataset),
    "Image": (core_images.LISTING, Image),
    "Analysis": (core_analyses.LISTING, Analysis),
    "Annotation": (core_annotations.LISTING, Annotation),
    "Artifact": (core_artifacts.LISTING, Artifact),
    "Subject": (SUBJECTS, Subject),
    "Batch": (BATCHES, Batch),
    "Run": (RUNS, Run),
    "Collection": (core_collections.LISTING, Collection),
    "CollectionMember": (core_collections.MEMBERS, CollectionMember),
    "Classifier": (core_collections.CLASSIFIERS, Classifier),
    **curation.NODES,
}


@strawberry.type(description="The caller.")
class Viewer:
    name: str

    @strawberry.field(description="The company whose data the caller reaches.")
    async def company(self, info: Info) -> str:
        return (await info.context.use_cases.access.company(info.context.principal)).name

    @strawberry.field(description="The id of that company.")
    def company_id(self, info: Info) -> strawberry.ID:
        return strawberry.ID(info.context.principal.company_id)

    @strawberry.field(description="Null for a company's key, and without one.")
    async def account(self, info: Info) -> Account | None:
        found = await account_of(info.context)
        return None if found is None else Account.of(found)

    @strawberry.field(description="Every company that the caller may act for, by name.")
    async def companies(self, info: Info) -> list[ReachedCompany]:
        return await reached_companies(info.context)

    @strawberry.field(description="Those of the caller's account, by number.")
    async def private_tokens(self, info: Info) -> list[PrivateToken]:
        return await private_tokens(info.context)

    @strawberry.field(
        description="The company's keys, newest first; none for who does not read all of it."
    )
    async def api_keys(self, info: Info) -> list[ApiKey]:
        use_cases, principal = info.context.use_cases, info.context.principal
        datasets = await use_cases.role_grants.of_keys(principal)
        keys = await use_cases.api_keys.listed(principal)
        return [ApiKey.with_datasets(key, datasets.get(key.id, ())) for key in keys]

    @strawberry.field(
        description="What the caller may do: in the whole company, or in the dataset that is named."
    )
    async def permissions(
        self, info: Info, dataset_id: strawberry.ID | None = None
    ) -> list[Permission]:
        return await permissions_of(info, dataset_id)


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
        return Cursor(await info.context.use_cases.events.position_for(info.context.principal))

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
        wanted = wanted_datasets(info.context, first, after, filter)
        source = Source(info.context, core_datasets.LISTING, wanted)
        return await Connection[Dataset].read(source, Dataset.of)

    @strawberry.field
    async def image(
        self,
        info: Info,
        id: strawberry.ID,
        deleted: DeletedRows = DeletedRows.EXCLUDED,
    ) -> Image | None:
        return await _find(info, core_images.LISTING, Image, id, deleted)

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
        return await Connection[Image].read(
            Source(info.context, core_images.LISTING, wanted), Image.of
        )

    @strawberry.field
    async def subject(self, info: Info, id: strawberry.ID) -> Subject | None:
        return await _find(info, SUBJECTS, Subject, id)

    @strawberry.field
    async def batch(self, info: Info, id: strawberry.ID) -> Batch | None:
        return await _find(info, BATCHES, Batch, id)

    @strawberry.field
    async def run(self, info: Info, id: strawberry.ID) -> Run | None:
        return await _find(info, RUNS, Run, id)

    @strawberry.field(description="Oldest first.")
    async def runs(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: RunFilterInput | None = None,
    ) -> Connection[Run]:
        wanted = wanted_runs(info.context, first, after, filter)
        return await Connection[Run].read(Source(info.context, RUNS, wanted), Run.of)

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
        wanted = wanted_analyses(info.context, first, after, filter, order_by)
        source = Source(info.context, core_analyses.LISTING, wanted)
        return await Connection[Analysis].read(source, Analysis.of)


async def _find(
    info: Info,
    listing: Listing[Any],
    kind: Any,
    identity: str,
    deleted: DeletedRows = DeletedRows.EXCLUDED,
) -> Any | None:
    found = canonical_id(identity)
    record = await info.context.loaders.asked_for(listing, found, deleted) if found else None
    return None if record is None else kind.of(record)


async def _kind_of(info: Info, identity: str) -> str | None:
    """Which of the caller's tables holds the id: ids are unique over all of them."""
    principal = info.context.principal
    lookups = [
        select(literal(name)).where(
            listing.table.c.id == identity, within(principal, listing.table)
        )
        for name, (listing, _) in _NODES.items()
    ]
    async with info.context.use_cases.database.read() as connection:
        kind: str | None = (await connection.execute(union_all(*lookups))).scalar()
    return kind


RULES = Rules(
    types={
        **datasets.READS,
        **subjects.READS,
        **images.READS,
        **runs.READS,
        **analyses.READS,
        **annotations.READS,
        **collections.READS,
        **curation.READS,
    },
    roots={
        "event_cursor": LogEnd(),
        "node": AnyOne(),
        "dataset": One("Dataset", value=canonical_id),
        "datasets": Children(core_datasets.LISTING, "Dataset", wanted_datasets),
        "image": One("Image", value=canonical_id),
        "images": Children(core_images.LISTING, "Image", wanted_images),
        "subject": One("Subject", value=canonical_id),
        "batch": One("Batch", value=canonical_id),
        "run": One("Run", value=canonical_id),
        "runs": Children(RUNS, "Run", wanted_runs),
        "analysis": One("Analysis", value=canonical_id),
        "analyses": Children(core_analyses.LISTING, "Analysis", wanted_analyses),
        "collection": One("Collection", argument="key", column="key", value=plain_key),
        "collections": Children(core_collections.LISTING, "Collection", wanted_collections),
    },
)
"""How reads are compiled; what is not in it goes through the resolvers."""
