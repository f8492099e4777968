"""Removes what was computed here of images; the pictures, and what others told of them, stay."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, delete, select, update

from opsin.core.deletion_log import note
from opsin.core.file_removal import FileRemoval, Reason, note_removal
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Image, columns_of, to_record
from opsin.core.removed_rows import hold_analyses, hold_images
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.tables import analyses, artifacts, images

_ENDED = [status.value for status in AnalysisStatus if status.is_final]
COMPUTED = and_(~analyses.c.external, analyses.c.status.in_(_ENDED))
"""Analyses that were run here, whoever asked for them, and that have ended."""


class ResultRemoval:
    """One transaction for some images: each loses all of its results, or none."""

    def __init__(self, database: Database, files: FileRemoval) -> None:
        self._database = database
        self._files = files

    async def remove(
        self, ids: Sequence[str], reason: Reason, conditions: Sequence[ColumnElement[bool]] = ()
    ) -> list[str]:
        """Remove the results of those images that meet the conditions, with all that is in them.

        Gives the images that had some.
        """
        async with self._database.write() as transaction:
            statement = (
                select(*columns_of(images, Image))
                .where(images.c.id.in_(ids), *conditions)
                .order_by(images.c.id)
            )
            rows = await transaction.connection.execute(statement)
            found = [to_record(Image, row) for row in rows]
            gone, digests = await _remove(transaction, found, reason)
        await self._files.remove_blobs(digests)
        return gone


async def _remove(
    transaction: Transaction, found: Sequence[Image], reason: Reason
) -> tuple[list[str], set[str]]:
    """The images that had results, and the digests of the files of those."""
    if not found:
        return [], set()
    connection = transaction.connection
    theirs = and_(analyses.c.image_id.in_([image.id for image in found]), COMPUTED)
    await hold_analyses(connection, [image.id for image in found], COMPUTED)
    named = (
        select(artifacts.c.sha256)
        .join(analyses, analyses.c.id == artifacts.c.analysis_id)
        .where(theirs, artifacts.c.sha256.is_not(None))
    )
    digests = set((await connection.execute(named)).scalars())
    removed = delete(analyses).where(theirs).returning(analyses.c.image_id)
    counts = Counter((await connection.execute(removed)).scalars())
    if not counts:
        return [], set()
    now = datetime.now(UTC)
    await hold_images(connection, list(counts))
    await connection.execute(
        update(images)
        .where(images.c.id.in_(list(counts)))
        .values(results_deleted_at=now, updated_at=now)
    )
    note_removal(transaction, reason, [image for image in found if image.id in counts])
    for image in found:
        if image.id not in counts:
            continue
        await note(connection, image, reason.action, reason.actor, reason.text)
        transaction.emit(
            NewEvent(
                "image.results_deleted",
                image.company_id,
                dataset_id=image.dataset_id,
                image_id=image.id,
                data={
                    "action": reason.action.value,
                    "reason": reason.text,
                    "analyses": counts[image.id],
                },
            )
        )
    return list(counts), digests
