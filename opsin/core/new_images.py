"""A new image: where it goes, what it is called, and what its dataset and batch fill in."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.capture import captured, image_type
from opsin.core.datasets import require_dataset
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.records import Batch, Image, columns_of, to_record
from opsin.core.roles import Permission
from opsin.core.soft_deletion import not_deleted
from opsin.storage.ids import canonical_id
from opsin.storage.tables import batches, images, subjects


@dataclass(frozen=True, slots=True)
class NewImage:
    """Where a new image goes and what it is called."""

    dataset_id: str
    filename: str
    subject_id: str | None = None
    batch_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    uploaded_by: str | None = None
    side: str | None = None
    light: str | None = None
    """Names of `opsin.core.capture`; None for the first of the dataset's image type."""
    taken_at: datetime | None = None
    """When it was taken; None for when its batch was, or now."""


async def place(
    connection: AsyncConnection, principal: Principal, new: NewImage, *, keep: bool = True
) -> NewImage:
    """The image with what is known from where it goes; with `keep` that stays until the commit.

    Its subject and time are its batch's when they are not said, side and light its image type's
    first.  Raises NotFound for a dataset, subject or batch that is not there, or not one in the
    other; Forbidden without the permission to upload there; InvalidInput for a side or light that
    the dataset's image type lacks, and for a second image in a batch of a type that has one.
    """
    check_moment(new.taken_at, "taken_at")
    dataset = await require_dataset(connection, principal, new.dataset_id, keep=keep)
    principal.require(Permission.UPLOAD, dataset.id)
    side, light = captured(dataset.image_type, new.side, new.light)
    alone = dataset.image_type is not None and image_type(dataset.image_type).one_per_batch
    batch = None
    if new.batch_id is not None:
        batch = await _batch(connection, dataset.id, new.batch_id, keep=keep, alone=alone)
    subject_id = await _subject_id(connection, dataset.id, new, batch, keep=keep)
    if batch is not None and alone:
        await require_room(connection, batch.id)
    return replace(
        new,
        dataset_id=dataset.id,
        subject_id=subject_id,
        batch_id=None if batch is None else batch.id,
        side=side,
        light=light,
        taken_at=new.taken_at or (None if batch is None else batch.taken_at),
    )


async def require_room(connection: AsyncConnection, batch_id: str) -> None:
    """Raises InvalidInput when the batch has its one image already."""
    there = select(images.c.id).where(images.c.batch_id == batch_id, *not_deleted(images))
    if (await connection.execute(there.limit(1))).first() is not None:
        raise InvalidInput("A batch of this image type has one image, and this one has it already")


async def require_room_again(connection: AsyncConnection, image: Image, kind: str | None) -> None:
    """The same for an image that was hidden, in a dataset of image type `kind`."""
    if image.batch_id is None or kind is None or not image_type(kind).one_per_batch:
        return
    await _batch(connection, image.dataset_id, image.batch_id, keep=True, alone=True)
    await require_room(connection, image.batch_id)


def check_moment(moment: datetime | None, name: str) -> None:
    """Raises InvalidInput for a time that does not say which zone it is of."""
    if moment is None:
        return
    try:
        aware = moment.utcoffset() is not None
    except (OverflowError, ValueError):
        aware = False
    if not aware:
        raise InvalidInput(f"{name} needs a time zone")


async def _batch(
    connection: AsyncConnection, dataset_id: str, batch_id: str, *, keep: bool, alone: bool
) -> Batch:
    """The dataset's batch; with `keep` nobody deletes it, nor adds to it if it has one image."""
    statement = select(*columns_of(batches, Batch)).where(
        batches.c.id == canonical_id(batch_id),
        batches.c.dataset_id == dataset_id,
        *not_deleted(batches),
    )
    if keep:
        statement = statement.with_for_update(read=not alone, key_share=True)
    row = (await connection.execute(statement)).first()
    if row is None:
        raise NotFound("Batch not found in this dataset")
    return to_record(Batch, row)


async def _subject_id(
    connection: AsyncConnection,
    dataset_id: str,
    new: NewImage,
    batch: Batch | None,
    *,
    keep: bool,
) -> str | None:
    """Whom the image shows: the subject that is named, which must be its batch's, or that."""
    of_batch = None if batch is None else batch.subject_id
    if new.subject_id is None:
        named = of_batch
        if named is None:
            return None
    else:
        named = canonical_id(new.subject_id)
        if of_batch not in (None, named):
            raise NotFound("Batch not found of this subject")
    statement = select(subjects.c.id).where(
        subjects.c.id == named, subjects.c.dataset_id == dataset_id, *not_deleted(subjects)
    )
    if keep:
        statement = statement.with_for_update(read=True, key_share=True)
    if (await connection.execute(statement)).first() is None:
        raise NotFound("Subject not found in this dataset")
    return named
