"""For tests of collections: an embedding without weights, and members of two classes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from sqlalchemy import select

from opsin import Embedding, EmbeddingParams, Item, LoadContext, Operation, Runner
from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.collections.collections import NewCollection
from opsin.core.collections.enrolment import NewMember
from opsin.core.collections.inputs import NewInput
from opsin.core.collections.member_vectors import Members, read_members
from opsin.core.records import Collection
from opsin.settings import Settings
from opsin.storage.tables import events
from tests.core.given_plugins import house_of

FINGERPRINT = "c" * 64
VECTOR = [0.25, 0.5, 0.75, 1.0]
"""One that `ColorEmbedding` could give; exact in float32."""


class ColorEmbedding(Operation[EmbeddingParams, Embedding]):
    """Mean colours as a vector of four numbers; counts the pictures it has seen."""

    description = "Embeds a picture as its mean colours."
    params = EmbeddingParams
    result = Embedding

    def __init__(
        self, name: str = "embed_color", version: str = "1", fingerprint: str = FINGERPRINT
    ) -> None:
        vars(self).update(name=name, version=version)
        self.fingerprint = fingerprint
        self.seen = 0

    def load(self, context: LoadContext) -> Runner[EmbeddingParams, Embedding]:
        return _ColorRunner(self)


class _ColorRunner(Runner[EmbeddingParams, Embedding]):
    uses_device = False

    def __init__(self, operation: ColorEmbedding) -> None:
        self._operation = operation

    def run(self, batch: Sequence[Item[EmbeddingParams]]) -> Sequence[Embedding]:
        self._operation.seen += len(batch)
        return [self._embed(item) for item in batch]

    def _embed(self, item: Item[EmbeddingParams]) -> Embedding:
        means = item.picture.reshape(-1, 3).mean(0) / 255
        vector = np.array([*means, 0.5], np.float32)
        if item.params.normalize:
            vector /= np.linalg.norm(vector)
        return Embedding(
            dimensions=4,
            normalized=item.params.normalize,
            model_fingerprint=self._operation.fingerprint,
            vector=tuple(vector.tolist()),
        )


@asynccontextmanager
async def labelled_house(
    settings: Settings, *operations: Operation[Any, Any], **changes: Any
) -> AsyncIterator[Parts]:
    """A running house with these operations, or with `embed_color`."""
    async with house_of(settings, *(operations or (ColorEmbedding(),)), **changes) as parts:
        yield parts


async def new_collection(
    parts: Parts, principal: Principal, key: str = "whales", *operations: str
) -> Collection:
    """An empty collection of whole pictures."""
    inputs = [NewInput(name) for name in operations or ("embed_color",)]
    return await parts.use_cases.collections.create(principal, NewCollection(key, inputs))


def two_classes(
    count: int = 40, *, dimensions: int = 8, gap: float = 1.0, seed: int = 0, first: int = 0
) -> list[NewMember]:
    """`count` members of each label, `gap` deviations from each other in every dimension."""
    random = np.random.default_rng(seed)
    members = []
    for label, center in (("true", gap / 2), ("false", -gap / 2)):
        rows = random.normal(center, 1.0, (count, dimensions)).astype(np.float32)
        members += [
            NewMember(label, [row.tolist()], source_key=f"{label}-{first + number}")
            for number, row in enumerate(rows)
        ]
    return members


async def enroll(
    parts: Parts,
    principal: Principal,
    members: Sequence[NewMember],
    key: str = "whales",
    fingerprint: str = FINGERPRINT,
) -> None:
    await parts.use_cases.enrolment.add_vectors(principal, key, members, [fingerprint])


async def members_of(parts: Parts, principal: Principal, key: str = "whales") -> Members:
    collection = await parts.use_cases.collections.get(principal, key)
    async with parts.use_cases.database.read() as connection:
        return await read_members(connection, collection.id)


async def told(parts: Parts) -> list[tuple[str, int | None]]:
    """The events of collections, with their counts."""
    statement = (
        select(events.c.kind, events.c.data)
        .where(events.c.kind.like("coll%"))
        .order_by(events.c.sequence)
    )
    async with parts.use_cases.database.read() as connection:
        return [(kind, data.get("count")) for kind, data in await connection.execute(statement)]
