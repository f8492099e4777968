"""Soft deletion of images: hidden with a reason, restored, and in the end deleted for good."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.actors import opsin_itself
from opsin.core.blob_sweep import BlobSweep
from opsin.core.datasets import require_dataset
from opsin.core.deletion_log import DeletionAction, ImageDeletion, note
from opsin.core.errors import Conflict, Gone, InvalidInput, NotFound
from opsin.core.file_removal import remove_derived
from opsin.core.images import OnArrival, require_image
from opsin.core.new_images import require_room_again
from opsin.core.records import Image, columns_of, to_record
from opsin.core.removed_rows import hold_analyses, remove_images
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.storable import is_storable_text
from opsin.storage.curation import image_deletions
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id
from opsin.storage.tables import images

_AT_ONCE = 100


class ImageDeletions:
    """Deletes, restores and purges; every step is kept in a list of its own."""

    def __init__(
        self,
        database: Database,
        sweep: BlobSweep,
        *,
        retention: timedelta,
        least_reason: int,
        arrived: OnArrival | None = None,
    ) -> None:
        self._arrived = arrived
        self._database = database
        self._sweep = sweep
        self._retention = retention
        self._least_reason = least_reason

    async def delete(
        self,
        principal: Principal,
        dataset_id: str | None,
        image_id: str,
        reason: str,
        *,
        force: bool = False,
    ) -> Image:
        """Hide an image, of that dataset if one is named; with `force` its files go at once.

        Its files are its own and those that were made of it.

        Raises InvalidInput for a reason that is too short, Conflict for one that is deleted.
        """
        if len(reason.strip()) < self._least_reason or not is_storable_text(reason):
            raise InvalidInput(f"reason must have at least {self._least_reason} characters")
        now, digests = datetime.now(UTC), set[str]()
        async with self._database.write() as transaction:
            connection = transaction.connection
            if force:
                found = await require_image(connection, principal, image_id, deleted=True)
                await hold_analyses(connection, [found.id])
            image = await _held(connection, principal, dataset_id, image_id)
            principal.require(Permission.ADMIN if force else Permission.ANNOTATE, image.dataset_id)
            if image.hard_deleted_at is not None or (image.deleted_at is not None and not force):
                raise Conflict("Image is already deleted")
            values: dict[str, object] = {
                "deleted_at": image.deleted_at or now,
                "deleted_by": image.deleted_by or principal.name,
                "deletion_reason": reason.strip(),
                "pending_hard_delete_at": image.pending_hard_delete_at or now + self._retention,
                "updated_at": now,
            }
            if force:
                values |= {
                    "storage_deleted": True,
                    "hard_deleted_at": now,
                    "hard_deleted_by": principal.name,
                }
                digests = {image.sha256} | await remove_derived(connection, [image.id])
            action = DeletionAction.FORCE_DELETE if force else DeletionAction.SOFT_DELETE
            changed = await _change(transaction, principal, image, values, action, reason.strip())
            transaction.emit(_event("image.deleted", changed))
        if digests:
            await self._sweep.remove(*digests)
        return changed

    async def restore(
        self,
        principal: Principal,
        dataset_id: str | None,
        image_id: str,
        reason: str | None = None,
    ) -> Image:
        """Show a hidden image again; one that is shown stays as it is.

        Raises Conflict when it was deleted by force, Gone when its time is over, InvalidInput when
        its batch has one image, and another by now.  A file that was not kept does not come back.
        """
        if not is_storable_text(reason or ""):
            raise InvalidInput("reason: NULs and lone surrogates cannot be stored")
        now = datetime.now(UTC)
        async with self._database.write() as transaction:
            connection = transaction.connection
            try:
                image = await _held(connection, principal, dataset_id, image_id)
            except NotFound:
                await _require_never_purged(connection, principal, image_id)
                raise
            principal.require(Permission.ANNOTATE, image.dataset_id)
            if image.hard_deleted_at is not None:
                raise Conflict("The image's file was deleted and cannot be restored")
            if image.deleted_at is None:
                return image
            if image.pending_hard_delete_at is not None and image.pending_hard_delete_at <= now:
                raise Gone("The time in which the image could be restored is over")
            dataset = await require_dataset(connection, principal, image.dataset_id, keep=True)
            await require_room_again(connection, image, dataset.image_type)
            values: dict[str, object] = {
                "deleted_at": None,
                "deleted_by": None,
                "deletion_reason": None,
                "pending_hard_delete_at": None,
                "updated_at": now,
            }
            changed = await _change(
                transaction, principal, image, values, DeletionAction.RESTORE, reason
            )
            transaction.emit(_event("image.created", changed))
            if self._arrived is not None and not changed.storage_deleted:
                # What was attached meanwhile has passed over it.
                await self._arrived(transaction, [asdict(changed)])
        return changed

    async def listed(
        self, principal: Principal, dataset_id: str, *, skip: int, limit: int
    ) -> tuple[Sequence[ImageDeletion], int]:
        """A dataset's list, newest first, and how long it is."""
        async with self._database.read() as connection:
            dataset = await require_dataset(connection, principal, dataset_id)
            mine = image_deletions.c.dataset_id == dataset.id
            columns = columns_of(image_deletions, ImageDeletion)
            newest = image_deletions.c.id.desc()
            page = select(*columns).where(mine).order_by(newest).offset(skip).limit(limit)
            rows = await connection.execute(page)
            found = [to_record(ImageDeletion, row) for row in rows]
            count = select(func.count()).select_from(image_deletions).where(mine)
            return found, (await connection.execute(count)).scalar_one()

    async def purge(self, now: datetime | None = None) -> int:
        """Delete the rows of images whose time is over, with all that hangs on them; how many."""
        now, purged = now or datetime.now(UTC), 0
        while found := await self._purge(now):
            purged += found
        return purged

    async def _purge(self, now: datetime) -> int:
        """The same for some of them."""
        async with self._database.write() as transaction:
            connection = transaction.connection
            over = images.c.deleted_at.is_not(None) & (images.c.pending_hard_delete_at <= now)
            some = select(images.c.id).where(over).limit(_AT_ONCE)
            ids = list((await connection.execute(some)).scalars())
            await hold_analyses(connection, ids)
            statement = (
                select(*columns_of(images, Image))
                .where(images.c.id.in_(ids), over)  # still: it may have been restored
                .order_by(images.c.id)
                .with_for_update(skip_locked=True)
            )
            found = [to_record(Image, row) for row in await connection.execute(statement)]
            gone = await remove_images(transaction, found)
            for image in found:
                if image.id in gone:
                    await note(connection, image, DeletionAction.HARD_DELETE, "retention")
                    audit.note(
                        transaction, opsin_itself(image.company_id, "retention"),
                        "image.hard_delete", ("image", image.id), dataset_id=image.dataset_id,
                    )  # fmt: skip
        return len(found)


async def _held(
    connection: AsyncConnection, principal: Principal, dataset_id: str | None, image_id: str
) -> Image:
    if dataset_id is not None:
        await require_dataset(connection, principal, dataset_id)
    image = await require_image(connection, principal, image_id, hold=True, deleted=True)
    if dataset_id is not None and image.dataset_id != canonical_id(dataset_id):
        raise NotFound("Image not found")
    return image


async def _change(
    transaction: Transaction,
    principal: Principal,
    image: Image,
    values: dict[str, object],
    action: DeletionAction,
    reason: str | None,
) -> Image:
    statement = (
        update(images)
        .where(images.c.id == image.id)
        .values(**values)
        .returning(*columns_of(images, Image))
    )
    row = (await transaction.connection.execute(statement)).one()
    await note(transaction.connection, image, action, principal.name, reason)
    audit.note(
        transaction, principal, f"image.{action.value}", ("image", image.id),
        dataset_id=image.dataset_id, reason=reason,
    )  # fmt: skip
    return to_record(Image, row)


async def _require_never_purged(
    connection: AsyncConnection, principal: Principal, image_id: str
) -> None:
    statement = select(image_deletions.c.id).where(
        image_deletions.c.image_id == canonical_id(image_id),
        within(principal, image_deletions),
        image_deletions.c.action == DeletionAction.HARD_DELETE.value,
    )
    if (await connection.execute(statement)).first() is not None:
        raise Gone("The image was deleted for good and cannot be restored")


def _event(kind: str, image: Image) -> NewEvent:
    return NewEvent(kind, image.company_id, dataset_id=image.dataset_id, image_id=image.id)
