"""Which rows are kept, but in no list: one rule for compiled and for ordinary reads."""

from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Table

from opsin.storage.tables import datasets, images, subjects

_COLUMNS = {table.name: "deleted_at" for table in (datasets, images, subjects)}


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


def is_deleted(table: Table, record: Any) -> bool:
    """Whether a record of this table is one that lists do not show unless they are asked to."""
    column = deletion_column(table)
    return column is not None and getattr(record, column) is not None


def is_shown(table: Table, record: Any, deleted: DeletedRows) -> bool:
    """Whether a record of this table is among those that are asked for."""
    if deletion_column(table) is None or deleted is DeletedRows.INCLUDED:
        return True
    return is_deleted(table, record) is (deleted is DeletedRows.ONLY)
