"""What people add to images and datasets, as GraphQL shows it: classes, comments, deletions."""

from datetime import datetime
from typing import Any, Self

import strawberry

from opsin.core import comments as core_comments
from opsin.core import deletion_log
from opsin.core import image_classes as core_classes
from opsin.core.deletion_log import DeletionAction
from opsin.core.errors import NotFound
from opsin.core.pages import Listing, Order, Wanted
from opsin.core.records import Image as ImageRecord
from opsin.graphql.compiler.rules import Computed, Parent, Reads
from opsin.graphql.connections import DEFAULT_PAGE, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.nodes import Node
from opsin.storage.curation import (
    image_classes,
    image_classifications,
    image_comments,
    image_deletions,
)

PERSONAL_FIELD = "isMine"
"""The field whose value depends on who of a company asks."""

strawberry.enum(DeletionAction, description="What was done to an image.")


@strawberry.type(description="A label that the images of a dataset may be given.")
class ImageClass(Node):
    name: str
    description: str | None
    created_at: datetime
    updated_at: datetime | None


@strawberry.type(description="An image's class, as somebody has seen it.")
class ImageClassification(Node):
    created_by_name: str | None = strawberry.field(
        name="createdBy", description="The name of the account or the API key."
    )
    created_at: datetime

    @strawberry.field
    async def image_class(self, info: Info) -> ImageClass:
        found = await info.context.loaders.by_id(core_classes.LISTING, self.record.class_id)
        if found is None:
            raise NotFound("Image class not found")
        return ImageClass.of(found)

    @strawberry.field(description="Whether the caller made it, and so may take it back.")
    def is_mine(self, info: Info) -> bool:
        return _is_mine(info.context, self.record.created_by)


@strawberry.type(description="What somebody says of an image.")
class Comment(Node):
    text: str
    author_name: str = strawberry.field(
        name="author", description="The name of the account or the API key."
    )
    created_at: datetime
    updated_at: datetime | None = strawberry.field(description="Null while it is as it was made.")

    @strawberry.field(description="Whether the caller wrote it, and so may change it.")
    def is_mine(self, info: Info) -> bool:
        return _is_mine(info.context, self.record.author_id)


@strawberry.type(description="That an image is deleted, though not yet for good.")
class ImageDeletion:
    deleted_at: datetime
    deleted_by: str | None
    reason: str | None
    purge_at: datetime | None = strawberry.field(
        description="When the image is deleted for good, with its analyses."
    )
    file_deleted: bool = strawberry.field(
        description="Whether its file is gone already, with which it would not come back."
    )

    @classmethod
    def of(cls, image: ImageRecord) -> Self | None:
        """How an image is deleted; None when it is not."""
        if image.deleted_at is None:
            return None
        return cls(
            deleted_at=image.deleted_at,
            deleted_by=image.deleted_by,
            reason=image.deletion_reason,
            purge_at=image.pending_hard_delete_at,
            file_deleted=image.storage_deleted,
        )


@strawberry.type(description="A deletion or a restoration that was made in a dataset.")
class ImageDeletionEvent(Node):
    action: DeletionAction
    actor: str = strawberry.field(description="The name of the account or the API key.")
    reason: str | None
    image_id: strawberry.ID
    filename: str
    created_at: datetime


def wanted_oldest(context: Context, first: int = DEFAULT_PAGE, after: str | None = None) -> Wanted:
    return Wanted(page_request(context, first, after))


def wanted_newest(context: Context, first: int = DEFAULT_PAGE, after: str | None = None) -> Wanted:
    return Wanted(page_request(context, first, after, Order(descending=True)))


def _is_mine(context: Context, identity: str) -> bool:
    return identity == context.principal.identity


def _deletion(
    _context: Context,
    deleted_at: str | None,
    deleted_by: str | None,
    reason: str | None,
    purge_at: str | None,
    file_deleted: bool,
) -> ImageDeletion | None:
    if deleted_at is None:
        return None
    return ImageDeletion(
        deleted_at=datetime.fromisoformat(deleted_at),
        deleted_by=deleted_by,
        reason=reason,
        purge_at=datetime.fromisoformat(purge_at) if purge_at else None,
        file_deleted=file_deleted,
    )


DELETION = Computed(
    ("deleted_at", "deleted_by", "deletion_reason", "pending_hard_delete_at", "storage_deleted"),
    _deletion,
)
"""How `Image.deletion` is read."""

READS = {
    "ImageClass": Reads(image_classes),
    "ImageClassification": Reads(
        image_classifications,
        {
            "image_class": Parent("class_id", "ImageClass"),
            "is_mine": Computed(("created_by",), _is_mine),
        },
    ),
    "Comment": Reads(image_comments, {"is_mine": Computed(("author_id",), _is_mine)}),
    "ImageDeletionEvent": Reads(image_deletions),
}

NODES: dict[str, tuple[Listing[Any], Any]] = {
    "ImageClass": (core_classes.LISTING, ImageClass),
    "ImageClassification": (core_classes.CLASSIFICATIONS, ImageClassification),
    "Comment": (core_comments.LISTING, Comment),
    "ImageDeletionEvent": (deletion_log.LISTING, ImageDeletionEvent),
}
"""What `node` finds of them."""
