"""The mutations of collections: made, filled, emptied, trained on, deleted."""

import base64
from dataclasses import asdict
from datetime import datetime
from typing import Self

import strawberry
from strawberry.scalars import JSON

from opsin.core.classifiers.bake_off import Standing
from opsin.core.classifiers.training import TrainingReport
from opsin.core.collections.collections import MemberChoice, NewCollection
from opsin.core.collections.enrolment import Enrolled, ImageMembers, NewMember
from opsin.core.collections.inputs import NewInput
from opsin.core.errors import InvalidInput
from opsin.graphql.collections import Collection, LabelCount
from opsin.graphql.context import Info
from opsin.graphql.given import json_object
from opsin.graphql.mutations import DeletePayload
from opsin.graphql.targets import FaceContext, Target


@strawberry.input(description="An embedding that the collection's members are made of.")
class CollectionEmbeddingInput:
    operation: str
    target: Target | None = strawberry.field(
        default=None, description="Default: that of the operation."
    )
    face_context: FaceContext | None = None
    params: JSON | None = None

    def as_new(self) -> NewInput:
        params = json_object(self.params, "params") or {}
        return NewInput(self.operation, self.target, self.face_context, params)


@strawberry.input
class CreateCollectionInput:
    key: str = strawberry.field(description="A text, or an integer as text.")
    inputs: list[CollectionEmbeddingInput] = strawberry.field(
        description="Several are joined in order."
    )
    name: str = strawberry.field(default="", description="Default: the key.")
    description: str = ""


@strawberry.input(description="An embedding made elsewhere.")
class VectorMemberInput:
    label: str
    # Not lists of floats: GraphQL would check a million numbers one by one, on the event loop.
    vectors: JSON = strawberry.field(
        description="A list with one for each input: a list of numbers, or base64 text of float32 "
        "values, little-endian."
    )
    source_key: str | None = None
    attributes: JSON | None = None

    def as_new(self) -> NewMember:
        attributes = json_object(self.attributes, "attributes") or {}
        if not isinstance(self.vectors, list):
            raise InvalidInput("vectors must be a list of vectors")
        vectors = [_decoded(one) if isinstance(one, str) else one for one in self.vectors]
        return NewMember(self.label, vectors, self.source_key, attributes)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidInput("a vector is a list of numbers or base64 text") from None


@strawberry.input(
    description="Give imageIds with their label, or vectors with their modelFingerprints."
)
class AddCollectionMembersInput:
    collection: str = strawberry.field(description="The collection's key.")
    image_ids: list[strawberry.ID] | None = None
    label: str | None = None
    attributes: JSON | None = None
    vectors: list[VectorMemberInput] | None = None
    model_fingerprints: list[str] | None = strawberry.field(
        default=None, description="For vectors: the model of each input."
    )


@strawberry.input(description="Members with any of these are meant.")
class RemoveCollectionMembersInput:
    collection: str = strawberry.field(description="The collection's key.")
    ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    labels: list[str] = strawberry.field(default_factory=list)
    source_keys: list[str] = strawberry.field(default_factory=list)


@strawberry.type(description="An image that did not become a member.")
class LeftOutImage:
    image_id: strawberry.ID
    error_code: str
    error_message: str


@strawberry.type
class AddCollectionMembersPayload:
    collection: Collection
    added_count: int
    left_out: list[LeftOutImage]

    @classmethod
    def of(cls, enrolled: Enrolled) -> Self:
        left_out = [
            LeftOutImage(
                image_id=strawberry.ID(one.image_id),
                error_code=one.error.code,
                error_message=one.error.message,
            )
            for one in enrolled.left_out
        ]
        collection = Collection.of(enrolled.collection)
        return cls(collection=collection, added_count=enrolled.added, left_out=left_out)


@strawberry.type
class RemoveCollectionMembersPayload:
    collection: Collection
    removed_count: int


@strawberry.type(description="How good a classifier's decisions were on rows it did not know.")
class ClassifierScore:
    precision: float = strawberry.field(description="Mean of both classes.")
    accuracy: float
    rows: int


@strawberry.type(description="A classifier's place in the bake-off.")
class ClassifierStanding:
    digest: str
    created_at: datetime
    rank: int | None = strawberry.field(description="From 1; null if it cannot be compared.")
    score: ClassifierScore | None
    note: str | None = strawberry.field(description="Why it has no score, or that it is a tie.")
    is_new: bool
    is_best: bool
    is_kept: bool

    @classmethod
    def of(cls, standing: Standing, report: TrainingReport) -> Self:
        score = standing.score
        return cls(
            digest=standing.candidate.digest,
            created_at=standing.candidate.created_at,
            rank=standing.rank,
            score=None if score is None else ClassifierScore(**asdict(score)),
            note=standing.note,
            is_new=standing is report.new,
            is_best=standing is report.best,
            is_kept=standing.is_kept,
        )


@strawberry.type(description="Members that were not trained on.")
class LeftOutMembers:
    reason: str
    count: int


@strawberry.type(description="What came of a training.")
class TrainClassifierPayload:
    collection: Collection
    new: ClassifierStanding
    standings: list[ClassifierStanding] = strawberry.field(description="Best first.")
    members: list[LabelCount]
    trained: list[LabelCount]
    held_out: list[LabelCount]
    left_out: list[LeftOutMembers]

    @classmethod
    def of(cls, report: TrainingReport) -> Self:
        return cls(
            collection=Collection.of(report.collection),
            new=ClassifierStanding.of(report.new, report),
            standings=[ClassifierStanding.of(one, report) for one in report.standings],
            members=_counts(report.members),
            trained=_counts(report.trained),
            held_out=_counts(report.held_out),
            left_out=[LeftOutMembers(reason=r, count=n) for r, n in report.left_out.items()],
        )


def _counts(counts: dict[str, int]) -> list[LabelCount]:
    return [LabelCount(label=label, count=count) for label, count in sorted(counts.items())]


@strawberry.type
class CollectionMutation:
    @strawberry.mutation(description="A new, empty collection.")
    async def create_collection(self, info: Info, input: CreateCollectionInput) -> Collection:
        inputs = [one.as_new() for one in input.inputs]
        new = NewCollection(input.key, inputs, input.name, input.description)
        made = await info.context.use_cases.collections.create(info.context.principal, new)
        return Collection.of(made)

    @strawberry.mutation(
        description="Label stored images, which are embedded now unless they have been, or vectors."
    )
    async def add_collection_members(
        self, info: Info, input: AddCollectionMembersInput
    ) -> AddCollectionMembersPayload:
        principal, enrolment = info.context.principal, info.context.use_cases.enrolment
        if (input.image_ids is None) == (input.vectors is None):
            raise InvalidInput("Give either imageIds or vectors")
        if input.image_ids is not None:
            if input.label is None:
                raise InvalidInput("imageIds need a label")
            attributes = json_object(input.attributes, "attributes") or {}
            images = ImageMembers(input.image_ids, input.label, attributes)
            enrolled = await enrolment.add_images(principal, input.collection, images)
        else:
            members = [one.as_new() for one in input.vectors or ()]
            fingerprints = input.model_fingerprints or []
            enrolled = await enrolment.add_vectors(
                principal, input.collection, members, fingerprints
            )
        return AddCollectionMembersPayload.of(enrolled)

    @strawberry.mutation
    async def remove_collection_members(
        self, info: Info, input: RemoveCollectionMembersInput
    ) -> RemoveCollectionMembersPayload:
        choice = MemberChoice(input.ids, input.labels, input.source_keys)
        collection, removed = await info.context.use_cases.collections.remove(
            info.context.principal, input.collection, choice
        )
        return RemoveCollectionMembersPayload(
            collection=Collection.of(collection), removed_count=removed
        )

    @strawberry.mutation(description="Delete a collection with its members and classifiers.")
    async def delete_collection(self, info: Info, key: str) -> DeletePayload:
        deleted = await info.context.use_cases.collections.delete(info.context.principal, key)
        return DeletePayload(deleted_id=strawberry.ID(deleted))

    @strawberry.mutation(
        description="Train on members labelled `true` and `false`; the best classifier is used."
    )
    async def train_classifier(self, info: Info, collection: str) -> TrainClassifierPayload:
        report = await info.context.use_cases.classifiers.train(info.context.principal, collection)
        return TrainClassifierPayload.of(report)
