"""Relay-style connections with keyset cursors, and how their arguments become pages."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Self, TypeVar

import strawberry
from sqlalchemy import ColumnElement

from opsin.core.errors import InvalidInput
from opsin.core.pages import Listing, Order, Page, PageRequest, read_page, read_total
from opsin.graphql.context import Context, Info

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
        conditions: Sequence[ColumnElement[bool]],
        filter_key: Hashable,
        parent_id: str | None = None,
    ) -> None:
        self._context = context
        self._listing = listing
        self._conditions = conditions
        self._filter_key = filter_key
        self._parent_id = parent_id

    async def page(self, request: PageRequest) -> Page[Any]:
        if self._parent_id is not None:
            return await self._context.loaders.page(
                self._listing, self._parent_id, self._conditions, self._filter_key, request
            )
        async with self._context.use_cases.database.read() as connection:
            return await read_page(connection, self._listing, self._mine(), request)

    async def total(self) -> int:
        if self._parent_id is not None:
            return await self._context.loaders.total(
                self._listing, self._parent_id, self._conditions, self._filter_key
            )
        async with self._context.use_cases.database.read() as connection:
            return await read_total(connection, self._listing, self._mine())

    def _mine(self) -> list[ColumnElement[bool]]:
        company_id = self._context.principal.company_id
        return [self._listing.table.c.company_id == company_id, *self._conditions]


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
    async def read(
        cls,
        source: Source,
        request: PageRequest,
        make: Callable[[Any], T],
    ) -> Self:
        """The page that `request` asks of `source`, its records made into nodes."""
        page = await source.page(request)
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
    info: Info, first: int, after: str | None, order: Order | None = None
) -> PageRequest:
    """The page that the arguments of a connection ask for."""
    most = info.context.max_page
    if not 0 <= first <= most:
        raise InvalidInput(f"first must be from 0 to {most}")
    return PageRequest(first, after, order or Order())
