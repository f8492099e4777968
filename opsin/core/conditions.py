"""Conditions on rows: what filters mean, whoever turns them into SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Table

from opsin.storage.ids import canonical_id

_NO_ROW = "00000000-0000-0000-0000-000000000000"


class Comparison(StrEnum):
    """How a column must compare with a value."""

    EQUAL = "="
    AMONG = "in"
    AT_LEAST = ">="
    AT_MOST = "<="
    BELOW = "<"


@dataclass(frozen=True, slots=True)
class Condition:
    """One column of the rows and what it is compared with; for AMONG, a tuple of texts."""

    column: str
    comparison: Comparison
    value: Any

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
        result: ColumnElement[bool] = found
        return result


def expressions(table: Table, conditions: Sequence[Condition]) -> list[ColumnElement[bool]]:
    return [condition.expression(table) for condition in conditions]


def equal(column: str, value: Any) -> list[Condition]:
    """The column has this value; None asks for nothing."""
    return [] if value is None else [Condition(column, Comparison.EQUAL, value)]


def has_id(column: str, value: str | None) -> list[Condition]:
    """The column has this id; what is no id is none of any row."""
    return equal(column, None if value is None else canonical_id(value) or _NO_ROW)


def among(column: str, values: Sequence[str] | None) -> list[Condition]:
    return [] if values is None else [Condition(column, Comparison.AMONG, tuple(values))]


def at_least(column: str, value: Any) -> list[Condition]:
    return [] if value is None else [Condition(column, Comparison.AT_LEAST, value)]


def at_most(column: str, value: Any) -> list[Condition]:
    return [] if value is None else [Condition(column, Comparison.AT_MOST, value)]


def below(column: str, value: Any) -> list[Condition]:
    return [] if value is None else [Condition(column, Comparison.BELOW, value)]
