"""Stored vectors: written, read in blocks, and searched by pgvector where PostgreSQL has it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    MetaData,
    Table,
    and_,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import UserDefinedType

from opsin.storage.tables import embeddings

BLOCK = 4096
"""Vectors that are read at once."""
_MOST_INDEXED = 16_000  # dimensions that pgvector's type may have
_FEW = 10_000  # vectors that are compared one by one in the time that an index is worth
_BREADTH, _MOST_BREADTH = 400, 1000  # candidates that HNSW keeps in view; pgvector's most
_SPARE = 32  # more candidates than wanted: some may be outdated, and the exact order is another

# For this transaction.  Without sorting, the index is what is left to give an order: fresh tables
# have no statistics from which PostgreSQL could see that it is worth it.
_BY_INDEX = text(
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true),"
    " set_config('hnsw.ef_search', :breadth, true), set_config('enable_sort', 'off', true)"
)
_ONE_BY_ONE = text("SELECT set_config('enable_sort', 'on', true)")

VectorRow: TypeAlias = Sequence[Any]
"""Image, analysis and dataset by id, and the vector's bytes."""


class _Vector(UserDefinedType[str]):
    """pgvector's type, as text."""

    cache_ok = True

    def __init__(self, dimensions: int | None = None) -> None:
        self.dimensions = dimensions

    def get_col_spec(self, **_: Any) -> str:
        return "vector" if self.dimensions is None else f"vector({self.dimensions})"


# With pgvector the table has one column more: each vector again, in the type that has an index.
_INDEXED = Table(
    "embeddings",
    MetaData(),
    *(Column(column.name, column.type) for column in embeddings.c),
    Column("indexed", _Vector()),
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The vectors that one is compared with: the newest of each image of a company."""

    company_id: str
    space: str
    target: str
    dimensions: int
    dataset_ids: tuple[str, ...] | None = None
    """Only those that lie in these datasets; None: in any of the company's."""

    def conditions(self, table: Table = embeddings) -> list[ColumnElement[bool]]:
        c = table.c
        found = [
            c.company_id == self.company_id,
            c.space == self.space,
            c.target == self.target,
            # Written out, or PostgreSQL would not see that it is the condition of an index.
            c.dimensions == text(str(int(self.dimensions))),
        ]
        if self.dataset_ids is not None:
            found.append(c.dataset_id.in_(self.dataset_ids))
        return found


async def insert_embeddings(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows of `embeddings`."""
    if not rows:
        return
    if await is_indexed(connection):
        both = [row | {"indexed": _indexed_text(row)} for row in rows]
        await connection.execute(insert(_INDEXED), both)
    else:
        await connection.execute(insert(embeddings), rows)


async def is_indexed(connection: AsyncConnection) -> bool:
    """Whether the vectors are stored for pgvector as well."""
    if connection.dialect.name != "postgresql":
        return False
    column = (
        "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('embeddings')"
        " AND attname = 'indexed' AND NOT attisdropped"
    )
    return (await connection.execute(text(column))).first() is not None


async def analysis_ids(connection: AsyncConnection, scope: Scope, most: int) -> list[str]:
    """The analyses of the vectors in scope, `most` of them at most."""
    c = embeddings.c
    statement = select(c.analysis_id).where(*scope.conditions(), ~_outdated(embeddings))
    return list((await connection.execute(statement.limit(most))).scalars())


async def vector_blocks(
    connection: AsyncConnection, scope: Scope, only: Sequence[str] | None = None
) -> AsyncIterator[Sequence[VectorRow]]:
    """The vectors in scope, or those of these analyses, some thousand at a time."""
    c = embeddings.c
    statement = select(c.image_id, c.analysis_id, c.dataset_id, c.vector)
    if only is None:
        statement = statement.where(*scope.conditions(), ~_outdated(embeddings))
        async with connection.stream(statement.execution_options(yield_per=BLOCK)) as result:
            async for block in result.partitions(BLOCK):
                yield block
        return
    for start in range(0, len(only), BLOCK):
        chosen = statement.where(c.analysis_id.in_(only[start : start + BLOCK]))
        if rows := (await connection.execute(chosen)).all():
            yield rows


async def nearest_by_index(
    connection: AsyncConnection, scope: Scope, query: bytes, most: int, without: str | None
) -> Sequence[VectorRow] | None:
    """About the nearest vectors in scope to `query`, by pgvector; None where it cannot tell.

    `without` is an image that is left out.
    """
    if scope.dimensions > _MOST_INDEXED or not await is_indexed(connection):
        return None
    wanted = most + _SPARE
    if await _count(connection, scope, _FEW) == _FEW:
        await connection.execute(
            _BY_INDEX, {"breadth": str(min(max(4 * wanted, _BREADTH), _MOST_BREADTH))}
        )
        rows = await _nearest(connection, scope, query, wanted, without, exact=False)
        found = [row for row in rows if not row.outdated]
        if len(found) >= most:
            return [row[:4] for row in found]
        # The index was searched as far as it may be, and too much of it was not in scope.
        await connection.execute(_ONE_BY_ONE)
    rows = await _nearest(connection, scope, query, wanted, without, exact=True)
    return [row[:4] for row in rows]


async def _nearest(
    connection: AsyncConnection,
    scope: Scope,
    query: bytes,
    most: int,
    without: str | None,
    *,
    exact: bool,
) -> Sequence[Any]:
    """Rows with `outdated`: whether the image has a newer vector in scope."""
    c = _INDEXED.c
    length = _Vector(scope.dimensions)
    # A parameter of that type: a cast from text would be made again for every row.
    distance = cast(c.indexed, length).op("<=>")(literal(vector_text(query), length))
    near = select(c.image_id, c.analysis_id, c.dataset_id, c.vector, c.space, c.target).where(
        *scope.conditions(_INDEXED)
    )
    if without is not None:
        near = near.where(c.image_id != without)
    if exact:
        # No index is in the order of a sum.
        near = near.where(~_outdated(_INDEXED)).order_by(distance + literal(0.0), c.image_id)
    else:
        near = near.order_by(distance)
    # On its own, so that the index gives the order, whatever is asked of its candidates.
    chosen = near.limit(most).cte("near").prefix_with("MATERIALIZED")
    outdated = literal(False) if exact else _outdated(chosen)
    n = chosen.c
    statement = select(
        n.image_id, n.analysis_id, n.dataset_id, n.vector, outdated.label("outdated")
    )
    return (await connection.execute(statement)).all()


async def _count(connection: AsyncConnection, scope: Scope, most: int) -> int:
    """How many vectors are in scope, outdated ones included, counted up to `most`."""
    some = select(literal(1)).where(*scope.conditions()).limit(most).subquery()
    return (await connection.execute(select(func.count()).select_from(some))).scalar_one()


def _outdated(table: Any) -> ColumnElement[bool]:
    """Whether the image of a row has a newer vector of the same space and target."""
    newer, c = embeddings.alias("newer"), table.c
    same = and_(*(newer.c[name] == c[name] for name in ("image_id", "space", "target")))
    return exists().where(same, newer.c.analysis_id > c.analysis_id)


def vector_text(vector: bytes) -> str:
    """A stored vector as pgvector reads it, every bit kept."""
    import numpy as np

    # A float32 is a double, whose text reads back as the same float32.
    return "[" + ",".join(map(repr, np.frombuffer(vector, "<f4").tolist())) + "]"


def _indexed_text(row: dict[str, Any]) -> str | None:
    return vector_text(row["vector"]) if row["dimensions"] <= _MOST_INDEXED else None
