"""One statement for the same question asked of many parents; made anew for each request."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from strawberry.dataloader import DataLoader

from opsin.core.access import Principal
from opsin.core.collections.collections import read_label_counts
from opsin.core.conditions import expressions
from opsin.core.metadata import read_metadata
from opsin.core.pages import Listing, Page, PageRequest, Wanted, read_pages, read_totals
from opsin.core.records import columns_of, to_record
from opsin.core.scope import within
from opsin.core.similarity.embeddings import read_vectors
from opsin.core.soft_deletion import DeletedRows, in_place, not_deleted
from opsin.storage.database import Database

MOST_CHILDREN = 1000
"""Of one parent, in lists that are short by nature."""
_MOST_AT_ONCE = 4


class Loaders:
    """Loaders by what they load; each gathers the keys of one tick into one statement."""

    def __init__(self, database: Database, principal: Principal) -> None:
        self._database = database
        self._principal = principal
        self._loaders: dict[Hashable, DataLoader[str, Any]] = {}
        self.turns = asyncio.Semaphore(_MOST_AT_ONCE)
        """For what is read by itself for each row: the database has other callers, too."""

    async def page(self, listing: Listing[Any], parent_id: str, wanted: Wanted) -> Page[Any]:
        """One page of a parent's children."""

        async def load(parents: list[str]) -> list[Page[Any]]:
            conditions = self._listed(listing, wanted)
            async with self._database.read() as connection:
                pages = await read_pages(connection, listing, parents, conditions, wanted.request)
            return [pages[parent] for parent in parents]

        key = ("page", listing.table.name, listing.parent, wanted)
        page: Page[Any] = await self._load(key, load, parent_id)
        return page

    async def total(self, listing: Listing[Any], parent_id: str, wanted: Wanted) -> int:
        """How many children a parent has."""

        async def load(parents: list[str]) -> list[int]:
            mine = self._listed(listing, wanted)
            async with self._database.read() as connection:
                totals = await read_totals(connection, listing, parents, mine)
            return [totals[parent] for parent in parents]

        key = ("total", listing.table.name, listing.parent, wanted.conditions, wanted.deleted)
        return int(await self._load(key, load, parent_id))

    async def by_id(self, listing: Listing[Any], identity: str) -> Any | None:
        """The caller's row with this id, which another row names."""
        return await self._row(listing, identity, "id")

    async def asked_for(
        self, listing: Listing[Any], identity: str, deleted: DeletedRows = DeletedRows.EXCLUDED
    ) -> Any | None:
        """The caller's row with this id, if it is one of those, and not about to go."""
        table = listing.table
        shown = [*not_deleted(table, deleted), *in_place(table)]
        return await self._row(listing, identity, deleted, shown)

    async def _row(
        self,
        listing: Listing[Any],
        identity: str,
        kind: Hashable,
        conditions: Sequence[ColumnElement[bool]] = (),
    ) -> Any | None:
        async def load(ids: list[str]) -> list[Any | None]:
            table = listing.table
            statement = select(*columns_of(table, listing.record)).where(
                *self._mine(listing, [table.c.id.in_(ids), *conditions])
            )
            async with self._database.read() as connection:
                rows = await connection.execute(statement)
                found = {row[0]: to_record(listing.record, row) for row in rows}
            return [found.get(identity) for identity in ids]

        return await self._load((kind, listing.table.name), load, identity)

    async def children(self, listing: Listing[Any], parent_id: str) -> list[Any]:
        """All children of a parent, for lists that are short by nature."""
        page = await self.page(listing, parent_id, Wanted(PageRequest(MOST_CHILDREN)))
        return list(page.records)

    async def vector(self, analysis_id: str) -> tuple[float, ...] | None:
        """The vector of an embedding; None when the analysis is not the caller's or has none."""

        async def load(ids: list[str]) -> list[tuple[float, ...] | None]:
            async with self._database.read() as connection:
                found = await read_vectors(connection, self._principal, ids)
            return [found.get(identity) for identity in ids]

        vector: tuple[float, ...] | None = await self._load("vector", load, analysis_id)
        return vector

    async def metadata(self, dataset_id: str) -> dict[str, Any]:
        """What is kept with a dataset, by key."""

        async def load(ids: list[str]) -> list[dict[str, Any]]:
            async with self._database.read() as connection:
                found = await read_metadata(connection, self._principal, ids)
            return [found[identity] for identity in ids]

        metadata: dict[str, Any] = await self._load("metadata", load, dataset_id)
        return metadata

    async def labels(self, collection_id: str) -> dict[str, int]:
        """The labels of a collection with the number of their members."""

        async def load(ids: list[str]) -> list[dict[str, int]]:
            async with self._database.read() as connection:
                counts = await read_label_counts(connection, self._principal, ids)
            return [counts[identity] for identity in ids]

        counts: dict[str, int] = await self._load("labels", load, collection_id)
        return counts

    def _mine(
        self, listing: Listing[Any], conditions: Sequence[ColumnElement[bool]]
    ) -> list[ColumnElement[bool]]:
        # Whose rows they are is part of every statement made here, whatever the parent.
        return [within(self._principal, listing.table), *conditions]

    async def _load(self, key: Hashable, load: Callable[[list[str]], Any], identity: str) -> Any:
        # graphql-core cancels the fields beside one that fails; others may wait for the same row.
        return await asyncio.shield(self._loader(key, load).load(identity))

    def _listed(self, listing: Listing[Any], wanted: Wanted) -> list[ColumnElement[bool]]:
        conditions = expressions(listing.table, wanted.conditions)
        return [*self._mine(listing, conditions), *not_deleted(listing.table, wanted.deleted)]

    def _loader(self, key: Hashable, load: Callable[[list[str]], Any]) -> DataLoader[str, Any]:
        if key not in self._loaders:
            self._loaders[key] = DataLoader(load_fn=load, max_batch_size=500)
        return self._loaders[key]
