"""Pages by offset, with a total: for callers who turn pages by their number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import InvalidInput
from opsin.core.pages import Listing, Order, Record
from opsin.core.records import columns_of, to_record

_LARGEST_OFFSET = 2**62
MAX_LIMIT = 1000
BY_ID = Order()
"""In the order in which the rows were made."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows of a list are wanted, and in which order."""

    skip: int = 0
    limit: int = 100
    order: Order = BY_ID


async def read_slice(
    connection: AsyncConnection,
    listing: Listing[Record],
    conditions: Sequence[ColumnElement[bool]],
    wanted: Slice,
    orders: Mapping[str, ColumnElement[Any]],
) -> tuple[list[Record], int]:
    """The rows that meet `conditions` and are wanted, and how many meet them in all.

    `orders` are the columns by which the list may be ordered, besides the id; InvalidInput for
    another, for a negative `skip`, and for a `limit` that is not from 0 to 1,000.
    """
    if not 0 <= wanted.skip <= _LARGEST_OFFSET or not 0 <= wanted.limit <= MAX_LIMIT:
        raise InvalidInput(f"skip is 0 or more, limit from 0 to {MAX_LIMIT}")
    table, order = listing.table, wanted.order
    if order.column != "id" and order.column not in orders:
        raise InvalidInput(f"This list has no order by {order.column!r}: id, {', '.join(orders)}")
    columns = [table.c.id] if order.column == "id" else [orders[order.column], table.c.id]
    statement = (
        select(*columns_of(table, listing.record))
        .where(*conditions)
        .order_by(*(column.desc() if order.descending else column.asc() for column in columns))
        .offset(wanted.skip)
        .limit(wanted.limit)
    )
    rows = await connection.execute(statement)
    found = [to_record(listing.record, row) for row in rows]
    if wanted.skip == 0 and len(found) < wanted.limit:
        return found, len(found)
    count = select(func.count()).select_from(table).where(*conditions)
    return found, (await connection.execute(count)).scalar_one()
