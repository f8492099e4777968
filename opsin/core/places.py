"""Where a thing lies: an image in its batch, of its subject, in its dataset, found all at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select

from opsin.core.access import Principal
from opsin.core.errors import NotFound
from opsin.core.records import Batch, Dataset, Image, Subject, columns_of
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import batches, datasets, images, subjects

_LEVELS: tuple[tuple[str, Table, type[Any], str], ...] = (
    ("dataset", datasets, Dataset, "company_id"),
    ("subject", subjects, Subject, "dataset_id"),
    ("batch", batches, Batch, "subject_id"),
    ("image", images, Image, "batch_id"),
)
"""From the outermost in: the name, and the column that holds the id of the one before it."""


@dataclass(frozen=True, slots=True)
class Place:
    """What was named, outermost first; None from where nothing was named any more."""

    dataset: Dataset
    subject: Subject | None = None
    batch: Batch | None = None
    image: Image | None = None


class Places:
    """Finds what chains of ids name, within the caller's company."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, principal: Principal, ids: Mapping[str, str]) -> Place:
        """What `ids` name, from `dataset` on inwards, in one statement.

        Raises NotFound unless each lies in the one before it.
        """
        levels = _LEVELS[: len(ids)]
        if [name for name, *_ in levels] != [name for name, *_ in _LEVELS if name in ids]:
            raise ValueError("a chain has no gaps")
        statement = select(
            *(column for _, table, record, _ in levels for column in columns_of(table, record))
        ).select_from(datasets)
        before: Table | None = None
        for name, table, _, parent in levels:
            wanted = canonical_id(ids[name])
            if wanted is None:
                raise NotFound(f"There is no such {name}")
            if before is None:
                statement = statement.where(within(principal, datasets))
            else:
                statement = statement.join(table, table.c[parent] == before.c.id)
            statement = statement.where(table.c.id == wanted, *not_deleted(table))
            before = table
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            raise NotFound(f"There is no such {levels[-1][0]} here")
        found: dict[str, Any] = {}
        start = 0
        for name, _, record, _ in levels:
            end = start + len(record.__dataclass_fields__)
            found[name] = record(*row[start:end])
            start = end
        return Place(**found)
