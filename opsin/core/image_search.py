"""Lists of a dataset's images by offset: filtered by what they are called, are, or carry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, select

from opsin.core.access import Principal
from opsin.core.datasets import require_dataset
from opsin.core.records import Image, columns_of, to_record
from opsin.core.storable import is_storable_text
from opsin.storage.database import Database
from opsin.storage.json_text import dump_json
from opsin.storage.tables import images

_COLUMNS = {"filename": "filename", "content_type": "content_type", "uploaded_by": "uploaded_by"}


@dataclass(frozen=True, slots=True)
class ImageSearch:
    """What is wanted; `field` is `filename`, `content_type`, `uploaded_by`, `metadata` or a key."""

    skip: int = 0
    limit: int = 100
    include_deleted: bool = False
    deleted_only: bool = False
    field: str | None = None
    value: str | None = None


class ImageSearches:
    """Reads images in the order in which they came."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, principal: Principal, dataset_id: str, wanted: ImageSearch
    ) -> Sequence[Image]:
        async with self._database.read() as connection:
            dataset = await require_dataset(connection, principal, dataset_id)
            if not is_storable_text(wanted.value or ""):
                return []  # nothing that is stored has it
            conditions: list[ColumnElement[bool]] = [images.c.dataset_id == dataset.id]
            if wanted.deleted_only:
                conditions.append(images.c.deleted_at.is_not(None))
            elif not wanted.include_deleted:
                conditions.append(images.c.deleted_at.is_(None))
            in_metadata = None
            if wanted.field and wanted.value:
                if wanted.field in _COLUMNS:
                    column: Any = images.c[_COLUMNS[wanted.field]]
                    conditions.append(_contains(column, wanted.value))
                else:
                    in_metadata = wanted.value.lower()
                    # Fewer rows to look into; what is a key and what is a value is seen after.
                    text = cast(images.c.metadata, String)
                    if wanted.value.isascii() and wanted.value.isalnum():
                        conditions.append(_contains(text, wanted.value))
            statement = select(*columns_of(images, Image)).where(*conditions).order_by(images.c.id)
            if in_metadata is None:
                rows = await connection.execute(statement.offset(wanted.skip).limit(wanted.limit))
                return [to_record(Image, row) for row in rows]
            found: list[Image] = []
            async for row in await connection.stream(statement):
                image = to_record(Image, row)
                if _carries(image.metadata, wanted.field or "", in_metadata):
                    found.append(image)
                    if len(found) == wanted.skip + wanted.limit:
                        break
            return found[wanted.skip :]


def _contains(column: Any, value: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = func.lower(column).contains(value.lower(), autoescape=True)
    return found


def _carries(metadata: dict[str, Any], field: str, wanted: str) -> bool:
    if field == "metadata":
        return any(wanted in _text(value) for value in metadata.values())
    return field in metadata and wanted in _text(metadata[field])


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else dump_json(value)).lower()
