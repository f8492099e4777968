"""Conditions on rows: what filters mean, whoever turns them into SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Table, select

from opsin.core.errors import InvalidInput
from opsin.storage.ids import canonical_id
from opsin.storage.substring import Substring, column_carries, column_contains

LONGEST_SUBSTRING = 1000
"""Characters of a text that is looked for within others."""

_NO_ROW = "00000000-0000-0000-0000-000000000000"


class Comparison(StrEnum):
    """How a column must compare with a value."""

    EQUAL = "="
    AMONG = "in"
    AT_LEAST = ">="
    AT_MOST = "<="
    BELOW = "<"
    CONTAINS = "contains"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Compared:
    """One column of the rows and what it is compared with.

    For AMONG a tuple of texts, for CONTAINS a Substring, for ABSENT whether it is NULL.
    """

    column: str
    comparison: Comparison
    value: Any

    @property
    def shape(self) -> tuple[Any, ...]:
        """All that changes the SQL."""
        return self.column, self.comparison

    @property
    def values(self) -> tuple[Any, ...]:
        """What is bound to the parameters of the SQL, in order."""
        return (self.value,)

    def expression(self, table: Table) -> ColumnElement[bool]:
        column: Any = table.c[self.column]
        match self.comparison:
            case Comparison.AMONG:
                found = column.in_(self.value)
            case Comparison.AT_LEAST:
                found = column >= self.value
            case Comparison.AT_MOST:
                found = column <= self.value
            case Comparison.BELOW:
                found = column < self.value
            case Comparison.EQUAL:
                found = column == self.value
            case Comparison.CONTAINS:
                found = column_contains(column, self.value)
            case Comparison.ABSENT:
                found = column.is_(None) if self.value else column.is_not(None)
        result: ColumnElement[bool] = found
        return result


@dataclass(frozen=True, slots=True)
class Carries:
    """A column of JSON objects of which a value, that of the key if one is given, has the text."""

    column: str
    key: str | None
    text: Substring

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.column, "carries"

    @property
    def values(self) -> tuple[Any, ...]:
        return self.text.part_in_json(), self.key, self.text.regex

    def expression(self, table: Table) -> ColumnElement[bool]:
        return column_carries(table.c[self.column], self.key, self.text)


@dataclass(frozen=True, slots=True)
class Related:
    """There is a row of another table, of the same company, whose `parent` names this one."""

    table: Table
    parent: str
    conditions: "tuple[Condition, ...]"

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.table.name, self.parent, tuple(one.shape for one in self.conditions)

    @property
    def values(self) -> tuple[Any, ...]:
        return tuple(value for one in self.conditions for value in one.values)

    def expression(self, table: Table) -> ColumnElement[bool]:
        mine = [
            self.table.c[self.parent] == table.c.id,
            self.table.c.company_id == table.c.company_id,
        ]
        rows = select(1).where(*mine, *expressions(self.table, self.conditions))
        return rows.correlate(table).exists()


Condition: TypeAlias = Compared | Carries | Related


def expressions(table: Table, conditions: Sequence[Condition]) -> list[ColumnElement[bool]]:
    return [condition.expression(table) for condition in conditions]


def equal(column: str, value: Any) -> list[Condition]:
    """The column has this value; None asks for nothing."""
    return [] if value is None else [Compared(column, Comparison.EQUAL, value)]


def has_id(column: str, value: str | None) -> list[Condition]:
    """The column has this id; what is no id is none of any row."""
    return equal(column, None if value is None else canonical_id(value) or _NO_ROW)


def among(column: str, values: Sequence[str] | None) -> list[Condition]:
    return [] if values is None else [Compared(column, Comparison.AMONG, tuple(values))]


def at_least(column: str, value: Any) -> list[Condition]:
    return [] if value is None else [Compared(column, Comparison.AT_LEAST, value)]


def at_most(column: str, value: Any) -> list[Condition]:
    return [] if value is None else [Compared(column, Comparison.AT_MOST, value)]


def below(column: str, value: Any) -> list[Condition]:
    return [] if value is None else [Compared(column, Comparison.BELOW, value)]


def absent(column: str, value: bool | None) -> list[Condition]:
    """The column is NULL, or with False is not; None asks for nothing."""
    return [] if value is None else [Compared(column, Comparison.ABSENT, value)]


def contains(column: str, text: str | None) -> list[Condition]:
    """The column has this text in it, in whatever case; None and the empty text ask for nothing."""
    if not text:
        return []
    return [Compared(column, Comparison.CONTAINS, _substring(text))]


def carries(column: str, key: str | None, text: str | None) -> list[Condition]:
    """A JSON object has the key, and the text in its value; without a key, in any value."""
    if key is None and not text:
        return []
    return [Carries(column, key, _substring(text or ""))]


def related(table: Table, parent: str, conditions: Sequence[Condition]) -> list[Condition]:
    """A row of `table` that names this one meets them all."""
    return [Related(table, parent, tuple(conditions))]


def _substring(text: str) -> Substring:
    if len(text) > LONGEST_SUBSTRING:
        raise InvalidInput(f"A text that is looked for has at most {LONGEST_SUBSTRING} characters")
    return Substring(text)
