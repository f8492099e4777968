"""Comments on images: written by a caller, changed and deleted by nobody else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.datasets import require_text
from opsin.core.errors import Forbidden, NotFound
from opsin.core.images import require_image
from opsin.core.pages import Listing
from opsin.core.records import Image, columns_of, from_values, to_record
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.storage.curation import image_comments
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import canonical_id, new_id

_LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class Comment:
    id: str
    company_id: str
    image_id: str
    text: str
    author_id: str
    author_name: str
    created_at: datetime
    updated_at: datetime | None


LISTING = Listing(image_comments, Comment, parent="image_id")


class Comments:
    """Keeps what people say of images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, image_id: str, text: str) -> Comment:
        text = require_text(text, "text", _LONGEST)
        async with self._database.write() as transaction:
            image = await require_image(transaction.connection, principal, image_id, keep=True)
            principal.require(Permission.ANNOTATE, image.dataset_id)
            values = {
                "id": new_id(),
                "company_id": image.company_id,
                "image_id": image.id,
                "text": text,
                "author_id": principal.identity,
                "author_name": principal.name[:320],
                "created_at": datetime.now(UTC),
            }
            await transaction.connection.execute(insert(image_comments).values(values))
            made = from_values(Comment, values)
            _note(transaction, principal, "create", made, image)
        return made

    async def listed(self, principal: Principal, image_id: str) -> Sequence[Comment]:
        """The comments on an image, oldest first."""
        async with self._database.read() as connection:
            image = await require_image(connection, principal, image_id)
            statement = (
                select(*columns_of(image_comments, Comment))
                .where(image_comments.c.image_id == image.id)
                .order_by(image_comments.c.id)
            )
            return [to_record(Comment, row) for row in await connection.execute(statement)]

    async def get(self, principal: Principal, comment_id: str) -> Comment:
        async with self._database.read() as connection:
            return await _require(connection, principal, comment_id)

    async def change(self, principal: Principal, comment_id: str, text: str) -> Comment:
        """Another text; Forbidden for all but the author."""
        text = require_text(text, "text", _LONGEST)
        async with self._database.write() as transaction:
            comment, image = await _own(transaction.connection, principal, comment_id)
            _note(transaction, principal, "update", comment, image)
            await transaction.connection.execute(
                update(image_comments)
                .where(image_comments.c.id == comment.id)
                .values(text=text, updated_at=datetime.now(UTC))
            )
            return await _require(transaction.connection, principal, comment_id)

    async def delete(self, principal: Principal, comment_id: str) -> str:
        """Forbidden for all but the author; gives its id."""
        async with self._database.write() as transaction:
            comment, image = await _own(transaction.connection, principal, comment_id)
            _note(transaction, principal, "delete", comment, image)
            await transaction.connection.execute(
                delete(image_comments).where(image_comments.c.id == comment.id)
            )
        return comment.id


async def _own(
    connection: AsyncConnection, principal: Principal, comment_id: str
) -> tuple[Comment, Image]:
    """The caller's own comment, and the image that it is on."""
    comment = await _require(connection, principal, comment_id)
    image = await require_image(connection, principal, comment.image_id, deleted=True)
    principal.require(Permission.ANNOTATE, image.dataset_id)
    if comment.author_id != principal.identity:
        raise Forbidden("Only its author may change a comment")
    return comment, image


def _note(
    transaction: Transaction, principal: Principal, verb: str, comment: Comment, image: Image
) -> None:
    audit.note(
        transaction, principal, f"comment.{verb}", ("comment", comment.id),
        dataset_id=image.dataset_id, image=image.id,
    )  # fmt: skip


async def _require(connection: AsyncConnection, principal: Principal, comment_id: str) -> Comment:
    statement = select(*columns_of(image_comments, Comment)).where(
        image_comments.c.id == canonical_id(comment_id),
        within(principal, image_comments),
    )
    row = (await connection.execute(statement)).first()
    if row is None:
        raise NotFound("Comment not found")
    return to_record(Comment, row)
