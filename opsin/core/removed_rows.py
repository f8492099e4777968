"""Rows that go for good, each told of once, by whoever removed it."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.deletion_log import DeletionAction, note
from opsin.core.records import Batch, Image, Subject, columns_of, to_record
from opsin.storage.database import Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.tables import analyses, artifacts, batches, images, subjects

ROWS_AT_ONCE = 500
"""Batches or subjects that one transaction removes."""


async def hold_analyses(
    connection: AsyncConnection, image_ids: Sequence[str], *conditions: ColumnElement[bool]
) -> None:
    """Hold the images' analyses until the commit; to be called before the images are held.

    Whoever writes results holds an analysis when they name its image, so all take analyses first,
    by id, then images: two who come to the same image never wait for each other.
    """
    statement = select(analyses.c.id).where(analyses.c.image_id.in_(image_ids), *conditions)
    await connection.execute(statement.order_by(analyses.c.id).with_for_update())


async def hold_images(
    connection: AsyncConnection, image_ids: Sequence[str], *, to_delete: bool = False
) -> None:
    """Hold the images until the commit, by id, as everybody does who holds several."""
    statement = select(images.c.id).where(images.c.id.in_(image_ids)).order_by(images.c.id)
    await connection.execute(statement.with_for_update(key_share=not to_delete))


async def remove_images(transaction: Transaction, found: Sequence[Image]) -> frozenset[str]:
    """Remove images with all that hangs on them; gives those that were still there."""
    ids = [image.id for image in found]
    connection = transaction.connection
    await hold_analyses(connection, ids)
    await connection.execute(delete(analyses).where(analyses.c.image_id.in_(ids)))
    await hold_images(connection, ids, to_delete=True)
    gone = await connection.execute(
        delete(images).where(images.c.id.in_(ids)).returning(images.c.id)
    )
    return frozenset(gone.scalars())


async def remove_told(
    transaction: Transaction, found: Sequence[Image], actor: str | None, reason: str
) -> tuple[int, set[str]]:
    """The same, told of, and kept in the list of deletions if there is an actor.

    Gives how many, and the digests of their files.
    """
    if not found:
        return 0, set()
    connection = transaction.connection
    ids = [image.id for image in found]
    named = (
        select(artifacts.c.sha256)
        .join(analyses, analyses.c.id == artifacts.c.analysis_id)
        .where(analyses.c.image_id.in_(ids), artifacts.c.sha256.is_not(None))
    )
    digests = set((await connection.execute(named)).scalars())
    gone = await remove_images(transaction, found)
    for image in found:
        if image.id not in gone:
            continue  # another was faster, and tells of it
        digests.add(image.sha256)
        if actor is not None:
            await note(connection, image, DeletionAction.HARD_DELETE, actor, reason)
        transaction.emit(
            NewEvent(
                "image.deleted",
                image.company_id,
                dataset_id=image.dataset_id,
                image_id=image.id,
            )
        )
    return len(gone), digests


async def remove_batches(transaction: Transaction, condition: ColumnElement[bool]) -> int:
    """Remove these batches, which have no images any more; how many."""
    statement = delete(batches).where(condition).returning(*columns_of(batches, Batch))
    rows = await transaction.connection.execute(statement)
    gone = sorted((to_record(Batch, row) for row in rows), key=lambda one: one.id)
    for batch in gone:
        transaction.emit(
            NewEvent(
                "batch.deleted",
                batch.company_id,
                dataset_id=batch.dataset_id,
                data={"batch_id": batch.id, "subject_id": batch.subject_id},
            )
        )
    return len(gone)


async def remove_subjects(transaction: Transaction, dataset_id: str) -> int:
    """Some of a deleted dataset's; of those that were deleted before it has been told."""
    some = select(subjects.c.id).where(subjects.c.dataset_id == dataset_id).limit(ROWS_AT_ONCE)
    statement = (
        delete(subjects)
        .where(subjects.c.id.in_(some.scalar_subquery()))
        .returning(*columns_of(subjects, Subject))
    )
    rows = await transaction.connection.execute(statement)
    gone = sorted((to_record(Subject, row) for row in rows), key=lambda one: one.id)
    for subject in gone:
        if subject.deleted_at is None:
            transaction.emit(subject_deleted(subject))
    return len(gone)


def subject_deleted(subject: Subject) -> NewEvent:
    return NewEvent(
        "subject.deleted",
        subject.company_id,
        dataset_id=subject.dataset_id,
        data={"subject_id": subject.id},
    )
