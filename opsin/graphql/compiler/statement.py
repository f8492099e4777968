"""One SQL statement for one root field, whatever is nested in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from graphql import GraphQLField, GraphQLObjectType, is_object_type
from sqlalchemy import Table

from opsin.core.soft_deletion import DeletedRows
from opsin.graphql.compiler.arguments import Given, Meaning, python_name
from opsin.graphql.compiler.caller_rows import COMPANY, CallerRows
from opsin.graphql.compiler.connection import ConnectionWriter
from opsin.graphql.compiler.listing import Listed, Page
from opsin.graphql.compiler.projection import Projection
from opsin.graphql.compiler.row_fields import RowFields
from opsin.graphql.compiler.rules import (
    AnyOne,
    Children,
    Computed,
    LogEnd,
    NotCompiled,
    One,
    Rule,
    Rules,
)
from opsin.graphql.compiler.selection import Asked, Selections
from opsin.storage.json_sql import HOLE, JsonSql, braced, literal

IDS = -1
"""Stands for a site where a parameter is the list of ids of the rows to read."""

NOTHING_KNOWN: Mapping[str, str] = {}

Visit: TypeAlias = Callable[[Given, GraphQLField, Asked], Meaning]
"""Told of every field with arguments, in order; gives what they mean now."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A place of the text that Python fills."""

    rule: Computed
    site: int
    show: Projection
    is_awaited: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """The text, its parameters after the first (a site and one of its values), and its holes."""

    text: str
    parameters: tuple[tuple[int, int], ...]
    holes: tuple[Hole, ...]
    reads_rows: bool
    """Whether the company is among the parameters."""
    page: Page | None = None
    """The page whose rows come one by one, after what stands around them; see `listing`."""


@dataclass(frozen=True, slots=True)
class PlacedSite:
    """A field with arguments: its number in the statement, what they mean, and their binding."""

    number: int
    meaning: Meaning
    _bind: Callable[[int, int], str]

    def bind(self, value: int) -> str:
        """The parameter for the value of this number."""
        return self._bind(self.number, value)


@dataclass(slots=True)
class StatementWriter:
    """Writes one statement; its first parameter is the company whose rows may be read."""

    rules: Rules
    sql: JsonSql
    selections: Selections
    visit: Visit
    is_narrow: bool = False
    """Whether the caller sees single datasets only, which are then the second parameter."""
    whose: CallerRows = field(init=False)
    _sites: int = 0
    _aliases: int = 0
    _parameters: list[tuple[int, int]] = field(default_factory=list)
    _holes: list[Hole] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.whose = CallerRows(self.sql, self.alias, self.is_narrow)

    def root(self, rule: Rule, definition: GraphQLField, asked: Asked) -> Statement:
        """The statement of one field of the query; NULL stands for null."""
        match rule:
            case Children():
                connection = ConnectionWriter(self, rule, definition, asked, None)
                listed = connection.listed()
                if listed is not None:
                    return self._listed(listed, listed.around, "")
                text = connection.text()
            case One():
                return self._one(rule, definition, asked)
            case AnyOne():
                text = self._any_one(rule, definition, asked)
            case LogEnd():
                text = self.whose.log_end()
            case _:
                raise NotCompiled(f"{rule} as a root")
        return self._statement(f"SELECT {self.sql.answer(text)}")

    def nodes(self, type_name: str, asked: Asked) -> Statement:
        """Ids and JSON of those of the caller's rows that are asked for by id."""
        alias = self.alias()
        chosen = self.sql.among(f"{alias}.id", self._bind(IDS, 0), "uuid")
        text = self.object(type_name, alias, asked)
        rows = self.rows(self.rules.types[type_name].table, alias, [chosen])
        identity = self.sql.answer(self.sql.plain(f"{alias}.id"))
        return self._statement(f"SELECT {identity},{self.sql.answer(text)} {rows}")

    def _listed(self, listed: Listed, around: str, rows: str) -> Statement:
        """What stands around the list, of a row that `rows` tells; then the list's own rows."""
        cursor = ",NULL" if listed.page.members else ""
        first = f"SELECT {self.sql.answer(around)}{cursor} {rows}"
        return self._statement(f"{first} UNION ALL SELECT * FROM ({listed.rows}) p", listed.page)

    def _statement(self, text: str, page: Page | None = None) -> Statement:
        # Neighbouring literals become one: each `||` copies the text that has grown so far.
        merged = text.replace("'||'", "")
        reads_rows = self.sql.placeholder(COMPANY) in merged
        return Statement(merged, tuple(self._parameters), tuple(self._holes), reads_rows, page)

    # What every part of a statement is made with

    def rows(
        self,
        table: Table,
        alias: str,
        conditions: Sequence[str],
        *,
        deleted: DeletedRows = DeletedRows.INCLUDED,
    ) -> str:
        """FROM and WHERE of the caller's rows that the conditions look up."""
        return self.whose.of(table, alias, conditions, deleted=deleted)

    def alias(self) -> str:
        self._aliases += 1
        return f"t{self._aliases}"

    def site(self, rule: Given, definition: GraphQLField, asked: Asked) -> PlacedSite:
        """A field with arguments; to be told of in the same order for every request."""
        self._sites += 1
        return PlacedSite(self._sites - 1, self.visit(rule, definition, asked), self._bind)

    def _bind(self, site: int, value: int) -> str:
        if (site, value) not in self._parameters:
            self._parameters.append((site, value))
        number = self.whose.parameters + 1 + self._parameters.index((site, value))
        return self.sql.placeholder(number)

    def hole(
        self, rule: Computed, site: int, show: Projection, is_awaited: bool
    ) -> tuple[str, str]:
        """A place that Python fills: what begins and what ends the inputs of `rule` in it."""
        self._holes.append(Hole(rule, site, show, is_awaited))
        return literal(f"{HOLE}{len(self._holes) - 1}:["), literal(f"]{HOLE}")

    def type(self, name: str) -> GraphQLObjectType:
        found = self.selections.schema.get_type(name)
        if not is_object_type(found):
            raise NotCompiled(f"{name} is no object type")
        return found

    def object(
        self,
        type_name: str,
        alias: str,
        asked: Asked,
        known: Mapping[str, str] = NOTHING_KNOWN,
        *,
        guarded: bool = True,
    ) -> str:
        """The JSON of one row, in pieces; `known` are members by their keys.

        None is NULL, unless it is not `guarded`: then a value that is missing makes all of it NULL.
        Without parentheses, nor a function around them: SQLite reads nested ones only so deep.
        """
        kind, row = self.type(type_name), RowFields(self, self.rules.types[type_name], alias)
        members: list[tuple[str, str]] = []
        for one in self.selections.of(kind, asked.selections):
            if one.key in known:
                members.append((one.key, known[one.key]))
            elif one.name == "__typename":
                members.append((one.key, literal(f'"{type_name}"')))
            else:
                text = row.text(kind.fields[one.name], one, guarded=guarded)
                members.append((one.key, text))
        return braced(members)

    # Roots of one row

    def _one(self, rule: One, definition: GraphQLField, asked: Asked) -> Statement:
        site = self.site(rule, definition, asked)
        value = site.bind(0)
        alias = self.alias()
        table = self.rules.types[rule.type].table
        rows = self.rows(
            table,
            alias,
            [f"{alias}.{rule.column}={value}", *self.whose.in_place(table, alias)],
            deleted=site.meaning.deleted,
        )
        known: dict[str, str] = {}
        if rule.column == "id" and (only := self._only_connection(rule.type, asked)) is not None:
            children, inner, one = only
            connection = ConnectionWriter(self, children, inner, one, value)
            listed = connection.listed()
            if listed is not None:
                around = self.object(rule.type, alias, asked, {one.key: listed.around})
                return self._listed(listed, around, rows)
            known[one.key] = connection.text()
        text = f"(SELECT {self.object(rule.type, alias, asked, known)} {rows})"
        return self._statement(f"SELECT {self.sql.answer(text)}")

    def _only_connection(
        self, type_name: str, asked: Asked
    ) -> tuple[Children, GraphQLField, Asked] | None:
        """The connection that is asked of an object, if it is one."""
        kind, reads = self.type(type_name), self.rules.types[type_name]
        found = [
            (rule, kind.fields[one.name], one)
            for one in self.selections.of(kind, asked.selections)
            if one.name in kind.fields
            and isinstance(rule := reads.fields.get(python_name(kind.fields[one.name])), Children)
        ]
        return found[0] if len(found) == 1 else None

    def _any_one(self, rule: AnyOne, definition: GraphQLField, asked: Asked) -> str:
        identity = self.site(rule, definition, asked).bind(0)
        found = []
        for name, reads in self.rules.types.items():
            if "id" not in reads.table.c:  # found below another row only
                continue
            alias = self.alias()
            rows = self.rows(
                reads.table,
                alias,
                [f"{alias}.id={identity}", *self.whose.in_place(reads.table, alias)],
                deleted=DeletedRows.EXCLUDED,
            )
            found.append(f"(SELECT {self.object(name, alias, asked)} {rows})")
        return f"coalesce({','.join(found)})"
