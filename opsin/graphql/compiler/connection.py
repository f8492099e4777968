"""A connection in SQL: one page of rows, each row's JSON written once."""

from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from graphql import GraphQLField, get_named_type

from opsin.core.conditions import Compared, Comparison
from opsin.core.pages import Wanted, cursor_mark
from opsin.graphql.compiler.conditions import written
from opsin.graphql.compiler.listing import LIST, PAGE_INFO, Listed, Page
from opsin.graphql.compiler.rules import Children, NotCompiled
from opsin.graphql.compiler.selection import Asked
from opsin.storage.json_sql import UNUSUAL, braced, literal

if TYPE_CHECKING:
    from opsin.graphql.compiler.statement import StatementWriter


class ConnectionWriter:
    """Writes `{nodes, edges, pageInfo, totalCount}` as one scalar subquery.

    Inside, rows are chosen, ordered and made JSON (c0, c1, ...); around them, joined to lists.
    """

    def __init__(
        self,
        writer: "StatementWriter",
        rule: Children,
        definition: GraphQLField,
        asked: Asked,
        parent: str | None,
    ) -> None:
        self._writer = writer
        self._sql = writer.sql
        self._rule = rule
        self._site = writer.site(rule, definition, asked)
        wanted = self._site.meaning.wanted
        assert wanted is not None, "the rule is one of children"
        self._wanted: Wanted = wanted
        self._alias = writer.alias()
        kind = writer.type(get_named_type(definition.type).name)
        self._kind = kind.name
        self._members = writer.selections.of(kind, asked.selections)
        self._columns: list[str] = []
        self._parent = parent

    def listed(self) -> "Listed | None":
        """The same in parts, for a list whose rows come one by one; None if it has no such form.

        A database that joins many rows to one text copies it again and again while it grows.
        """
        names = [one.name for one in self._members]
        lists = [one for one in self._members if one.name in ("nodes", "edges")]
        if len(lists) != 1 or names.count("pageInfo") > 1:
            return None
        item = self._item(lists[0], guarded=False)
        page = None
        members: list[tuple[str, str]] = []
        for one in self._members:
            if one is lists[0]:
                members.append((one.key, literal(f"[{LIST}]")))
            elif one.name == "pageInfo":
                page = self._page_members(one)
                members.append((one.key, literal(PAGE_INFO)))
            else:
                members.append((one.key, self._member(one)))
        columns = self._sql.answer(item)
        if page:
            columns = f"{columns},{self._sql.answer(self._cursor())}"
        return Listed(
            braced(members),
            self._page(columns, more=1 if page else 0),
            Page(self._site.number, self._wanted.request.after is not None, page or ()),
        )

    def text(self) -> str:
        members = [(one.key, self._member(one)) for one in self._members]
        if not self._columns:  # a total at most: no row is shown
            return f"({braced(members)})"
        columns = ",".join(f"{text} AS c{n}" for n, text in enumerate(self._columns))
        return f"(SELECT {braced(members)} FROM ({self._page(columns)}) p)"

    def _page(self, columns: str, more: int = 0) -> str:
        """The rows of the page in order, and so many more."""
        order = ",".join(self._order())
        limit = f"{self._first}+{more}" if more else self._first
        if self._wanted.request.order.column == "id" and not self._is_by_dataset:
            # An index has that order.
            chosen = self._rows([*self._chosen, *self._past()])
            return f"SELECT {columns} {chosen} ORDER BY {order} LIMIT {limit}"
        found = self._writer.rows(
            self._rule.listing.table, self._alias, [f"{self._key} IN ({self._ids(limit)})"]
        )
        return f"SELECT {columns} {found} ORDER BY {order}"

    def _ids(self, limit: str) -> str:
        """Those of the page alone, not what is shown of them, where more rows must be looked at."""
        if self._is_by_dataset and self._wanted.request.order.column == "id":
            return self._writer.whose.first_of_each_dataset(
                self._rule.listing.table,
                self._alias,
                self._chosen,
                limit=limit,
                descending=self._is_descending,
                after=self._after[0] if self._after else None,
                deleted=self._wanted.deleted,
            )
        # All of them are sorted.
        chosen, order = self._rows([*self._chosen, *self._past()]), ",".join(self._order())
        return f"SELECT {self._key} {chosen} ORDER BY {order} LIMIT {limit}"

    # Members

    def _member(self, asked: Asked) -> str:
        match asked.name:
            case "__typename":
                return literal(f'"{self._kind}"')
            case "nodes" | "edges":
                return self._list(self._item(asked))
            case "pageInfo":
                return self._page_info(asked)
            case "totalCount":
                return f"(SELECT {self._sql.plain('count(*)')} {self._rows(self._chosen)})"
        raise NotCompiled(f"{asked.name} of a connection")

    def _list(self, item: str) -> str:
        return f"'['||{self._sql.joined(self._column(item))}||']'"

    def _item(self, asked: Asked, *, guarded: bool = True) -> str:
        """The JSON of one row, of `nodes` or of `edges`."""
        if asked.name == "nodes":
            return self._writer.object(self._rule.type, self._alias, asked, guarded=guarded)
        return self._edge(asked, guarded=guarded)

    def _edge(self, asked: Asked, *, guarded: bool) -> str:
        kind = self._writer.type(f"{self._rule.type}Edge")
        members: list[tuple[str, str]] = []
        for one in self._writer.selections.of(kind, asked.selections):
            match one.name:
                case "__typename":
                    text = literal(f'"{kind.name}"')
                case "cursor":
                    text = f"'\"'||{self._cursor()}||'\"'"
                case "node":
                    text = self._writer.object(self._rule.type, self._alias, one, guarded=guarded)
                case _:
                    raise NotCompiled(f"{one.name} of an edge")
            members.append((one.key, text))
        return braced(members)

    def _page_info(self, asked: Asked) -> str:
        return braced([(key, self._of_page(name)) for key, name in self._page_members(asked)])

    def _page_members(self, asked: Asked) -> tuple[tuple[str, str], ...]:
        """The key and the name of each member of a PageInfo."""
        kind = self._writer.type("PageInfo")
        return tuple((o.key, o.name) for o in self._writer.selections.of(kind, asked.selections))

    def _of_page(self, name: str) -> str:
        match name:
            case "__typename":
                return literal('"PageInfo"')
            case "hasNextPage":
                return f"CASE WHEN EXISTS ({self._next()}) THEN 'true' ELSE 'false' END"
            case "hasPreviousPage":
                return literal("false" if self._wanted.request.after is None else "true")
            case "startCursor":
                return self._end_of_page("max" if self._is_descending else "min")
            case "endCursor":
                return self._end_of_page("min" if self._is_descending else "max")
        raise NotCompiled(f"{name} of a page")

    def _next(self) -> str:
        """The row after the page."""
        if self._is_by_dataset:
            return f"SELECT 1 FROM ({self._ids(f'{self._first}+1')}) n LIMIT 1 OFFSET {self._first}"
        rows, order = self._rows([*self._chosen, *self._past()]), ",".join(self._order())
        return f"SELECT 1 {rows} ORDER BY {order} LIMIT 1 OFFSET {self._first}"

    def _end_of_page(self, function: str) -> str:
        """The least or the greatest cursor: as texts they have the order of their rows."""
        found = f"{function}({self._sql.plain_order(self._column(self._cursor()))})"
        return f"coalesce('\"'||{found}||'\"','null')"

    # Rows

    @property
    def _is_descending(self) -> bool:
        return self._wanted.request.order.descending

    def _column(self, text: str) -> str:
        if text not in self._columns:
            self._columns.append(text)
        return f"p.c{self._columns.index(text)}"

    @property
    def _first(self) -> str:
        """The size of the page."""
        return f"CAST({self._site.bind(0)} AS bigint)"

    def _rows(self, conditions: list[str]) -> str:
        return self._writer.whose.of(
            self._rule.listing.table,
            self._alias,
            conditions,
            by_company=self._is_by_company,
            deleted=self._wanted.deleted,
        )

    @property
    def _is_by_company(self) -> bool:
        """Whether nothing but whose they are tells the rows from others."""
        table = self._rule.listing.table
        indexed = {index.columns[0].name for index in table.indexes if len(index.columns)}
        compared = [c for c in self._wanted.conditions if isinstance(c, Compared)]
        equal = {c.column for c in compared if c.comparison is Comparison.EQUAL}
        return self._parent is None and not indexed & equal

    @property
    def _is_by_dataset(self) -> bool:
        """Whether, therefore, the datasets of a caller do who sees no more than these."""
        return self._is_by_company and self._writer.whose.has_datasets(self._rule.listing.table)

    def _order(self) -> list[str]:
        order = self._wanted.request.order
        end = " DESC" if order.descending else ""
        return [f"{self._alias}.{name}{end}" for name in self._positions()]

    def _positions(self) -> list[str]:
        column, key = self._wanted.request.order.column, self._rule.listing.key
        return [key] if column == "id" else [column, key]

    @property
    def _key(self) -> str:
        return f"{self._alias}.{self._rule.listing.key}"

    def _past(self) -> list[str]:
        """The rows after the page's cursor."""
        if not self._after:
            return []
        names = [f"{self._alias}.{name}" for name in self._positions()]
        beyond = "<" if self._wanted.request.order.descending else ">"
        return [f"({','.join(names)}){beyond}({','.join(self._after)})"]

    @property
    def _after(self) -> list[str]:
        """The values of the page's cursor, in the order of positions; none of a first page."""
        if self._wanted.request.after is None:
            return []
        return [self._site.bind(1 + place) for place in range(len(self._positions()))]

    @cached_property
    def _chosen(self) -> list[str]:
        """What the rows must meet; written when a row is asked for, with its parameters."""
        under = f"{self._alias}.{self._rule.listing.parent}={self._parent}"
        return [*([under] if self._parent else []), *self._conditions()]

    def _conditions(self) -> list[str]:
        begin = 1 if self._wanted.request.after is None else 1 + len(self._positions())
        values = map(self._site.bind, count(begin))
        return [written(self._writer, one, self._alias, values) for one in self._wanted.conditions]

    def _cursor(self) -> str:
        """As `opsin.core.pages.encode_cursor` writes it."""
        order, identity = self._wanted.request.order, self._sql.plain(self._key)
        mark = literal(cursor_mark(order))
        if order.column == "id":
            return f"{mark}||{identity}"
        value = self._sql.moment(f"{self._alias}.{order.column}")
        # PostgreSQL has infinite times, which no cursor names.
        return f"{mark}||coalesce({value},{literal(UNUSUAL)})||'|'||{identity}"
