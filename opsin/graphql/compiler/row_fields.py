"""The fields of one row in SQL: columns, what they lead to, and what Python will compute."""

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

from graphql import GraphQLField, is_non_null_type

from opsin.graphql.compiler.arguments import python_name
from opsin.graphql.compiler.columns import given, shown
from opsin.graphql.compiler.connection import ConnectionWriter
from opsin.graphql.compiler.projection import projection
from opsin.graphql.compiler.rules import (
    Beside,
    Children,
    Computed,
    Counted,
    Entries,
    Items,
    NotCompiled,
    Parent,
    Reads,
)
from opsin.graphql.compiler.selection import Asked
from opsin.storage.json_sql import UNUSUAL, literal

if TYPE_CHECKING:
    from opsin.graphql.compiler.statement import StatementWriter


class RowFields:
    """Writes what is asked of the row `alias`, which `reads` tells how to read."""

    def __init__(self, writer: "StatementWriter", reads: Reads, alias: str) -> None:
        self._writer = writer
        self._sql = writer.sql
        self._reads = reads
        self._alias = alias

    def text(self, definition: GraphQLField, asked: Asked, *, guarded: bool) -> str:
        """The JSON of one field; what is missing is UNUSUAL, or NULL if not `guarded`."""
        name = python_name(definition)
        match self._reads.fields.get(name):
            case None if name in self._reads.table.c:
                column = self._reads.table.c[name]
                value = f"{self._alias}.{name}"
                return shown(self._sql, definition.type, column, value, guarded=guarded)
            case Parent() as rule:
                return self._parent(rule, definition, asked)
            case Children() as rule:
                parent = f"{self._alias}.id"
                return ConnectionWriter(self._writer, rule, definition, asked, parent).text()
            case Items() as rule:
                return self._items(rule, asked)
            case Entries() as rule:
                return self._entries(rule)
            case Computed() as rule:
                return self._hole(rule, definition, asked)
        raise NotCompiled(f"{name} of {self._reads.table.name}")

    def _parent(self, rule: Parent, definition: GraphQLField, asked: Asked) -> str:
        table, other = self._writer.rules.types[rule.type].table, self._writer.alias()
        rows = self._writer.rows(table, other, [f"{other}.id={self._alias}.{rule.column}"])
        missing = UNUSUAL if is_non_null_type(definition.type) else "null"
        text = self._writer.object(rule.type, other, asked)
        return f"coalesce((SELECT {text} {rows}),{literal(missing)})"

    def _items(self, rule: Items, asked: Asked) -> str:
        other = self._writer.alias()
        item = self._writer.object(rule.type, other, asked)
        parent = f"{other}.{rule.listing.parent_column().name}={self._alias}.id"
        rows = self._writer.rows(rule.listing.table, other, [parent])
        page = f"SELECT {item} AS item {rows} ORDER BY {other}.{rule.listing.key} LIMIT {rule.most}"
        return f"(SELECT '['||{self._sql.joined('p.item')}||']' FROM ({page}) p)"

    def _entries(self, rule: Entries) -> str:
        other, table = self._writer.alias(), rule.table
        key, value = f"{other}.{rule.key}", f"{other}.{rule.value}"
        rows = self._writer.rows(table, other, [f"{other}.{rule.parent}={self._alias}.id"])
        member = f"{self._sql.text(key)}||':'||{given(self._sql, table.c[rule.value], value)}"
        members = f"SELECT {member} AS member {rows} ORDER BY {self._sql.plain_order(key)}"
        return f"(SELECT '{{'||{self._sql.joined('p.member')}||'}}' FROM ({members}) p)"

    # What Python computes

    def _hole(self, rule: Computed, definition: GraphQLField, asked: Asked) -> str:
        site = self._writer.site(rule, definition, asked).number
        show = projection(self._writer.selections, definition.type, asked.selections)
        begin, end = self._writer.hole(rule, site, show, iscoroutinefunction(rule.compute))
        inputs = "||','||".join(self._input(one, asked) for one in rule.inputs)
        return f"{begin}||{inputs}||{end}"

    def _input(self, one: str | Beside | Counted, asked: Asked) -> str:
        if isinstance(one, str):
            return given(self._sql, self._reads.table.c[one], f"{self._alias}.{one}")
        if isinstance(one, Counted):
            return self._counted(one)
        if one.only_for and not self._writer.selections.mention(one.only_for, asked.selections):
            return "'false'"
        other = self._writer.alias()
        matches = [f"{other}.{there}={self._alias}.{here}" for there, here in one.match.items()]
        rows = self._writer.rows(one.table, other, matches)
        if isinstance(one.column, str):
            value = given(self._sql, one.table.c[one.column], f"{other}.{one.column}")
        else:
            values = [given(self._sql, one.table.c[c], f"{other}.{c}") for c in one.column]
            joined = "||','||".join(values)
            value = f"'['||{joined}||']'"
        return f"coalesce((SELECT {value} {rows} ORDER BY {other}.{one.order} LIMIT 1),'null')"

    def _counted(self, one: Counted) -> str:
        other = self._writer.alias()
        column = f"{other}.{one.column}"
        matches = [f"{other}.{there}={self._alias}.{here}" for there, here in one.match.items()]
        value = given(self._sql, one.table.c[one.column], column)
        pair = f"'['||{value}||','||{self._sql.plain('count(*)')}||']'"
        rows = self._writer.rows(one.table, other, matches)
        pairs = f"SELECT {pair} AS pair {rows} GROUP BY {column} ORDER BY {column}"
        return f"(SELECT '['||{self._sql.joined('p.pair')}||']' FROM ({pairs}) p)"
