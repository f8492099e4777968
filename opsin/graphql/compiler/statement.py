"""One SQL statement for one root field, whatever is nested in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import TypeAlias

from graphql import GraphQLField, GraphQLObjectType, is_non_null_type, is_object_type
from sqlalchemy import Table

from opsin.core.events import CURSOR_DIGITS
from opsin.core.scope import NAMES, WAYS
from opsin.core.soft_deletion import DeletedRows, deletion_column
from opsin.graphql.compiler.arguments import Given, Meaning, python_name
from opsin.graphql.compiler.columns import given, shown
from opsin.graphql.compiler.connection import ConnectionWriter
from opsin.graphql.compiler.listing import Listed, Page
from opsin.graphql.compiler.projection import Projection, projection
from opsin.graphql.compiler.rules import (
    AnyOne,
    Beside,
    Children,
    Computed,
    Counted,
    Entries,
    Items,
    LogEnd,
    NotCompiled,
    One,
    Parent,
    Reads,
    Rule,
    Rules,
)
from opsin.graphql.compiler.selection import Asked, Selections
from opsin.storage.json_sql import HOLE, UNUSUAL, JsonSql, braced, literal
from opsin.storage.tables import events

COMPANY = 1
"""The number of the parameter that every statement has first: whose rows may be read."""
DATASETS = 2
"""That of a caller who sees single datasets only: the list of their ids."""
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
    _sites: int = 0
    _aliases: int = 0
    _parameters: list[tuple[int, int]] = field(default_factory=list)
    _holes: list[Hole] = field(default_factory=list)

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
                text = self._log_end()
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
        by_company: bool = False,
        deleted: DeletedRows = DeletedRows.INCLUDED,
    ) -> str:
        """FROM and WHERE of the caller's rows; nothing in a compiled read has another FROM.

        With `by_company` the rows are looked up by their company, else by the conditions; lists
        and roots say which of the rows that were softly `deleted` are among them.
        """
        mine = f"{alias}.company_id={self.sql.placeholder(COMPANY)}"
        every = [mine if by_company else self.sql.unindexed(mine), *conditions]
        if self.is_narrow:
            every.append(self._in_datasets(table, alias))
        deleted_at = deletion_column(table)
        if deleted_at is not None and deleted is not DeletedRows.INCLUDED:
            null = "NOT NULL" if deleted is DeletedRows.ONLY else "NULL"
            every.append(f"{alias}.{deleted_at} IS {null}")
        return f"FROM {table.name} {alias} WHERE {' AND '.join(every)}"

    def _in_datasets(self, table: Table, alias: str) -> str:
        """Of a caller who sees single datasets only: that a row lies in one of them.

        As `opsin.core.scope.within` says it, which tells of each table how.
        """
        listed = self.sql.placeholder(DATASETS)
        # Whatever is read, PostgreSQL must see what type the parameter has.
        is_given = self.sql.has_list(listed, "uuid")
        if table.name in NAMES:
            return is_given
        way = WAYS.get(table.name)
        if way is None:
            return f"NOT ({is_given})"
        column = f"{alias}.{way.column}"
        if way.through is None:
            return self.sql.unindexed(self.sql.among(column, listed, "uuid"))
        other = self.alias()
        return f"EXISTS (SELECT 1 {self.rows(way.through, other, [f'{other}.id={column}'])})"

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
        first = DATASETS if self.is_narrow else COMPANY
        return self.sql.placeholder(first + 1 + self._parameters.index((site, value)))

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
        kind, reads = self.type(type_name), self.rules.types[type_name]
        members: list[tuple[str, str]] = []
        for one in self.selections.of(kind, asked.selections):
            if one.key in known:
                members.append((one.key, known[one.key]))
            elif one.name == "__typename":
                members.append((one.key, literal(f'"{type_name}"')))
            else:
                text = self._member(reads, kind.fields[one.name], alias, one, guarded=guarded)
                members.append((one.key, text))
        return braced(members)

    # Roots of one row

    def _one(self, rule: One, definition: GraphQLField, asked: Asked) -> Statement:
        site = self.site(rule, definition, asked)
        value = site.bind(0)
        alias = self.alias()
        rows = self.rows(
            self.rules.types[rule.type].table,
            alias,
            [f"{alias}.{rule.column}={value}"],
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

    def _log_end(self) -> str:
        end = self.sql.padded("coalesce(max(sequence),0)", CURSOR_DIGITS)
        rows = self.rows(events, self.alias(), [], by_company=True)
        return f"(SELECT '\"'||{end}||'\"' {rows})"

    def _any_one(self, rule: AnyOne, definition: GraphQLField, asked: Asked) -> str:
        identity = self.site(rule, definition, asked).bind(0)
        found = []
        for name, reads in self.rules.types.items():
            if "id" not in reads.table.c:  # found below another row only
                continue
            alias = self.alias()
            rows = self.rows(
                reads.table, alias, [f"{alias}.id={identity}"], deleted=DeletedRows.EXCLUDED
            )
            found.append(f"(SELECT {self.object(name, alias, asked)} {rows})")
        return f"coalesce({','.join(found)})"

    # Fields of a row

    def _member(
        self, reads: Reads, definition: GraphQLField, alias: str, asked: Asked, *, guarded: bool
    ) -> str:
        name = python_name(definition)
        match reads.fields.get(name):
            case None if name in reads.table.c:
                column = reads.table.c[name]
                return shown(self.sql, definition.type, column, f"{alias}.{name}", guarded=guarded)
            case Parent() as rule:
                return self._parent(rule, definition, alias, asked)
            case Children() as rule:
                return self._connection(rule, definition, asked, alias)
            case Items() as rule:
                return self._items(rule, alias, asked)
            case Entries() as rule:
                return self._entries(rule, alias)
            case Computed() as rule:
                return self._hole(rule, reads, definition, alias, asked)
        raise NotCompiled(f"{name} of {reads.table.name}")

    def _parent(self, rule: Parent, definition: GraphQLField, alias: str, asked: Asked) -> str:
        table, other = self.rules.types[rule.type].table, self.alias()
        rows = self.rows(table, other, [f"{other}.id={alias}.{rule.column}"])
        missing = UNUSUAL if is_non_null_type(definition.type) else "null"
        text = self.object(rule.type, other, asked)
        return f"coalesce((SELECT {text} {rows}),{literal(missing)})"

    def _connection(
        self, rule: Children, definition: GraphQLField, asked: Asked, parent: str | None
    ) -> str:
        under = None if parent is None else f"{parent}.id"
        return ConnectionWriter(self, rule, definition, asked, under).text()

    def _items(self, rule: Items, alias: str, asked: Asked) -> str:
        other = self.alias()
        item = self.object(rule.type, other, asked)
        parent = f"{other}.{rule.listing.parent_column().name}={alias}.id"
        rows = self.rows(rule.listing.table, other, [parent])
        page = f"SELECT {item} AS item {rows} ORDER BY {other}.{rule.listing.key} LIMIT {rule.most}"
        return f"(SELECT '['||{self.sql.joined('p.item')}||']' FROM ({page}) p)"

    def _entries(self, rule: Entries, alias: str) -> str:
        other, table = self.alias(), rule.table
        key, value = f"{other}.{rule.key}", f"{other}.{rule.value}"
        rows = self.rows(table, other, [f"{other}.{rule.parent}={alias}.id"])
        member = f"{self.sql.text(key)}||':'||{given(self.sql, table.c[rule.value], value)}"
        members = f"SELECT {member} AS member {rows} ORDER BY {self.sql.plain_order(key)}"
        return f"(SELECT '{{'||{self.sql.joined('p.member')}||'}}' FROM ({members}) p)"

    def _hole(
        self, rule: Computed, reads: Reads, definition: GraphQLField, alias: str, asked: Asked
    ) -> str:
        site = self.site(rule, definition, asked).number
        show = projection(self.selections, definition.type, asked.selections)
        self._holes.append(Hole(rule, site, show, iscoroutinefunction(rule.compute)))
        begin, end = literal(f"{HOLE}{len(self._holes) - 1}:["), literal(f"]{HOLE}")
        inputs = "||','||".join(self._input(one, reads, alias, asked) for one in rule.inputs)
        return f"{begin}||{inputs}||{end}"

    def _input(self, one: str | Beside | Counted, reads: Reads, alias: str, asked: Asked) -> str:
        if isinstance(one, str):
            return given(self.sql, reads.table.c[one], f"{alias}.{one}")
        if isinstance(one, Counted):
            return self._counted(one, alias)
        if one.only_for and not self.selections.mention(one.only_for, asked.selections):
            return "'false'"
        other = self.alias()
        matches = [f"{other}.{there}={alias}.{here}" for there, here in one.match.items()]
        rows = self.rows(one.table, other, matches)
        if isinstance(one.column, str):
            value = given(self.sql, one.table.c[one.column], f"{other}.{one.column}")
        else:
            values = [given(self.sql, one.table.c[c], f"{other}.{c}") for c in one.column]
            joined = "||','||".join(values)
            value = f"'['||{joined}||']'"
        return f"coalesce((SELECT {value} {rows} ORDER BY {other}.{one.order} LIMIT 1),'null')"

    def _counted(self, one: Counted, alias: str) -> str:
        other = self.alias()
        column = f"{other}.{one.column}"
        matches = [f"{other}.{there}={alias}.{here}" for there, here in one.match.items()]
        value = given(self.sql, one.table.c[one.column], column)
        pair = f"'['||{value}||','||{self.sql.plain('count(*)')}||']'"
        rows = self.rows(one.table, other, matches)
        pairs = f"SELECT {pair} AS pair {rows} GROUP BY {column} ORDER BY {column}"
        return f"(SELECT '['||{self.sql.joined('p.pair')}||']' FROM ({pairs}) p)"
