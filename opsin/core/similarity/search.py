"""Which stored vectors are nearest to one: exactly, or among very many as pgvector finds them."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.storage.database import Database
from opsin.storage.event_log import last_position
from opsin.storage.vectors import (
    BLOCK,
    Scope,
    analysis_ids,
    nearest_by_index,
    vector_blocks,
)

if TYPE_CHECKING:
    from opsin.core.similarity.ranking import Match, Ranking, VectorBlock


@dataclass(frozen=True, slots=True)
class _Kept:
    """A scope's vectors as they were at a position of the event log; None when too many to keep."""

    position: int
    blocks: "tuple[VectorBlock, ...] | None"
    ids: frozenset[str]
    bytes: int


class VectorSearch:
    """Searches one database; where that has no index, recently read vectors stay in memory."""

    def __init__(self, database: Database, *, cache_bytes: int) -> None:
        self._database = database
        self._cache_bytes = cache_bytes
        self._kept: OrderedDict[Scope, _Kept] = OrderedDict()
        self._reading: WeakValueDictionary[Scope, asyncio.Lock] = WeakValueDictionary()

    async def nearest(
        self, scope: Scope, query: bytes, most: int, *, without: str | None = None
    ) -> "list[Match]":
        """The images in scope by the cosine of their vector with `query`, the nearest first.

        Ties are in the order of the images' ids; `without` is an image that is left out.
        """
        from opsin.core.similarity.ranking import Ranking, VectorBlock

        ranking = Ranking(query, most, without=without, dataset_ids=scope.dataset_ids)
        async with self._database.read() as connection:
            rows = await nearest_by_index(connection, scope, query, most, without)
        if rows is not None:
            if rows:
                ranking.add(VectorBlock.of(rows, scope.dimensions))
            return ranking.matches()
        blocks = await self._blocks(replace(scope, dataset_ids=None))
        if blocks is None:
            await self._read_through(scope, ranking)
        else:
            await asyncio.to_thread(_add_all, ranking, blocks)
        return ranking.matches()

    async def _read_through(self, scope: Scope, ranking: "Ranking") -> None:
        """Rank every vector in scope, with no more than a block of them in memory."""
        from opsin.core.similarity.ranking import VectorBlock

        async with self._database.read() as connection:
            async for rows in vector_blocks(connection, scope):
                block = await asyncio.to_thread(VectorBlock.of, rows, scope.dimensions)
                await asyncio.to_thread(ranking.add, block)

    async def _blocks(self, scope: Scope) -> "Sequence[VectorBlock] | None":
        """The scope's vectors as they are now; None when they are more than may be kept."""
        from opsin.core.similarity.ranking import ROW_BYTES

        row_bytes = 4 * scope.dimensions + ROW_BYTES
        most = self._cache_bytes // row_bytes
        lock = self._reading.setdefault(scope, asyncio.Lock())
        async with lock, self._database.read() as connection:
            # The position first: what is committed after it is only looked for too often.
            position = await last_position(connection, scope.company_id)
            kept = self._kept.get(scope)
            if kept is None or kept.position != position:
                ids = await analysis_ids(connection, scope, most + 1)
                if len(ids) > most:
                    kept = _Kept(position, None, frozenset(), 0)
                else:
                    blocks = await _updated(connection, scope, kept, ids)
                    known = frozenset(i for block in blocks for i in block.known())
                    kept = _Kept(position, blocks, known, len(known) * row_bytes)
                self._kept[scope] = kept
            self._kept.move_to_end(scope)
            self._forget_oldest()
        return kept.blocks

    def _forget_oldest(self) -> None:
        held = sum(kept.bytes for kept in self._kept.values())
        while held > self._cache_bytes:
            _, forgotten = self._kept.popitem(last=False)
            held -= forgotten.bytes


async def _updated(
    connection: AsyncConnection, scope: Scope, kept: _Kept | None, ids: Sequence[str]
) -> "tuple[VectorBlock, ...]":
    """The blocks that hold the vectors of these analyses; only what is new is read."""
    from opsin.core.similarity.ranking import VectorBlock

    blocks = list(kept.blocks) if kept is not None and kept.blocks else []
    known = kept.ids if kept is not None and blocks else frozenset()
    if known - set(ids):
        blocks = [b for block in blocks if len(b := await asyncio.to_thread(block.only, ids))]
    # Everything is read in one go, what is new by its ids.
    new = [identity for identity in ids if identity not in known] if known else None
    async for rows in vector_blocks(connection, scope, new):
        block = await asyncio.to_thread(VectorBlock.of, rows, scope.dimensions)
        if blocks and len(blocks[-1]) + len(block) <= BLOCK:
            blocks[-1] = blocks[-1].joined(block)
        else:
            blocks.append(block)
    return tuple(blocks)


def _add_all(ranking: "Ranking", blocks: "Sequence[VectorBlock]") -> None:
    for block in blocks:
        ranking.add(block)
