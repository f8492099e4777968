"""The rows of collection_members: what is written, and what is looked up before writing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.collections.member_vectors import dimensions_of
from opsin.core.records import Collection
from opsin.storage.ids import canonical_id, new_ids
from opsin.storage.tables import collection_members, images

_AT_ONCE = 1_000
_MEMBER = collection_members.c


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A checked member; `vector` holds its inputs' vectors joined, float32 little-endian."""

    label: str
    fingerprints: tuple[str, ...]
    vector: bytes
    source_key: str | None = None
    image_id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def dimensions(self) -> int:
        return dimensions_of(self.vector)


async def known_models(
    connection: AsyncConnection, collection_id: str
) -> tuple[tuple[str, ...], int]:
    """The fingerprints and the dimensions that all members have; empty and 0 without members."""
    statement = (
        select(_MEMBER.model_fingerprints, _MEMBER.dimensions)
        .where(_MEMBER.collection_id == collection_id)
        .limit(1)
    )
    row = (await connection.execute(statement)).first()
    return ((), 0) if row is None else (tuple(row.model_fingerprints), row.dimensions)


async def members_already(
    connection: AsyncConnection, collection_id: str, label: str, image_ids: Sequence[str]
) -> set[str]:
    """Those of the images that are members with this label."""
    statement = select(_MEMBER.image_id).where(
        _MEMBER.collection_id == collection_id,
        _MEMBER.label == label,
        _MEMBER.image_id.in_([one for one in image_ids if canonical_id(one)]),
    )
    return set((await connection.execute(statement)).scalars())


async def kept_images(connection: AsyncConnection, image_ids: Sequence[str]) -> set[str]:
    """Those of the images that are there, and stay until the transaction ends."""
    statement = (
        select(images.c.id)
        .where(images.c.id.in_(image_ids))
        .with_for_update(read=True, key_share=True)
    )
    return set((await connection.execute(statement)).scalars())


async def insert_rows(
    connection: AsyncConnection, collection: Collection, rows: Sequence[MemberRow]
) -> None:
    """Write new members, some at a time."""
    now = datetime.now(UTC)
    values = [
        {
            "id": identity,
            "company_id": collection.company_id,
            "collection_id": collection.id,
            "label": row.label,
            "source_key": row.source_key,
            "image_id": row.image_id,
            "attributes": row.attributes,
            "model_fingerprints": list(row.fingerprints),
            "dimensions": row.dimensions,
            "vector": row.vector,
            "created_at": now,
        }
        for identity, row in zip(new_ids(len(rows)), rows, strict=True)
    ]
    for start in range(0, len(values), _AT_ONCE):
        await connection.execute(insert(collection_members), values[start : start + _AT_ONCE])


async def delete_others(
    connection: AsyncConnection, collection_id: str, rows: Sequence[MemberRow]
) -> tuple[int, list[MemberRow]]:
    """Delete the members that are not among `rows`; gives how many, and the rows not there yet."""
    wanted = Counter((row.label, row.source_key, row.fingerprints, row.vector) for row in rows)
    statement = select(
        _MEMBER.id, _MEMBER.label, _MEMBER.source_key, _MEMBER.model_fingerprints, _MEMBER.vector
    ).where(_MEMBER.collection_id == collection_id)
    others: list[str] = []
    for identity, label, source_key, fingerprints, vector in await connection.execute(statement):
        same = (label, source_key, tuple(fingerprints), vector)
        if wanted[same] > 0:
            wanted[same] -= 1
        else:
            others.append(identity)
    for start in range(0, len(others), _AT_ONCE):
        chunk = others[start : start + _AT_ONCE]
        await connection.execute(delete(collection_members).where(_MEMBER.id.in_(chunk)))
    new: list[MemberRow] = []
    for row in rows:
        same = (row.label, row.source_key, row.fingerprints, row.vector)
        if wanted[same] > 0:
            wanted[same] -= 1
            new.append(row)
    return len(others), new
