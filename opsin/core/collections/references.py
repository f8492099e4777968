"""Classifiers and galleries of a company for the operations that need them, read once."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from sqlalchemy import select

from opsin.core.classifiers.document import read_document
from opsin.core.collections.collections import find_collection, inputs_of, plain_key
from opsin.core.collections.inputs import CollectionInput
from opsin.core.collections.member_vectors import Members, read_members
from opsin.core.contract import Classifier, Gallery, Reference, ReferenceKind, ReferenceRequest
from opsin.core.errors import NotFound
from opsin.core.plugin_host import PluginHost
from opsin.core.records import Collection
from opsin.storage.database import Database
from opsin.storage.tables import classifiers, collections

T = TypeVar("T")

DEFAULT_CACHE_BYTES = 512 * 2**20


class References:
    """Finds what `Operation.reference` asks for.

    Each request reads one indexed row, which tells whether what is in memory still holds: what
    was trained or enrolled a moment ago, also by another process, counts at once.
    """

    def __init__(
        self, database: Database, host: PluginHost, *, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self._database = database
        self._host = host
        self._kept: _Kept[Reference] = _Kept(cache_bytes, _bytes_of)

    async def find(self, company_id: str, request: ReferenceRequest) -> Reference:
        """The reference that a company's collection gives.

        Raises NotFound when there is none, Conflict when an operation it was made with gives
        other numbers by now, StorageError for a damaged classifier.
        """
        if request.kind is ReferenceKind.CLASSIFIER:
            return await self._classifier(company_id, request.collection)
        return await self._gallery(company_id, request.collection)

    async def _classifier(self, company_id: str, key: str) -> Classifier:
        c = classifiers.c
        row = None
        if (stored_key := plain_key(key)) is not None:
            statement = (
                select(c.id, c.digest, collections.c.id.label("collection_id"), collections.c.key)
                .join(collections, collections.c.id == c.collection_id)
                .where(
                    collections.c.company_id == company_id,
                    collections.c.key == stored_key,
                    c.is_best.is_(True),
                )
            )
            async with self._database.read() as connection:
                row = (await connection.execute(statement)).first()
        if row is None:
            raise NotFound(f"Classifier not found for collection_id {key}.")

        async def load() -> Reference:
            async with self._database.read() as connection:
                text = (
                    await connection.execute(select(c.document).where(c.id == row.id))
                ).scalar_one_or_none()
            if text is None:  # replaced in this moment
                raise NotFound(f"Classifier not found for collection_id {key}.")
            document = await asyncio.to_thread(read_document, text, row.digest)
            self._check_versions(document.inputs)
            return document.as_reference(row.key, row.digest)

        found = await self._kept.get(
            (row.collection_id, ReferenceKind.CLASSIFIER), (row.id, row.digest), load
        )
        assert isinstance(found, Classifier)
        return found

    async def _gallery(self, company_id: str, key: str) -> Gallery:
        async with self._database.read() as connection:
            collection = await find_collection(connection, company_id, key)
        if collection is None:
            raise NotFound(f"Gallery not found: there is no collection {key!r}.")

        async def load() -> Reference:
            self._check_versions(inputs_of(collection))
            async with self._database.read() as connection:
                members = await read_members(connection, collection.id)
            return await asyncio.to_thread(_gallery_of, collection, members)

        found = await self._kept.get(
            (collection.id, ReferenceKind.GALLERY), collection.updated_at, load
        )
        assert isinstance(found, Gallery)
        return found

    def _check_versions(self, inputs: tuple[CollectionInput, ...]) -> None:
        for one in inputs:
            one.check_version(self._host)


def _gallery_of(collection: Collection, members: Members) -> Gallery:
    if not members.ids:
        raise NotFound(f"Gallery not found: the collection {collection.key!r} has no members.")
    squares = np.einsum("ij,ij->i", members.vectors, members.vectors, dtype=np.float64)
    vectors = (members.vectors / np.sqrt(squares)[:, None]).astype(np.float32)
    vectors.flags.writeable = False
    # Whatever an answer depends on is in the members, and each change of them moves this time on.
    changed = f"{collection.id} {collection.updated_at.isoformat()}"
    return Gallery(
        collection=collection.key,
        digest=hashlib.sha256(changed.encode()).hexdigest(),
        inputs=tuple(one.as_input() for one in inputs_of(collection)),
        fingerprints=members.fingerprints,
        vectors=vectors,
        labels=members.labels,
        attributes=_attributes(members),
    )


def _attributes(members: Members) -> dict[str, Mapping[str, Any]]:
    """What is told of each label; of several members' words for one thing the newest counts."""
    merged: dict[str, dict[str, Any]] = {}
    for label, told in zip(members.labels, members.attributes, strict=True):
        merged.setdefault(label, {}).update(told)
    return {label: told for label, told in merged.items() if told}


def _bytes_of(reference: Reference) -> int:
    if isinstance(reference, Gallery):
        return int(reference.vectors.nbytes)
    return int(reference.coefficients.nbytes) if isinstance(reference, Classifier) else 0


class _Kept(Generic[T]):
    """The values used last, up to so many bytes, each in its newest version.

    A version is made once, however many ask for it at the same moment.
    """

    def __init__(self, most_bytes: int, size: Callable[[T], int]) -> None:
        self._most_bytes = most_bytes
        self._size = size
        self._values: OrderedDict[Hashable, tuple[Hashable, T]] = OrderedDict()
        self._making: dict[Hashable, asyncio.Future[T]] = {}

    async def get(self, key: Hashable, version: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        held, value = self._values.get(key, (None, None))
        if value is not None and held == version:
            self._values.move_to_end(key)
            return value
        making = self._making.get((key, version))
        if making is None:
            making = asyncio.ensure_future(self._make(key, version, make))
            self._making[key, version] = making
            making.add_done_callback(lambda done: self._made((key, version), done))
        # One who gives up must not take it from the others.
        return await asyncio.shield(making)

    async def _make(self, key: Hashable, version: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        value = await make()
        self._values[key] = (version, value)
        self._values.move_to_end(key)
        total = sum(self._size(kept) for _, kept in self._values.values())
        while total > self._most_bytes and len(self._values) > 1:
            _, (_, oldest) = self._values.popitem(last=False)
            total -= self._size(oldest)
        return value

    def _made(self, what: Hashable, done: "asyncio.Future[T]") -> None:
        del self._making[what]
        if not done.cancelled():
            done.exception()  # looked at, also when everybody who asked is gone
