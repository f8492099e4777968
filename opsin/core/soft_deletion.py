"""Which rows are kept, but in no list: one rule for compiled and for ordinary reads."""

from typing import Any

from sqlalchemy import ColumnElement, Table

from opsin.storage.tables import images

_COLUMNS = {images.name: "deleted_at"}


def deletion_column(table: Table) -> str | None:
    """The column that is NULL in rows that are shown; None where every row is."""
    return _COLUMNS.get(table.name)


def not_deleted(table: Table) -> list[ColumnElement[bool]]:
    """What lists, and reads of one row by its id, ask of the rows.

    What is reached from another row, such as the image of an analysis, is shown all the same.
    """
    column = deletion_column(table)
    return [] if column is None else [table.c[column].is_(None)]


def is_deleted(table: Table, record: Any) -> bool:
    """Whether a record of this table is one that is not shown."""
    column = deletion_column(table)
    return column is not None and getattr(record, column) is not None
