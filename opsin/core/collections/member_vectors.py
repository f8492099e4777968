"""Members' vectors: checked and joined when they come in, kept as bytes, read as one matrix."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import InvalidInput
from opsin.storage.tables import collection_members

if TYPE_CHECKING:
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

MOST_DIMENSIONS = 65_536
_STORED = np.dtype("<f4")


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """All members of a collection, oldest first; `vectors` is n x dimensions, float32, read-only.

    All have the same `fingerprints`, one for each input of the collection.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    source_keys: tuple[str | None, ...]
    attributes: tuple[Mapping[str, Any], ...]
    fingerprints: tuple[str, ...]
    vectors: "Vectors"


GivenVector: TypeAlias = Sequence[float] | bytes
"""Numbers, or the bytes of float32 values, little-endian."""


def join_vectors(parts: Sequence[GivenVector], count: int) -> bytes:
    """The `count` vectors one after the other, as float32 little-endian.

    Raises InvalidInput, saying what is wrong, for anything but finite numbers.
    """
    if len(parts) != count:
        raise InvalidInput(f"{count} vectors are needed, one for each input, not {len(parts)}")
    try:
        joined = np.concatenate([_numbers(part) for part in parts])
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("a vector is a list of numbers") from None
    if not 1 <= joined.size <= MOST_DIMENSIONS:
        raise InvalidInput(f"a vector has 1 to {MOST_DIMENSIONS} numbers")
    with np.errstate(over="ignore"):
        stored = joined.astype(_STORED)
    if not np.isfinite(stored).all():
        raise InvalidInput("a vector's numbers must be finite, also as float32")
    if not stored.any():
        raise InvalidInput("a vector of zeros has no direction")
    return stored.tobytes()


def dimensions_of(vector: bytes) -> int:
    return len(vector) // _STORED.itemsize


async def read_members(connection: AsyncConnection, collection_id: str) -> Members:
    """Every member with its vector."""
    c = collection_members.c
    statement = (
        select(c.id, c.label, c.source_key, c.attributes, c.model_fingerprints, c.vector)
        .where(c.collection_id == collection_id)
        .order_by(c.id)
    )
    rows = (await connection.execute(statement)).all()
    return await asyncio.to_thread(_members, rows)


def _numbers(part: GivenVector) -> "npt.NDArray[np.float64]":
    numbers = np.frombuffer(part, _STORED) if isinstance(part, bytes) else np.asarray(part)
    if numbers.ndim != 1 or numbers.dtype.kind not in "fiu":  # neither texts nor true and false
        raise ValueError("not numbers")
    return numbers.astype(np.float64)


def _members(rows: Sequence[Any]) -> Members:
    width = dimensions_of(rows[0].vector) if rows else 0
    joined = np.frombuffer(b"".join(row.vector for row in rows), _STORED)
    vectors = joined.reshape(len(rows), width).astype(np.float32, copy=False)
    vectors.flags.writeable = False
    return Members(
        ids=tuple(row.id for row in rows),
        labels=tuple(row.label for row in rows),
        source_keys=tuple(row.source_key for row in rows),
        attributes=tuple(row.attributes for row in rows),
        fingerprints=tuple(rows[0].model_fingerprints) if rows else (),
        vectors=vectors,
    )
