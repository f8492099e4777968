"""The first rows of several groups together, each group looked up in an index of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

MOST_GROUPS = 100
"""More make a statement that takes longer to plan than a look at all rows."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows of one table by a column that is one of these values.

    An index begins with the column, and goes on with the key that the rows are ordered by.
    """

    column: Column[Any]
    values: Sequence[Any]


def first_of_each(
    connection: AsyncConnection,
    key: Column[Any],
    groups: Groups,
    conditions: Sequence[ColumnElement[bool]],
    *,
    limit: int,
    descending: bool = False,
    after: Any = None,
) -> Select[Any]:
    """The first `limit` keys, past `after`, of the rows of all groups that meet the conditions.

    No database does so for `column IN (...)`: it sorts all that it finds, or looks for rows of
    these groups among those of all others.
    """
    find = _found_by_sqlite if connection.dialect.name == "sqlite" else _found_by_postgresql
    each = [
        find(key, groups.column, value, descending, after)
        .where(*conditions)
        .limit(limit)
        .subquery()
        for value in groups.values
    ]
    every = union_all(*(select(one.c.key) for one in each)).subquery()
    ordered = every.c.key.desc() if descending else every.c.key.asc()
    return select(every.c.key).order_by(ordered).limit(limit)


def _found_by_sqlite(
    key: Column[Any], column: Column[Any], value: Any, descending: bool, after: Any
) -> Select[Any]:
    found = select(key.label("key")).where(column == value)
    if after is not None:
        found = found.where(key < after if descending else key > after)
    return found.order_by(key.desc() if descending else key.asc())


def _found_by_postgresql(
    key: Column[Any], column: Column[Any], value: Any, descending: bool, after: Any
) -> Select[Any]:
    """The column equals the value, but is not said to: see `PostgresJson.first_of_each`."""
    found = select(key.label("key")).where(column >= value, column <= value)
    if after is not None:
        mine, last = tuple_(column, key), tuple_(value, after, types=[column.type, key.type])
        found = found.where(mine < last if descending else mine > last)
    order = (column.desc(), key.desc()) if descending else (column.asc(), key.asc())
    return found.order_by(*order)
