"""Image classes: the labels of a dataset, and who gave which image one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.datasets import require_dataset, require_text
from opsin.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from opsin.core.images import require_image
from opsin.core.pages import Listing
from opsin.core.records import columns_of, from_values, to_record
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.storage.curation import image_classes, image_classifications
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import images


@dataclass(frozen=True, slots=True)
class ImageClass:
    id: str
    company_id: str
    dataset_id: str
    name: str
    description: str | None
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class ImageClassification:
    id: str
    company_id: str
    image_id: str
    class_id: str
    created_by: str
    created_at: datetime
    created_by_name: str | None = None
    """As it was then."""


LISTING = Listing(image_classes, ImageClass, parent="dataset_id")
CLASSIFICATIONS = Listing(image_classifications, ImageClassification, parent="image_id")


class ImageClasses:
    """Keeps the classes of datasets and the classifications that people make."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, principal: Principal, dataset_id: str, name: str, description: str | None = None
    ) -> ImageClass:
        """A new class; names need not be unique."""
        name = require_text(name, "name", 255)
        async with self._database.write() as transaction:
            dataset = await require_dataset(transaction.connection, principal, dataset_id)
            principal.require(Permission.ANNOTATE, dataset.id)
            values = {
                "id": new_id(),
                "company_id": dataset.company_id,
                "dataset_id": dataset.id,
                "name": name,
                "description": _described(description),
                "created_at": datetime.now(UTC),
            }
            await transaction.connection.execute(insert(image_classes).values(values))
            made = from_values(ImageClass, values)
            _note(transaction, principal, "create", made, name=made.name)
        return made

    async def listed(self, principal: Principal, dataset_id: str) -> Sequence[ImageClass]:
        """The classes of a dataset, oldest first."""
        async with self._database.read() as connection:
            dataset = await require_dataset(connection, principal, dataset_id)
            statement = (
                select(*columns_of(image_classes, ImageClass))
                .where(image_classes.c.dataset_id == dataset.id)
                .order_by(image_classes.c.id)
            )
            return [to_record(ImageClass, row) for row in await connection.execute(statement)]

    async def get(self, principal: Principal, class_id: str) -> ImageClass:
        async with self._database.read() as connection:
            return await _require(connection, principal, class_id)

    async def change(
        self, principal: Principal, class_id: str, changes: dict[str, str | None]
    ) -> ImageClass:
        """Change `name` or `description`; what is not named stays."""
        values: dict[str, Any] = {"updated_at": datetime.now(UTC)}
        if changes.get("name") is not None:
            values["name"] = require_text(changes["name"] or "", "name", 255)
        if "description" in changes:
            values["description"] = _described(changes["description"])
        async with self._database.write() as transaction:
            found = await _require(transaction.connection, principal, class_id)
            principal.require(Permission.ANNOTATE, found.dataset_id)
            _note(transaction, principal, "update", found, changed=sorted(changes))
            statement = update(image_classes).where(image_classes.c.id == found.id)
            await transaction.connection.execute(statement.values(**values))
            return await _require(transaction.connection, principal, class_id)

    async def delete(self, principal: Principal, class_id: str) -> ImageClass:
        """Delete a class; Conflict while an image has it."""
        async with self._database.write() as transaction:
            connection = transaction.connection
            found = await _require(connection, principal, class_id, hold=True)
            principal.require(Permission.ANNOTATE, found.dataset_id)
            used = select(image_classifications.c.id).where(
                image_classifications.c.class_id == found.id
            )
            if (await connection.execute(used.limit(1))).first() is not None:
                raise Conflict("Image class is in use")
            await connection.execute(delete(image_classes).where(image_classes.c.id == found.id))
            _note(transaction, principal, "delete", found, name=found.name)
        return found

    async def classify(
        self, principal: Principal, image_id: str, class_id: str, *, once: bool = False
    ) -> ImageClassification:
        """Give an image a class of its dataset; it may have one more than once.

        With `once` a caller who has done so before gets that classification.
        """
        async with self._database.write() as transaction:
            connection = transaction.connection
            image = await require_image(connection, principal, image_id, keep=True, hold=once)
            found = await _require(connection, principal, class_id, keep=True)
            principal.require(Permission.ANNOTATE, image.dataset_id)
            if found.dataset_id != image.dataset_id:
                raise InvalidInput("The image class is of another dataset than the image")
            if once and (known := await _given(connection, principal, image.id, found.id)):
                return known
            values = {
                "id": new_id(),
                "company_id": image.company_id,
                "image_id": image.id,
                "class_id": found.id,
                "created_by": principal.identity,
                "created_by_name": principal.name[:320],
                "created_at": datetime.now(UTC),
            }
            await connection.execute(insert(image_classifications).values(values))
            audit.note(
                transaction, principal, "classification.create", ("image", image.id),
                dataset_id=image.dataset_id, image_class=found.name,
            )  # fmt: skip
        return from_values(ImageClassification, values)

    async def classifications(
        self, principal: Principal, image_id: str
    ) -> Sequence[ImageClassification]:
        """The classifications of an image, oldest first."""
        table = image_classifications
        async with self._database.read() as connection:
            image = await require_image(connection, principal, image_id)
            statement = (
                select(*columns_of(table, ImageClassification))
                .where(table.c.image_id == image.id)
                .order_by(table.c.id)
            )
            rows = await connection.execute(statement)
            return [to_record(ImageClassification, row) for row in rows]

    async def declassify(
        self, principal: Principal, classification_id: str, *, is_admin: bool = False
    ) -> str:
        """Take a classification back: whoever made it, or an administrator; gives its id."""
        table = image_classifications
        async with self._database.write() as transaction:
            columns = (table.c.id, table.c.created_by, table.c.image_id, images.c.dataset_id)
            statement = (
                select(*columns)
                .join(images, images.c.id == table.c.image_id)
                .where(
                    table.c.id == canonical_id(classification_id),
                    within(principal, table),
                )
            )
            row = (await transaction.connection.execute(statement)).first()
            if row is None:
                raise NotFound("Classification not found")
            principal.require(Permission.ANNOTATE, row.dataset_id)
            if row.created_by != principal.identity and not is_admin:
                raise Forbidden("Only its author may delete a classification")
            await transaction.connection.execute(delete(table).where(table.c.id == row.id))
            subject = ("image", row.image_id)
            audit.note(
                transaction, principal, "classification.delete", subject, dataset_id=row.dataset_id
            )
        identity: str = row.id
        return identity


async def _given(
    connection: AsyncConnection, principal: Principal, image_id: str, class_id: str
) -> ImageClassification | None:
    """What the caller has made already of this image and class."""
    table = image_classifications
    statement = (
        select(*columns_of(table, ImageClassification))
        .where(
            table.c.image_id == image_id,
            table.c.class_id == class_id,
            table.c.created_by == principal.identity,
        )
        .order_by(table.c.id)
    )
    row = (await connection.execute(statement.limit(1))).first()
    return None if row is None else to_record(ImageClassification, row)


async def _require(
    connection: AsyncConnection,
    principal: Principal,
    class_id: str,
    *,
    keep: bool = False,
    hold: bool = False,
) -> ImageClass:
    """The caller's class; with `keep` nobody deletes it meanwhile, with `hold` nobody uses it."""
    statement = select(*columns_of(image_classes, ImageClass)).where(
        image_classes.c.id == canonical_id(class_id),
        within(principal, image_classes),
    )
    if keep or hold:
        statement = statement.with_for_update(read=keep, key_share=keep)
    row = (await connection.execute(statement)).first()
    if row is None:
        raise NotFound("Image class not found")
    return to_record(ImageClass, row)


def _note(
    transaction: Transaction, principal: Principal, verb: str, one: ImageClass, **details: Any
) -> None:
    audit.note(
        transaction, principal, f"image_class.{verb}", ("image_class", one.id),
        dataset_id=one.dataset_id, **details,
    )  # fmt: skip


def _described(text: str | None) -> str | None:
    return None if text is None else require_text(text, "description", 10_000, least=0)
