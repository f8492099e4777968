"""Lists of images by offset: of a dataset, a subject or a batch."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, select

from opsin.core.access import Principal
from opsin.core.conditions import contains, expressions
from opsin.core.datasets import require_dataset
from opsin.core.errors import InvalidInput
from opsin.core.images import LISTING, visible
from opsin.core.offset_pages import BY_ID, Slice, read_slice
from opsin.core.pages import Order
from opsin.core.records import Image
from opsin.core.subjects import require_subject
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import images, subjects

_ORDERS: dict[str, ColumnElement[Any]] = {
    name: images.c[name] for name in ("created_at", "taken_at", "filename")
}


class ImagePages:
    """Reads images that are not deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        principal: Principal,
        *,
        dataset_id: str | None = None,
        subject_id: str | None = None,
        batch_id: str | None = None,
        skip: int = 0,
        limit: int = 100,
        text: str | None = None,
        order: Order = BY_ID,
    ) -> tuple[list[Image], int]:
        """Some images of all that are named, and how many there are; NotFound for what is not.

        A batch that is nobody's has no images.  With `text` those whose file name has it, in any
        case; by id, created_at, taken_at or filename.
        """
        if dataset_id is None and subject_id is None and batch_id is None:
            raise InvalidInput("Say of which dataset, subject or batch")
        conditions = [*visible(principal), *expressions(images, contains("filename", text))]
        async with self._database.read() as connection:
            if dataset_id is not None:
                dataset = await require_dataset(connection, principal, dataset_id)
                conditions.append(images.c.dataset_id == dataset.id)
            if subject_id is not None:
                subject = await require_subject(connection, principal, dataset_id, subject_id)
                conditions.append(images.c.subject_id == subject.id)
            if batch_id is not None:
                conditions.append(images.c.batch_id == canonical_id(batch_id))
            return await read_slice(
                connection, LISTING, conditions, Slice(skip, limit, order), _ORDERS
            )

    async def newest_of_subjects(
        self, principal: Principal, subject_ids: Collection[str]
    ) -> dict[str, str]:
        """The id of each subject's newest image; those without one are left out."""
        newest = (
            select(images.c.id)
            .where(images.c.subject_id == subjects.c.id, *visible(principal))
            .order_by(images.c.id.desc())
            .limit(1)
            .correlate(subjects)
            .scalar_subquery()
        )
        statement = select(subjects.c.id, newest).where(subjects.c.id.in_(subject_ids))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return {subject_id: image_id for subject_id, image_id in rows if image_id is not None}
