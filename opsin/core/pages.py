"""Keyset pages: which rows come next, for one parent or for many in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.conditions import Condition
from opsin.core.errors import InvalidInput
from opsin.core.records import columns_of, to_record
from opsin.core.soft_deletion import DeletedRows
from opsin.storage.first_rows import Groups, first_of_each
from opsin.storage.ids import canonical_id

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Order:
    """By the id, or by a time that is never null, and then by id."""

    column: str = "id"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How much is wanted, from where; `after` is an opaque cursor this module made."""

    first: int
    after: str | None = None
    order: Order = Order()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a list: which rows, and which page of them."""

    request: PageRequest
    conditions: tuple[Condition, ...] = ()
    deleted: DeletedRows = DeletedRows.EXCLUDED


@dataclass(frozen=True, slots=True)
class Page(Generic[Record]):
    """Some records, their cursors, and whether more follow."""

    records: Sequence[Record]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True)
class Listing(Generic[Record]):
    """A table read as pages of records; `parent` names the column that groups them.

    `key` is the id that tells the rows of one parent apart, and orders them.  In a table without
    ids of its own it is another row's, and the list has no other order.
    """

    table: Table
    record: type[Record]
    parent: str | None = None
    key: str = "id"

    def parent_column(self) -> Column[Any]:
        if self.parent is None:
            raise ValueError("this listing has no parent")
        return self.table.c[self.parent]


async def read_page(
    connection: AsyncConnection,
    listing: Listing[Record],
    conditions: Sequence[ColumnElement[bool]],
    request: PageRequest,
    *,
    groups: Groups | None = None,
) -> Page[Record]:
    """One page of the rows that meet `conditions`, in one of the groups if there are any."""
    where = [*conditions, *_after(listing, request)]
    if groups is not None and request.order.column != "id":
        where.append(groups.column.in_(groups.values))
    elif groups is not None:
        after = None if request.after is None else decode_cursor(request.after, request.order)[1]
        key = listing.table.c[listing.key]
        keys = first_of_each(
            connection, key, groups, conditions,
            limit=request.first + 1, descending=request.order.descending, after=after,
        )  # fmt: skip
        where = [key.in_(keys)]
    statement = (
        select(*columns_of(listing.table, listing.record))
        .where(*where)
        .order_by(*_ordering(listing, request.order))
        .limit(request.first + 1)
    )
    rows = (await connection.execute(statement)).all()
    return _page(listing, [to_record(listing.record, row) for row in rows], request)


async def read_pages(
    connection: AsyncConnection,
    listing: Listing[Record],
    parents: Sequence[str],
    conditions: Sequence[ColumnElement[bool]],
    request: PageRequest,
) -> dict[str, Page[Record]]:
    """The same page of every parent, in one statement."""
    parent = listing.parent_column()
    if len(parents) == 1:
        page = await read_page(connection, listing, [*conditions, parent == parents[0]], request)
        return {parents[0]: page}
    ranked = (
        select(
            *columns_of(listing.table, listing.record),
            func.row_number()
            .over(partition_by=parent, order_by=_ordering(listing, request.order))
            .label("page_rank"),
        )
        .where(parent.in_(parents), *conditions, *_after(listing, request))
        .subquery()
    )
    statement = (
        select(ranked)
        .where(ranked.c.page_rank <= request.first + 1)
        .order_by(ranked.c[parent.name], ranked.c.page_rank)
    )
    found: dict[str, list[Record]] = {parent_id: [] for parent_id in parents}
    index = list(listing.record.__dataclass_fields__).index(parent.name)  # type: ignore[attr-defined]  # a dataclass
    for row in await connection.execute(statement):
        found[row[index]].append(to_record(listing.record, row))
    return {parent_id: _page(listing, records, request) for parent_id, records in found.items()}


async def read_totals(
    connection: AsyncConnection,
    listing: Listing[Record],
    parents: Sequence[str],
    conditions: Sequence[ColumnElement[bool]],
) -> dict[str, int]:
    """How many rows each parent has in all."""
    parent = listing.parent_column()
    statement = (
        select(parent, func.count()).where(parent.in_(parents), *conditions).group_by(parent)
    )
    counts = {row[0]: row[1] for row in await connection.execute(statement)}
    return {parent_id: counts.get(parent_id, 0) for parent_id in parents}


async def read_total(
    connection: AsyncConnection, listing: Listing[Any], conditions: Sequence[ColumnElement[bool]]
) -> int:
    """How many rows meet `conditions`."""
    statement = select(func.count()).select_from(listing.table).where(*conditions)
    return (await connection.execute(statement)).scalar_one()


def _page(listing: Listing[Record], records: list[Record], request: PageRequest) -> Page[Record]:
    has_next = len(records) > request.first
    records = records[: request.first]
    cursors = [encode_cursor(record, request.order, listing.key) for record in records]
    return Page(records, cursors, has_next, request.after is not None)


def encode_cursor(record: Any, order: Order, key: str = "id") -> str:
    """Where a record lies in this order; compiled reads write the same text in SQL."""
    identity = getattr(record, key)
    if order.column == "id":
        return f"{cursor_mark(order)}{identity}"
    value = getattr(record, order.column).isoformat(timespec="microseconds")
    return f"{cursor_mark(order)}{value}|{identity}"


def cursor_mark(order: Order) -> str:
    """How every cursor of this order begins."""
    return f"{order.column}{'<' if order.descending else '>'}"


def decode_cursor(cursor: str, order: Order) -> tuple[Any, str]:
    """The position in `order` that the cursor names; raises InvalidInput for any other text."""
    mark = cursor_mark(order)
    value, _, row_id = cursor.removeprefix(mark).rpartition("|")
    identity = canonical_id(row_id)
    try:
        if not cursor.startswith(mark) or identity is None or (order.column == "id") != (not value):
            raise ValueError("a position in another order, or none")
        if order.column == "id":
            return identity, identity
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("a time without a zone")
        return moment.astimezone(UTC), identity
    except (ValueError, OverflowError):
        raise InvalidInput("'after' is not a cursor of this list in this order") from None


def _ordering(listing: Listing[Any], order: Order) -> list[ColumnElement[Any]]:
    names = [listing.key] if order.column == "id" else [order.column, listing.key]
    columns = [listing.table.c[name] for name in names]
    return [column.desc() if order.descending else column.asc() for column in columns]


def _after(listing: Listing[Any], request: PageRequest) -> list[ColumnElement[bool]]:
    if request.after is None:
        return []
    value, row_id = decode_cursor(request.after, request.order)
    identity = listing.table.c[listing.key]
    if request.order.column == "id":
        return [identity < row_id if request.order.descending else identity > row_id]
    column = listing.table.c[request.order.column]
    if request.order.descending:
        return [or_(column < value, and_(column == value, identity < row_id))]
    return [or_(column > value, and_(column == value, identity > row_id))]
