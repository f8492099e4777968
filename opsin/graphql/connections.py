"""Relay-style connections with keyset cursors, and how their arguments become pages."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

import strawberry
from sqlalchemy import ColumnElement

from opsin.core.conditions import expressions
from opsin.core.errors import InvalidInput
from opsin.core.pages import Listing, Order, Page, PageRequest, Wanted, read_page, read_total
from opsin.core.scope import by_dataset, of_company, within
from opsin.core.soft_deletion import not_deleted
from opsin.graphql.context import Context

T = TypeVar("T")
DEFAULT_PAGE = 50


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="One item of a page and its cursor.")
class Edge(Generic[T]):
    cursor: str
    node: T


class Source:
    """Reads one list: all of the caller's rows, or the children of one parent."""

    def __init__(
        self,
        context: Context,
        listing: Listing[Any],
        wanted: Wanted,
        parent_id: str | None = None,
    ) -> None:
        self._context = context
        self._listing = listing
        self._wanted = wanted
        self._parent_id = parent_id

    async def page(self) -> Page[Any]:
        if self._parent_id is not None:
            return await self._context.loaders.page(self._listing, self._parent_id, self._wanted)
        groups = by_dataset(self._context.principal, self._listing.table)
        conditions = self._mine(by_dataset=groups is not None)
        request = self._wanted.request
        async with self._context.use_cases.database.read() as connection:
            return await read_page(connection, self._listing, conditions, request, groups=groups)

    async def total(self) -> int:
        if self._parent_id is not None:
            return await self._context.loaders.total(self._listing, self._parent_id, self._wanted)
        async with self._context.use_cases.database.read() as connection:
            return await read_total(connection, self._listing, self._mine())

    def _mine(self, *, by_dataset: bool = False) -> list[ColumnElement[bool]]:
        """With `by_dataset` somebody else says which datasets the rows are of."""
        table, principal = self._listing.table, self._context.principal
        mine = of_company(principal, table) if by_dataset else within(principal, table)
        shown = not_deleted(table, self._wanted.deleted)
        return [mine, *shown, *expressions(table, self._wanted.conditions)]


@strawberry.type(description="A page of a list; `nodes` is `edges { node }` without the cursors.")
class Connection(Generic[T]):
    edges: list[Edge[T]]
    nodes: list[T]
    page_info: PageInfo
    source: strawberry.Private[Source]

    @strawberry.field(description="How many there are in all; counted only when asked for.")
    async def total_count(self) -> int:
        return await self.source.total()

    @classmethod
    async def read(cls, source: Source, make: Callable[[Any], T]) -> Self:
        """The page of `source`, its records made into nodes."""
        page = await source.page()
        nodes = [make(record) for record in page.records]
        return cls(
            edges=[Edge(cursor=c, node=n) for c, n in zip(page.cursors, nodes, strict=True)],
            nodes=nodes,
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=page.has_previous,
                start_cursor=page.cursors[0] if page.cursors else None,
                end_cursor=page.cursors[-1] if page.cursors else None,
            ),
            source=source,
        )


def page_request(
    context: Context, first: int, after: str | None, order: Order | None = None
) -> PageRequest:
    """The page that the arguments of a connection ask for."""
    most = context.max_page
    if not 0 <= first <= most:
        raise InvalidInput(f"first must be from 0 to {most}")
    return PageRequest(first, after, order or Order())
