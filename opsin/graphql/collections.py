"""Collections, their members and their classifiers as GraphQL shows them."""

from datetime import datetime
from typing import Any, Self

import strawberry
from strawberry.scalars import JSON

from opsin.core import images as core_images
from opsin.core.collections import collections as core
from opsin.core.collections.inputs import CollectionInput as CoreInput
from opsin.core.conditions import Condition, equal
from opsin.core.pages import Order, Wanted
from opsin.graphql.compiler.rules import Children, Computed, Counted, Parent, Reads
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.given import plain_text
from opsin.graphql.images import Image
from opsin.graphql.nodes import Node
from opsin.graphql.targets import FaceContext, Target
from opsin.storage.tables import classifiers, collection_members, collections


@strawberry.type(description="An embedding; a member is made of one or more of them.")
class CollectionEmbedding:
    operation: str
    version: str = strawberry.field(description="Another version gives other numbers.")
    target: Target | None = strawberry.field(
        description="Null when whoever classifies a picture chooses it."
    )
    face_context: FaceContext | None = strawberry.field(description="Null unless the face is used.")
    params: JSON

    @classmethod
    def of(cls, one: CoreInput) -> Self:
        return cls(
            operation=one.operation,
            version=one.version,
            target=one.target,
            face_context=one.face_context,
            params=JSON(one.params),
        )


@strawberry.type(description="A labelled embedding.")
class CollectionMember(Node):
    label: str
    source_key: str | None = strawberry.field(description="Its name where it came from.")
    attributes: JSON
    model_fingerprints: list[str] = strawberry.field(
        description="The model of each of the collection's inputs."
    )
    dimensions: int
    created_at: datetime

    @strawberry.field(
        description="The picture it was made of; null when that is gone, or elsewhere."
    )
    async def image(self, info: Info) -> Image | None:
        if self.record.image_id is None:
            return None
        found = await info.context.loaders.by_id(core_images.LISTING, self.record.image_id)
        return None if found is None else Image.of(found)


@strawberry.type(description="A classifier trained on a collection's members.")
class Classifier(Node):
    digest: str = strawberry.field(description="sha256 of its numbers and what they came from.")
    is_best: bool = strawberry.field(description="Whether it is the one that `classify` uses.")
    score: float | None = strawberry.field(
        description="Mean precision of both classes in the last bake-off; null if not scored."
    )
    metrics: JSON = strawberry.field(description="What else the last bake-off said.")
    created_at: datetime


@strawberry.type(description="How many members have a label.")
class LabelCount:
    label: str
    count: int


@strawberry.input(name="MemberFilter", description="Every field given must hold.")
class MemberFilterInput:
    label: str | None = None
    source_key: str | None = None

    def conditions(self) -> tuple[Condition, ...]:
        return (
            *equal("label", plain_text(self.label, "label")),
            *equal("source_key", plain_text(self.source_key, "sourceKey")),
        )


@strawberry.type(description="Labelled embeddings: a classifier's training set, or a gallery.")
class Collection(Node):
    key: str = strawberry.field(description="How operations name it.")
    name: str
    description: str
    created_at: datetime
    updated_at: datetime = strawberry.field(description="When its members changed last.")

    @strawberry.field(description="How its members are embedded; their vectors are joined.")
    def inputs(self) -> list[CollectionEmbedding]:
        return [CollectionEmbedding.of(one) for one in core.inputs_of(self.record)]

    @strawberry.field(description="Every label with the number of its members.")
    async def labels(self, info: Info) -> list[LabelCount]:
        counts = await info.context.loaders.labels(self.id)
        return [LabelCount(label=label, count=count) for label, count in counts.items()]

    @strawberry.field(description="Oldest first.")
    async def members(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: MemberFilterInput | None = None,
    ) -> Connection[CollectionMember]:
        wanted = wanted_members(info.context, first, after, filter)
        source = Source(info.context, core.MEMBERS, wanted, self.id)
        return await Connection[CollectionMember].read(source, CollectionMember.of)

    @strawberry.field(description="Newest first.")
    async def classifiers(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Classifier]:
        wanted = wanted_classifiers(info.context, first, after)
        source = Source(info.context, core.CLASSIFIERS, wanted, self.id)
        return await Connection[Classifier].read(source, Classifier.of)


def wanted_members(
    context: Context,
    first: int = DEFAULT_PAGE,
    after: str | None = None,
    filter: MemberFilterInput | None = None,
) -> Wanted:
    return Wanted(page_request(context, first, after), filter.conditions() if filter else ())


def wanted_classifiers(
    context: Context, first: int = DEFAULT_PAGE, after: str | None = None
) -> Wanted:
    return Wanted(page_request(context, first, after, Order(descending=True)))


def wanted_collections(
    context: Context, first: int = DEFAULT_PAGE, after: str | None = None
) -> Wanted:
    return Wanted(page_request(context, first, after))


@strawberry.type
class CollectionQuery:
    @strawberry.field(description="The collection with this key.")
    async def collection(self, info: Info, key: str) -> Collection | None:
        found = await info.context.use_cases.collections.find(info.context.principal, key)
        return None if found is None else Collection.of(found)

    @strawberry.field(description="Oldest first.")
    async def collections(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Connection[Collection]:
        source = Source(info.context, core.LISTING, wanted_collections(info.context, first, after))
        return await Connection[Collection].read(source, Collection.of)


def _inputs(_context: Context, inputs: list[dict[str, Any]]) -> list[CollectionEmbedding]:
    return [CollectionEmbedding.of(one) for one in core.stored_inputs(inputs)]


def _labels(_context: Context, counts: list[tuple[str, int]]) -> list[LabelCount]:
    return [LabelCount(label=label, count=count) for label, count in counts]


_BY_LABEL = Counted(collection_members, "label", {"collection_id": "id"})

READS = {
    "Collection": Reads(
        collections,
        {
            "inputs": Computed(("inputs",), _inputs),
            "labels": Computed((_BY_LABEL,), _labels),
            "members": Children(core.MEMBERS, "CollectionMember", wanted_members),
            "classifiers": Children(core.CLASSIFIERS, "Classifier", wanted_classifiers),
        },
    ),
    "CollectionMember": Reads(collection_members, {"image": Parent("image_id", "Image")}),
    "Classifier": Reads(classifiers),
}
