"""Deletes datasets, subjects and batches with all that is in them, a part at a time."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Table, Update, and_, delete, func, select, update

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.blob_sweep import BlobSweep
from opsin.core.errors import NotFound, OpsinError
from opsin.core.file_removal import AT_ONCE, FileRemoval
from opsin.core.records import Batch, Dataset, Image, Subject, columns_of, to_record
from opsin.core.removed_rows import (
    ROWS_AT_ONCE,
    remove_batches,
    remove_subjects,
    remove_told,
    subject_deleted,
)
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id
from opsin.storage.tables import batches, datasets, images, subjects
from opsin.storage.webhooks import webhooks

log = logging.getLogger(__name__)

_WITH_THE_ANSWER = timedelta(seconds=10)
"""As long as a caller is kept waiting for what is removed; the rest goes afterwards."""
_UNTIL_TOLD = timedelta(hours=1)
"""As long as a deleted dataset's own webhooks are kept, to tell of it."""
_NOUNS = {datasets.name: "dataset", subjects.name: "subject", batches.name: "batch"}


@dataclass(frozen=True, slots=True)
class _Deleted:
    """A dataset, a subject or a batch that is hidden, and whose rows are yet to go."""

    table: Table
    id: str
    company_id: str
    dataset_id: str
    deleted_at: datetime
    actor: str = "retention"

    @property
    def column(self) -> str:
        return f"{self.noun}_id"

    @property
    def noun(self) -> str:
        return _NOUNS[self.table.name]

    def holds(self, table: Table) -> ColumnElement[bool]:
        """The rows of `table` that are in it."""
        return table.c[self.column] == self.id


class Removal:
    """Hides at once, in one transaction with the event; removes in parts that are whole each.

    Whoever is killed meanwhile leaves something hidden, with which the next one goes on.
    """

    def __init__(
        self,
        database: Database,
        sweep: BlobSweep,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        images_at_once: int = AT_ONCE,
    ) -> None:
        self._database = database
        self._files = FileRemoval(database, sweep)
        self._clock = clock
        self._images_at_once = images_at_once

    async def delete_dataset(self, principal: Principal, dataset_id: str) -> Dataset:
        """Hide a dataset, and remove it; NotFound also for another company's."""
        async with self._database.write() as transaction:
            statement = _hidden(datasets, self._clock()).where(
                datasets.c.id == canonical_id(dataset_id),
                within(principal, datasets),
                *not_deleted(datasets),
            )
            # FOR UPDATE, not what an update takes: whoever is adding to it is waited for.
            await _hold(transaction, datasets, [canonical_id(dataset_id)])
            returned = statement.returning(*columns_of(datasets, Dataset))
            row = (await transaction.connection.execute(returned)).first()
            if row is None:
                raise NotFound("Dataset not found")
            dataset = to_record(Dataset, row)
            principal.require(Permission.ADMIN, dataset.id)
            audit.note(
                transaction, principal, "dataset.delete", ("dataset", dataset.id),
                dataset_id=dataset.id, name=dataset.name,
            )  # fmt: skip
            transaction.emit(
                NewEvent(
                    "dataset.deleted",
                    dataset.company_id,
                    dataset_id=dataset.id,
                    data={"name": dataset.name, "actor": principal.name},
                )
            )
        await self._with_the_answer([_deleted_dataset(dataset)])
        return dataset

    async def delete_subjects(
        self, principal: Principal, dataset_id: str, ids: Sequence[str]
    ) -> list[Subject]:
        """Hide subjects of a dataset, and remove them; NotFound, for all, unless each is there."""
        wanted = {canonical_id(identity) for identity in ids}
        async with self._database.write() as transaction:
            await _hold(transaction, subjects, sorted(wanted - {None}, key=str))
            statement = (
                _hidden(subjects, self._clock())
                .where(
                    subjects.c.id.in_(wanted - {None}),
                    subjects.c.dataset_id == canonical_id(dataset_id),
                    within(principal, subjects),
                    *not_deleted(subjects),
                )
                .returning(*columns_of(subjects, Subject))
            )
            rows = await transaction.connection.execute(statement)
            found = sorted((to_record(Subject, row) for row in rows), key=lambda one: one.id)
            if len(found) < len(wanted):
                raise NotFound("Subject not found")
            principal.require(Permission.ADMIN, canonical_id(dataset_id))
            for subject in found:
                transaction.emit(subject_deleted(subject))
            names = [subject.id for subject in found]
            audit.note_many(
                transaction, principal, "subject.delete", "subject", names,
                dataset_id=canonical_id(dataset_id),
            )  # fmt: skip
        await self._with_the_answer(
            [replace(_deleted_subject(subject), actor=principal.name) for subject in found]
        )
        return found

    async def delete_batch(self, principal: Principal, batch_id: str) -> Batch:
        """Hide a batch, and remove it with its images; NotFound also for another company's."""
        async with self._database.write() as transaction:
            connection = transaction.connection
            await _hold(transaction, batches, [canonical_id(batch_id)])
            statement = _hidden(batches, self._clock()).where(
                batches.c.id == canonical_id(batch_id),
                within(principal, batches),
                *not_deleted(batches),
            )
            returned = statement.returning(*columns_of(batches, Batch))
            row = (await connection.execute(returned)).first()
            if row is None:
                raise NotFound("Batch not found")
            batch = to_record(Batch, row)
            principal.require(Permission.ADMIN, batch.dataset_id)
            inside = select(func.count()).where(images.c.batch_id == batch.id)
            count = (await connection.execute(inside)).scalar_one()
            audit.note(
                transaction, principal, "batch.delete", ("batch", batch.id),
                dataset_id=batch.dataset_id, images=count,
            )  # fmt: skip
        await self._with_the_answer([replace(_deleted_batch(batch), actor=principal.name)])
        return batch

    async def undo_batch(self, principal: Principal, batch: Batch) -> None:
        """Remove a batch again that has no image, for whoever may bring it one."""
        mine = and_(batches.c.id == batch.id, within(principal, batches))
        async with self._database.write() as transaction:
            await _hold(transaction, batches, [batch.id])
            if (await transaction.connection.execute(select(1).where(mine))).first() is None:
                raise NotFound("Batch not found")
            principal.require(Permission.UPLOAD, batch.dataset_id)
            is_empty = ~select(1).where(images.c.batch_id == batches.c.id).exists()
            if await remove_batches(transaction, mine & is_empty):
                of_it = ("batch", batch.id)
                audit.note(
                    transaction, principal, "batch.delete", of_it, dataset_id=batch.dataset_id
                )

    async def finish(
        self, *, older_than: timedelta = timedelta(0), seconds: float | None = None
    ) -> int:
        """Go on with what was hidden longer ago; gives how many images were removed.

        Stops after `seconds`, at the end of a part.
        """
        loop = asyncio.get_running_loop()
        until = None if seconds is None else loop.time() + seconds
        removed = 0
        for one in await self._unfinished(self._clock() - older_than):
            if until is not None and loop.time() >= until:
                break
            removed += await self._remove(one, until)
        return removed

    async def _with_the_answer(self, deleted: Sequence[_Deleted]) -> None:
        until = asyncio.get_running_loop().time() + _WITH_THE_ANSWER.total_seconds()
        for one in deleted:
            try:
                await self._remove(one, until)
            except OpsinError:  # it is deleted all the same; `finish` goes on
                log.warning("what is in something deleted could not be removed now")
                return

    async def _unfinished(self, before: datetime) -> list[_Deleted]:
        found: list[_Deleted] = []
        async with self._database.read() as connection:
            for table, record in ((datasets, Dataset), (subjects, Subject), (batches, Batch)):
                statement = (
                    select(*columns_of(table, record))
                    .where(table.c.deleted_at.is_not(None), table.c.deleted_at <= before)
                    .order_by(table.c.deleted_at)
                )
                if table is datasets:
                    statement = statement.where(~self._only_tells())
                for row in await connection.execute(statement):
                    one = to_record(record, row)
                    if isinstance(one, Dataset):
                        found.append(_deleted_dataset(one))
                    elif isinstance(one, Subject):
                        found.append(_deleted_subject(one))
                    elif isinstance(one, Batch):
                        found.append(_deleted_batch(one))
        return found

    def _only_tells(self) -> ColumnElement[bool]:
        """Nothing is left of a dataset but its webhooks, and their time is not over."""
        theirs = [
            select(1).where(table.c.dataset_id == datasets.c.id).correlate(datasets).exists()
            for table in (webhooks, images, batches, subjects)
        ]
        not_over = datasets.c.deleted_at > self._clock() - _UNTIL_TOLD
        return and_(not_over, theirs[0], *(~one for one in theirs[1:]))

    async def _remove(self, one: _Deleted, until: float | None) -> int:
        """Part after part, until nothing is left or the time is over; how many images."""
        loop, removed = asyncio.get_running_loop(), 0
        while until is None or loop.time() < until:
            count, is_last = await self._remove_part(one)
            removed += count
            if is_last:
                break
        return removed

    async def _remove_part(self, one: _Deleted) -> tuple[int, bool]:
        """Some of what is in it, each image whole; whether nothing is left to do."""
        async with self._database.write() as transaction:
            statement = (
                select(*columns_of(images, Image))
                .where(one.holds(images))
                .order_by(images.c.id)
                .limit(self._images_at_once)
            )
            rows = await transaction.connection.execute(statement)
            inside = [to_record(Image, row) for row in rows]
            # The list of deletions goes with its dataset.
            actor = None if one.table is datasets else one.actor
            count, digests = await remove_told(
                transaction, inside, actor, f"its {one.noun} was deleted"
            )
            is_last = not inside and await self._remove_rest(transaction, one)
        await self._files.remove_blobs(digests)
        return count, is_last

    async def _remove_rest(self, transaction: Transaction, one: _Deleted) -> bool:
        """Some of the batches, then of the subjects, then the row itself, when that can go."""
        connection = transaction.connection
        if one.table is batches:  # told of as what goes with others
            await remove_batches(transaction, batches.c.id == one.id)
            return True
        some = select(batches.c.id).where(one.holds(batches)).limit(ROWS_AT_ONCE)
        if await remove_batches(transaction, batches.c.id.in_(some.scalar_subquery())):
            return False
        if one.table is datasets and await remove_subjects(transaction, one.id):
            return False
        if one.table is datasets and self._clock() < one.deleted_at + _UNTIL_TOLD:
            theirs = select(webhooks.c.id).where(webhooks.c.dataset_id == one.id)
            if (await connection.execute(theirs.limit(1))).first() is not None:
                return True  # hidden, and empty, until they have told of it
        await connection.execute(delete(one.table).where(one.table.c.id == one.id))
        return True


async def _hold(transaction: Transaction, table: Table, ids: Sequence[str | None]) -> None:
    """Wait for all who put something into these rows; nobody else does before the commit."""
    statement = select(table.c.id).where(table.c.id.in_(ids)).order_by(table.c.id)
    await transaction.connection.execute(statement.with_for_update())


def _hidden(table: Table, now: datetime) -> Update:
    return update(table).values(deleted_at=now)


def _deleted_dataset(one: Dataset) -> _Deleted:
    assert one.deleted_at is not None  # it was just read as one that is
    return _Deleted(datasets, one.id, one.company_id, one.id, one.deleted_at)


def _deleted_subject(one: Subject) -> _Deleted:
    assert one.deleted_at is not None  # it was just read as one that is
    return _Deleted(subjects, one.id, one.company_id, one.dataset_id, one.deleted_at)


def _deleted_batch(one: Batch) -> _Deleted:
    assert one.deleted_at is not None  # it was just read as one that is
    return _Deleted(batches, one.id, one.company_id, one.dataset_id, one.deleted_at)
