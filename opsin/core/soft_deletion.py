"""Which rows are kept, but in no list: one rule for compiled and for ordinary reads."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Table, select

from opsin.storage.tables import batches, datasets, images, subjects

_COLUMNS = {table.name: "deleted_at" for table in (datasets, images, subjects, batches)}
_PLACES: Mapping[str, Mapping[str, Table]] = MappingProxyType(
    {
        subjects.name: {"dataset_id": datasets},
        batches.name: {"dataset_id": datasets, "subject_id": subjects},
        images.name: {"dataset_id": datasets, "subject_id": subjects, "batch_id": batches},
    }
)
"""What rows lie in, by the columns that name it; what is deleted takes its rows with it, later."""


class DeletedRows(Enum):
    """What a list shows of rows that were softly deleted."""

    EXCLUDED = "EXCLUDED"
    INCLUDED = "INCLUDED"
    ONLY = "ONLY"


def deletion_column(table: Table) -> str | None:
    """The column that is NULL in rows that are shown; None where every row is."""
    return _COLUMNS.get(table.name)


def not_deleted(
    table: Table, deleted: DeletedRows = DeletedRows.EXCLUDED
) -> list[ColumnElement[bool]]:
    """What lists, and reads of one row by its id, ask of the rows.

    What is reached from another row, such as the image of an analysis, is shown all the same.
    """
    column = deletion_column(table)
    if column is None or deleted is DeletedRows.INCLUDED:
        return []
    hidden = table.c[column].is_not(None)
    return [hidden if deleted is DeletedRows.ONLY else ~hidden]


def places_of(table: Table) -> Mapping[str, Table]:
    """What the rows of a table lie in, each by the column that names it, which may be NULL."""
    return _PLACES.get(table.name, {})


def in_place(table: Table) -> list[ColumnElement[bool]]:
    """That nothing that the row lies in is being deleted: for reads of one row by its id."""
    conditions: list[ColumnElement[bool]] = []
    for column, place in places_of(table).items():
        # Of the same company, though no row names another's: reads in SQL ask for that, too.
        same = place.c.company_id == table.c.company_id
        there = select(1).where(place.c.id == table.c[column], same, *not_deleted(place))
        shown = there.correlate(table).exists()
        conditions.append(shown | table.c[column].is_(None) if table.c[column].nullable else shown)
    return conditions


def is_deleted(table: Table, record: Any) -> bool:
    """Whether a record of this table is one that lists do not show unless they are asked to."""
    column = deletion_column(table)
    return column is not None and getattr(record, column) is not None
