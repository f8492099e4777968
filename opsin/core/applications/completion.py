"""The end of a run's work on an image: seen by whoever ends its last analysis, told once."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import bindparam, select, tuple_, update

from opsin.core.records import Analysis
from opsin.storage.applications import application_runs, image_runs
from opsin.storage.database import Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.tables import analyses, images

_STILL_OPEN = (
    tuple_(image_runs.c.image_id, image_runs.c.run_id).in_(bindparam("pairs", expanding=True)),
    image_runs.c.completed_at.is_(None),
)
# Of two who end the last two, the second looks when the first has committed.  In one order for
# everybody: two who hold several never wait for each other.
_HOLD = (
    select(image_runs.c.image_id)
    .where(*_STILL_OPEN)
    .order_by(image_runs.c.image_id, image_runs.c.run_id)
    .with_for_update(key_share=True)
)
_UNFINISHED = (
    select(analyses.c.id)
    .where(
        analyses.c.run_id == image_runs.c.run_id,
        analyses.c.image_id == image_runs.c.image_id,
        analyses.c.status.in_(("QUEUED", "PROCESSING")),
    )
    .exists()
)
_COMPLETE = (
    update(image_runs)
    .where(*_STILL_OPEN, ~_UNFINISHED)
    .values(completed_at=bindparam("now"))
    .returning(image_runs.c.image_id, image_runs.c.run_id)
)


async def end_image_runs(
    transaction: Transaction, ended: Iterable[Analysis], *, now: datetime
) -> None:
    """Complete the work of runs on images of which these, just ended, were the last analyses.

    Called behind the statements that end them, in their transaction.  One that is retried does not
    open the work again: it is completed once, and told of once.
    """
    pairs = sorted({(one.image_id, one.run_id) for one in ended if one.run_id is not None})
    if pairs:
        await _end(transaction, pairs, now)


async def _end(transaction: Transaction, pairs: list[tuple[str, str]], now: datetime) -> None:
    connection = transaction.connection
    if connection.dialect.name == "postgresql":
        await connection.execute(_HOLD, {"pairs": pairs})
    completed = await connection.execute(_COMPLETE, {"pairs": pairs, "now": now})
    if done := sorted((image_id, run_id) for image_id, run_id in completed):
        await _tell(transaction, done)


async def _tell(transaction: Transaction, done: list[tuple[str, str]]) -> None:
    statement = (
        select(
            images.c.id,
            images.c.company_id,
            images.c.dataset_id,
            images.c.subject_id,
            images.c.batch_id,
            application_runs.c.id.label("run_id"),
            application_runs.c.application_id,
        )
        .select_from(image_runs)
        .join(images, images.c.id == image_runs.c.image_id)
        .join(application_runs, application_runs.c.id == image_runs.c.run_id)
        .where(tuple_(image_runs.c.image_id, image_runs.c.run_id).in_(done))
        .order_by(images.c.id, application_runs.c.id)
    )
    for row in await transaction.connection.execute(statement):
        data = {
            "run_id": row.run_id,
            "application_id": row.application_id,
            "subject_id": row.subject_id,
            "batch_id": row.batch_id,
        }
        transaction.emit(
            NewEvent(
                "run.completed",
                row.company_id,
                dataset_id=row.dataset_id,
                image_id=row.id,
                data=data,
            )
        )
