"""Batches: pictures that were taken together, of one subject."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.blob_sweep import BlobSweep
from opsin.core.datasets import require_dataset, require_text
from opsin.core.errors import NotFound
from opsin.core.new_images import check_moment
from opsin.core.offset_pages import BY_ID, Slice, read_slice
from opsin.core.pages import Listing, Order
from opsin.core.records import Batch, columns_of, from_values, to_record
from opsin.core.removal import Removal
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.soft_deletion import in_place, not_deleted
from opsin.core.subjects import require_subject
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import batches

LISTING = Listing(batches, Batch, parent="subject_id")

_LONGEST_NAME = 255
_ORDERS: dict[str, ColumnElement[Any]] = {
    "created_at": batches.c.created_at,
    "taken_at": func.coalesce(batches.c.taken_at, batches.c.created_at),
    "name": batches.c.name,
}


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of batches to the caller's own, of what is there."""
    return [within(principal, batches), *not_deleted(batches), *in_place(batches)]


class Batches:
    """Creates, finds and deletes batches."""

    def __init__(self, database: Database, sweep: BlobSweep) -> None:
        self._database = database
        self._removal = Removal(database, sweep)

    async def create(
        self,
        principal: Principal,
        dataset_id: str,
        subject_id: str | None,
        taken_at: datetime | None = None,
        *,
        name: str = "",
    ) -> Batch:
        """A new batch; its images were taken at `taken_at`, when that is known."""
        check_moment(taken_at, "taken_at")
        name = require_text(name, "name", _LONGEST_NAME, least=0)
        async with self._database.write() as transaction:
            connection = transaction.connection
            dataset = await require_dataset(connection, principal, dataset_id, keep=True)
            principal.require(Permission.UPLOAD, dataset.id)
            subject = None
            if subject_id is not None:
                subject = await require_subject(
                    connection, principal, dataset.id, subject_id, keep=True
                )
            values = {
                "id": new_id(),
                "company_id": dataset.company_id,
                "dataset_id": dataset.id,
                "subject_id": None if subject is None else subject.id,
                "name": name,
                "created_at": datetime.now(UTC),
                "taken_at": None if taken_at is None else taken_at.astimezone(UTC),
            }
            await connection.execute(insert(batches).values(values))
            made = from_values(Batch, values)
            transaction.emit(
                NewEvent(
                    "batch.created",
                    made.company_id,
                    dataset_id=made.dataset_id,
                    data={"batch_id": made.id, "subject_id": made.subject_id},
                )
            )
            of_it = ("batch", made.id)
            audit.note(transaction, principal, "batch.create", of_it, dataset_id=dataset.id)
        return made

    async def find(
        self,
        principal: Principal,
        batch_id: str,
        *,
        dataset_id: str | None = None,
        subject_id: str | None = None,
    ) -> Batch | None:
        """The caller's batch, of that dataset and that subject if they are named."""
        async with self._database.read() as connection:
            return await _find(connection, principal, batch_id, dataset_id, subject_id)

    async def get(
        self,
        principal: Principal,
        batch_id: str,
        *,
        dataset_id: str | None = None,
        subject_id: str | None = None,
    ) -> Batch:
        """The same; NotFound for every other."""
        found = await self.find(principal, batch_id, dataset_id=dataset_id, subject_id=subject_id)
        if found is None:
            raise NotFound("Batch not found")
        return found

    async def page(
        self,
        principal: Principal,
        dataset_id: str,
        subject_id: str | None = None,
        *,
        skip: int = 0,
        limit: int = 100,
        order: Order = BY_ID,
    ) -> tuple[list[Batch], int]:
        """Some batches of a dataset, or of one of its subjects, and how many there are.

        By id, created_at, taken_at or name; one that does not know when it was taken counts as
        taken when it was made.
        """
        async with self._database.read() as connection:
            dataset = await require_dataset(connection, principal, dataset_id)
            conditions = [batches.c.dataset_id == dataset.id, *visible(principal)]
            if subject_id is not None:
                subject = await require_subject(connection, principal, dataset.id, subject_id)
                conditions.append(batches.c.subject_id == subject.id)
            return await read_slice(
                connection, LISTING, conditions, Slice(skip, limit, order), _ORDERS
            )

    async def delete(
        self,
        principal: Principal,
        batch_id: str,
        *,
        dataset_id: str | None = None,
        subject_id: str | None = None,
    ) -> Batch:
        """Delete a batch with its images and their results; from now on nobody finds it."""
        await self.get(principal, batch_id, dataset_id=dataset_id, subject_id=subject_id)
        return await self._removal.delete_batch(principal, batch_id)

    async def undo(self, principal: Principal, batch: Batch) -> None:
        """Remove a batch that was just made and has no image, for whoever may upload.

        One that has an image stays.  Raises NotFound where it is gone.
        """
        await self._removal.undo_batch(principal, batch)


async def _find(
    connection: AsyncConnection,
    principal: Principal,
    batch_id: str,
    dataset_id: str | None,
    subject_id: str | None,
) -> Batch | None:
    statement = select(*columns_of(batches, Batch)).where(
        batches.c.id == canonical_id(batch_id), *visible(principal)
    )
    if dataset_id is not None:
        statement = statement.where(batches.c.dataset_id == canonical_id(dataset_id))
    if subject_id is not None:
        statement = statement.where(batches.c.subject_id == canonical_id(subject_id))
    row = (await connection.execute(statement)).first()
    return None if row is None else to_record(Batch, row)
