"""Lists of a dataset's images by offset: filtered by what they are called, are, or carry."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from opsin.core.access import Principal
from opsin.core.conditions import Condition, carries, contains, expressions
from opsin.core.datasets import require_dataset
from opsin.core.records import Image, columns_of, to_record
from opsin.core.soft_deletion import DeletedRows, not_deleted
from opsin.core.storable import is_storable_text
from opsin.storage.database import Database
from opsin.storage.tables import images

_COLUMNS = frozenset({"filename", "content_type", "uploaded_by"})


@dataclass(frozen=True, slots=True)
class ImageSearch:
    """What is wanted; `field` is `filename`, `content_type`, `uploaded_by`, `metadata` or a key."""

    skip: int = 0
    limit: int = 100
    include_deleted: bool = False
    deleted_only: bool = False
    field: str | None = None
    value: str | None = None

    @property
    def deleted(self) -> DeletedRows:
        if self.deleted_only:
            return DeletedRows.ONLY
        return DeletedRows.INCLUDED if self.include_deleted else DeletedRows.EXCLUDED

    def conditions(self) -> Sequence[Condition]:
        """What the images must meet; nothing, without a field and a value."""
        if not self.field or not self.value:
            return ()
        if self.field in _COLUMNS:
            return contains(self.field, self.value)
        key = None if self.field == "metadata" else self.field
        return carries("metadata", key, self.value)


class ImageSearches:
    """Reads images in the order in which they came."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, principal: Principal, dataset_id: str, wanted: ImageSearch
    ) -> Sequence[Image]:
        """A page of a dataset's images; InvalidInput for a value of more than 1,000 characters."""
        async with self._database.read() as connection:
            dataset = await require_dataset(connection, principal, dataset_id)
            if not is_storable_text(f"{wanted.field or ''}{wanted.value or ''}"):
                return []  # nothing that is stored has it
            statement = (
                select(*columns_of(images, Image))
                .where(
                    images.c.dataset_id == dataset.id,
                    *not_deleted(images, wanted.deleted),
                    *expressions(images, wanted.conditions()),
                )
                .order_by(images.c.id)
                .offset(wanted.skip)
                .limit(wanted.limit)
            )
            return [to_record(Image, row) for row in await connection.execute(statement)]
