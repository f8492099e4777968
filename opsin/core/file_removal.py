"""Removes images' files, and those that were made of them; the rows and the results stay."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.actors import opsin_itself
from opsin.core.blob_sweep import BlobSweep
from opsin.core.deletion_log import DeletionAction, note
from opsin.core.errors import OpsinError
from opsin.core.records import Image, columns_of, to_record
from opsin.core.removed_rows import hold_analyses, hold_images
from opsin.storage.curation import uploads
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.tables import analyses, artifacts, images

log = logging.getLogger(__name__)

AT_ONCE = 25
"""Images that one transaction changes."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is removed, and by whom: what the list of deletions and the audit say."""

    action: DeletionAction
    actor: str
    text: str
    principal: Principal | None = None
    """Who asked for it; None where Opsin does it by itself."""


class FileRemoval:
    """One transaction for some images: each loses all of its files, or none."""

    def __init__(self, database: Database, sweep: BlobSweep) -> None:
        self._database = database
        self._sweep = sweep

    async def remove(
        self, ids: Sequence[str], reason: Reason, conditions: Sequence[ColumnElement[bool]] = ()
    ) -> list[str]:
        """Remove the files of those images that meet the conditions, asked while they are held.

        Gives the images whose files there were.  A file goes from the store unless another row
        names equal bytes; where the store cannot do it now, the sweep does it later.
        """
        async with self._database.write() as transaction:
            connection = transaction.connection
            # Those that may have files, as a worker's has not before its end.
            ended = analyses.c.external | (analyses.c.status != "PROCESSING")
            await hold_analyses(connection, ids, ended)
            # Before the conditions, which look at other tables too.
            await hold_images(connection, ids)
            statement = (
                select(*columns_of(images, Image))
                .where(images.c.id.in_(ids), images.c.storage_deleted.is_(False), *conditions)
                .order_by(images.c.id)
            )
            held = [to_record(Image, row) for row in await connection.execute(statement)]
            digests = await _remove(transaction, held, reason)
        await self.remove_blobs(digests)
        return [image.id for image in held]

    async def remove_blobs(self, digests: set[str]) -> None:
        """Remove what no row names any more: now, where that is possible, else the sweep does."""
        if not digests:
            return
        try:
            await self._sweep.remove(*sorted(digests))
        except OpsinError:
            log.warning("files could not be removed now; the sweep removes them later")


async def _remove(transaction: Transaction, held: Sequence[Image], reason: Reason) -> set[str]:
    """Take the files out of the rows; gives the digests of what the store may hold no longer."""
    if not held:
        return set()
    connection, now = transaction.connection, datetime.now(UTC)
    ids = [image.id for image in held]
    digests = await remove_derived(connection, ids)
    await connection.execute(
        update(images).where(images.c.id.in_(ids)).values(storage_deleted=True, updated_at=now)
    )
    note_removal(transaction, reason, held)
    for image in held:
        digests.add(image.sha256)
        await note(connection, image, reason.action, reason.actor, reason.text)
        transaction.emit(
            NewEvent(
                "image.file_deleted",
                image.company_id,
                dataset_id=image.dataset_id,
                image_id=image.id,
                data={"action": reason.action.value, "reason": reason.text},
            )
        )
    return digests


def note_removal(transaction: Transaction, reason: Reason, found: Sequence[Image]) -> None:
    """One line of the audit for the images of each dataset."""
    groups: dict[tuple[str, str], list[str]] = {}
    for image in found:
        groups.setdefault((image.company_id, image.dataset_id), []).append(image.id)
    for (company_id, dataset_id), ids in groups.items():
        by = reason.principal or opsin_itself(company_id, reason.actor)
        action = f"image.{reason.action.value}"
        audit.note_many(
            transaction, by, action, "image", ids, dataset_id=dataset_id, reason=reason.text
        )


async def remove_derived(connection: AsyncConnection, image_ids: Sequence[str]) -> set[str]:
    """Take the files that were made of images out of the rows; their analyses are held.

    Gives the digests of what the store may hold no longer.
    """
    of_them = select(analyses.c.id).where(analyses.c.image_id.in_(image_ids))
    # What pipelines may still send to such an analysis would be a file of the picture again.
    await connection.execute(delete(uploads).where(uploads.c.analysis_id.in_(of_them)))
    derived = await connection.execute(
        delete(artifacts).where(artifacts.c.analysis_id.in_(of_them)).returning(artifacts.c.sha256)
    )
    return {digest for digest in derived.scalars() if digest is not None}
