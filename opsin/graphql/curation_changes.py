"""The mutations of curation: deletion with a reason, classes, comments, metadata."""

from typing import Any

import strawberry
from strawberry.scalars import JSON

from opsin.core.errors import InvalidInput
from opsin.graphql.context import Info
from opsin.graphql.curation import Comment, ImageClass, ImageClassification
from opsin.graphql.datasets import Dataset
from opsin.graphql.given import json_object
from opsin.graphql.images import Image
from opsin.graphql.mutations import DeletePayload


@strawberry.input
class SoftDeleteImageInput:
    image_id: strawberry.ID
    reason: str = strawberry.field(description="Kept in the dataset's list of deletions.")
    force: bool = strawberry.field(
        default=False, description="Delete its file at once: it cannot be restored then."
    )


@strawberry.input
class CreateImageClassInput:
    dataset_id: strawberry.ID
    name: str = strawberry.field(description="Need not be unique.")
    description: str | None = None


@strawberry.input(description="What is not given stays.")
class UpdateImageClassInput:
    id: strawberry.ID
    name: str | None = strawberry.UNSET
    description: str | None = strawberry.field(
        default=strawberry.UNSET, description="Null takes it away."
    )

    def changes(self) -> dict[str, str | None]:
        given = {"name": self.name, "description": self.description}
        return {name: value for name, value in given.items() if value is not strawberry.UNSET}


@strawberry.input(description="The class must be one of the image's dataset.")
class ClassifyImageInput:
    image_id: strawberry.ID
    class_id: strawberry.ID


@strawberry.input
class CreateCommentInput:
    image_id: strawberry.ID
    text: str


@strawberry.input
class UpdateCommentInput:
    id: strawberry.ID
    text: str


@strawberry.input(description="Give exactly one of datasetId and imageId.")
class SetMetadataInput:
    entries: JSON = strawberry.field(description="An object: keys and their new values.")
    dataset_id: strawberry.ID | None = None
    image_id: strawberry.ID | None = None


@strawberry.input(description="Give exactly one of datasetId and imageId.")
class RemoveMetadataInput:
    keys: list[str]
    dataset_id: strawberry.ID | None = None
    image_id: strawberry.ID | None = None


@strawberry.type(description="What has the metadata: one of both is null.")
class MetadataPayload:
    dataset: Dataset | None = None
    image: Image | None = None


@strawberry.type
class CurationMutation:
    @strawberry.mutation(
        description="Hide an image from every list until it is restored, or deleted for good."
    )
    async def soft_delete_image(self, info: Info, input: SoftDeleteImageInput) -> Image:
        changed = await info.context.use_cases.image_deletions.delete(
            info.context.principal, None, input.image_id, input.reason, force=input.force
        )
        return Image.of(changed)

    @strawberry.mutation(description="Show a deleted image again.")
    async def restore_image(
        self, info: Info, id: strawberry.ID, reason: str | None = None
    ) -> Image:
        changed = await info.context.use_cases.image_deletions.restore(
            info.context.principal, None, id, reason
        )
        return Image.of(changed)

    @strawberry.mutation
    async def create_image_class(self, info: Info, input: CreateImageClassInput) -> ImageClass:
        made = await info.context.use_cases.image_classes.create(
            info.context.principal, input.dataset_id, input.name, input.description
        )
        return ImageClass.of(made)

    @strawberry.mutation
    async def update_image_class(self, info: Info, input: UpdateImageClassInput) -> ImageClass:
        changed = await info.context.use_cases.image_classes.change(
            info.context.principal, input.id, input.changes()
        )
        return ImageClass.of(changed)

    @strawberry.mutation(description="Delete a class that no image has.")
    async def delete_image_class(self, info: Info, id: strawberry.ID) -> DeletePayload:
        deleted = await info.context.use_cases.image_classes.delete(info.context.principal, id)
        return DeletePayload(deleted_id=strawberry.ID(deleted.id))

    @strawberry.mutation(
        description="Give an image a class; several people may agree, and each counts once."
    )
    async def classify_image(self, info: Info, input: ClassifyImageInput) -> ImageClassification:
        made = await info.context.use_cases.image_classes.classify(
            info.context.principal, input.image_id, input.class_id, once=True
        )
        return ImageClassification.of(made)

    @strawberry.mutation(description="Take a classification back that the caller has made.")
    async def declassify_image(self, info: Info, id: strawberry.ID) -> DeletePayload:
        deleted = await info.context.use_cases.image_classes.declassify(info.context.principal, id)
        return DeletePayload(deleted_id=strawberry.ID(deleted))

    @strawberry.mutation
    async def create_comment(self, info: Info, input: CreateCommentInput) -> Comment:
        made = await info.context.use_cases.comments.create(
            info.context.principal, input.image_id, input.text
        )
        return Comment.of(made)

    @strawberry.mutation(description="Change a comment of the caller's own.")
    async def update_comment(self, info: Info, input: UpdateCommentInput) -> Comment:
        changed = await info.context.use_cases.comments.change(
            info.context.principal, input.id, input.text
        )
        return Comment.of(changed)

    @strawberry.mutation(description="Delete a comment of the caller's own.")
    async def delete_comment(self, info: Info, id: strawberry.ID) -> DeletePayload:
        deleted = await info.context.use_cases.comments.delete(info.context.principal, id)
        return DeletePayload(deleted_id=strawberry.ID(deleted))

    @strawberry.mutation(description="Set some keys of a dataset or an image; others stay.")
    async def set_metadata(self, info: Info, input: SetMetadataInput) -> MetadataPayload:
        entries = json_object(input.entries, "entries") or {}
        principal, metadata = info.context.principal, info.context.use_cases.metadata
        if _is_of_image(input):
            changed = await metadata.set_many_of_image(principal, input.image_id or "", entries)
            return MetadataPayload(image=Image.of(changed))
        await metadata.set_many(principal, input.dataset_id or "", entries)
        dataset = await info.context.use_cases.datasets.get(principal, input.dataset_id or "")
        return MetadataPayload(dataset=Dataset.of(dataset))

    @strawberry.mutation(description="Remove some keys, all or none.")
    async def remove_metadata(self, info: Info, input: RemoveMetadataInput) -> MetadataPayload:
        principal, metadata = info.context.principal, info.context.use_cases.metadata
        if _is_of_image(input):
            image_id = input.image_id or ""
            changed = await metadata.remove_many_of_image(principal, image_id, input.keys)
            return MetadataPayload(image=Image.of(changed))
        dataset = await metadata.remove_many(principal, input.dataset_id or "", input.keys)
        return MetadataPayload(dataset=Dataset.of(dataset))


def _is_of_image(input: Any) -> bool:
    """Whether an image is named, and not a dataset; InvalidInput for both or none."""
    if (input.dataset_id is None) == (input.image_id is None):
        raise InvalidInput("Give exactly one of datasetId and imageId")
    return input.image_id is not None
