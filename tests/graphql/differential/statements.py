"""The SQL of compiled reads: what was sent, and which rows each part of it may read."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.graphql.differential.houses import House

_LITERAL = re.compile(r"'(?:[^']|'')*'")
_FROM = re.compile(r"\bFROM\b")
_ROWS = re.compile(r"FROM (\w+) (\w+) WHERE ")
_OTHER_SOURCES = re.compile(r"FROM (\(SELECT\b|json_each\(|json_each_text\(|unnest\()")
# For each of a list that is a parameter: rows of a table, or of a SELECT that has a FROM itself.
_FOR_EACH = re.compile(r"FROM json_each\(\?\d+\) \w+ CROSS JOIN (?=\w)")
_LATERAL = re.compile(r"(?<=\(value\)) CROSS JOIN LATERAL (?=\(SELECT\b)")
_ELEMENTS = re.compile(r"FROM (?:json_each|unnest)\(([?$]\d+)(?:::uuid\[\])?\) (\w+)")
_END = re.compile(r"(ORDER BY|GROUP BY|LIMIT|UNION)\b")


@dataclass(slots=True)
class Sent:
    """Statements of compiled reads with their parameters, and those of everything else."""

    compiled: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@contextmanager
def sent_by(house: House) -> Iterator[Sent]:
    """What the house asks of its database from now on."""
    reader = house.parts.use_cases.database.reader
    sent = Sent()

    def noted(method: Any) -> Any:
        async def fetch(statement: str, parameters: Sequence[Any]) -> Any:
            sent.compiled.append((statement, parameters))
            return await method(statement, parameters)

        return fetch

    def heard(*arguments: object) -> None:
        sent.others.append(str(arguments[2]))

    event.listen(Engine, "before_cursor_execute", heard)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in (name for name in dir(reader) if name.startswith("fetch")):
                patch.setattr(reader, name, noted(getattr(reader, name)))
            yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", heard)


@dataclass(frozen=True, slots=True)
class RowsRead:
    """One FROM: its table, and the conditions that all of its rows meet."""

    table: str
    alias: str
    conditions: tuple[str, ...]

    def is_limited_to(self, company: str) -> bool:
        """Whether all rows are those of the company that this parameter names."""
        mine = f"{self.alias}.company_id={company}"
        return not {mine, f"({mine}) IS TRUE", f"+({mine})"}.isdisjoint(self.conditions)

    def is_limited_to_one(self, dataset: str) -> bool:
        """Whether all rows are of the dataset that stands as `dataset` in the statement."""
        for column in (f"{self.alias}.dataset_id", f"{self.alias}.id"):
            if f"{column}={dataset}" in self.conditions:
                return True
            # Not more and not less, alone or with what stands behind it in an index.
            for less, more in (("<", ">="), (">", "<=")):
                others = rf"{re.escape(column)}{less}={re.escape(dataset)}"
                behind = rf"\({re.escape(column)},[^()]*\){less}\({re.escape(dataset)},[^()]*\)"
                if f"{column}{more}{dataset}" in self.conditions and any(
                    re.fullmatch(f"{others}|{behind}", one) for one in self.conditions
                ):
                    return True
        return False


@cache
def rows_read(statement: str) -> tuple[RowsRead, ...]:
    """Every place where the statement reads a table.

    Raises AssertionError for SQL that this cannot take apart: a join, a FROM without WHERE, an OR
    beside the conditions.
    """
    sql = _LITERAL.sub(lambda found: "'" + "_" * (len(found[0]) - 2) + "'", statement)
    sql = _LATERAL.sub(" ", _FOR_EACH.sub("FROM ", sql))
    assert not re.search(r"\bJOIN\b", sql), statement
    found: list[RowsRead] = []
    for start in (one.start() for one in _FROM.finditer(sql)):
        if _OTHER_SOURCES.match(sql, start):
            continue
        rows = _ROWS.match(sql, start)
        assert rows, f"{sql[start : start + 80]} in {statement}"
        conditions = _conditions(sql, rows.end())
        assert not any(re.search(r"\bOR\b", _outside(one)) for one in conditions), statement
        found.append(RowsRead(rows[1], rows[2], conditions))
    return tuple(found)


def elements_of(statement: str, parameter: str) -> frozenset[str]:
    """What stands in the statement for one element of the list that is this parameter."""
    found = _ELEMENTS.findall(statement)
    return frozenset(f"{alias}.value" for given, alias in found if given == parameter)


def _conditions(sql: str, begin: int) -> tuple[str, ...]:
    """What stands between the ANDs of a WHERE, up to its end."""
    depth, last, found = 0, begin, []
    for place in range(begin, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[place], 0)
        if depth < 0 or (depth == 0 and _END.match(sql, place)):
            break
        if depth == 0 and sql.startswith(" AND ", place):
            found.append(sql[last:place].strip())
            last = place + len(" AND ")
    else:
        place = len(sql)
    return (*found, sql[last:place].strip())


def _outside(condition: str) -> str:
    """The condition without what it has in parentheses."""
    depth, found = 0, []
    for character in condition:
        depth += {"(": 1, ")": -1}.get(character, 0)
        found.append(character if depth == 0 else "")
    return "".join(found)
