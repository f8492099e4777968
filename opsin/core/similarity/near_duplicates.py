"""Near-duplicates of an image, by the perceptual hashes that an operation stored."""

import asyncio
import heapq
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.contract import Operation, Target
from opsin.core.errors import Conflict, InvalidInput
from opsin.core.images import require_image
from opsin.core.plugin_host import PluginHost
from opsin.core.scope import within
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import analyses

BITS = 64

_DIGITS = BITS // 4
_HASHES = re.compile(rf"([0-9a-fA-F]{{{_DIGITS}}})+")
_BLOCK = 4096


@dataclass(frozen=True, slots=True, order=True)
class NearDuplicate:
    """An image, the analysis that hashed it, and in how many bits of 64 the hashes differ."""

    distance: int
    image_id: str
    analysis_id: str


class NearDuplicates:
    """Compares the newest hashes of each of a company's images."""

    def __init__(self, database: Database, host: PluginHost) -> None:
        self._database = database
        self._host = host

    async def of(
        self,
        principal: Principal,
        image_id: str,
        operation: str,
        *,
        most: int,
        max_distance: int,
        target: Target | None = None,
        dataset_id: str | None = None,
    ) -> Sequence[NearDuplicate]:
        """Images whose hashes differ in at most so many bits, the nearest first, ties by id.

        Of several hashes of an operation the one that differs most counts.  Raises NotFound for an
        image that is not the caller's, UnknownOperation or InvalidInput for an operation that gives
        no hashes, Conflict when the image has none yet.
        """
        if not 0 <= max_distance <= BITS:
            raise InvalidInput(f"maxDistance must be from 0 to {BITS}")
        async with self._database.read() as connection:
            image = await require_image(connection, principal, image_id)
            hashing = self._host.operation(operation)
            if not hashing.result.near_duplicate_hashes:
                raise InvalidInput(f"The operation {operation!r} gives no hashes")
            part = hashing.default_target if target is None else target
            hashed = _hashed(hashing, part)
            own = (await _newest(connection, hashed, [image.id])).get(image.id)
            if own is None:
                raise Conflict(
                    f"This image has no hashes by {operation!r} of its {part.value} yet: "
                    "analyze it first"
                )
            others = hashed.where(within(principal, analyses), analyses.c.image_id != image.id)
            if dataset_id is not None:
                others = others.where(analyses.c.dataset_id == canonical_id(dataset_id))
            best: list[NearDuplicate] = []
            async for block in _blocks(connection, others):
                near = await asyncio.to_thread(_near, own, block, max_distance)
                newest = await _newest(connection, hashed, [n.image_id for n in near])
                current = (n for n in near if n.analysis_id == newest[n.image_id].id)
                best = heapq.nsmallest(most, (*best, *current))
        return best


def _hashed(hashing: Operation[Any, Any], target: Target) -> Select[Any]:
    """Image, analysis and hashes of every result that has them all, whosever it is."""
    c = analyses.c
    hashes = [c.result[name].as_string() for name in hashing.result.near_duplicate_hashes]
    found: list[ColumnElement[bool]] = [
        c.operation == hashing.name,
        c.operation_version == hashing.version,
        c.status == "COMPLETED",
        c.parameters["target"].as_string() == target.value,
        *(func.length(digits) == _DIGITS for digits in hashes),
    ]
    return select(c.image_id, c.id, *hashes).where(*found)


async def _blocks(connection: AsyncConnection, hashed: Select[Any]) -> AsyncIterator[Sequence[Any]]:
    """What is stored, some thousand at a time."""
    async with connection.stream(hashed.execution_options(yield_per=_BLOCK)) as result:
        async for rows in result.partitions(_BLOCK):
            yield rows


async def _newest(
    connection: AsyncConnection, hashed: Select[Any], image_ids: Sequence[str]
) -> dict[str, Any]:
    """The newest hashes of each of these images, which are the company's."""
    if not image_ids:
        return {}
    own = hashed.where(analyses.c.image_id.in_(set(image_ids))).order_by(analyses.c.id)
    return {row.image_id: row for row in await connection.execute(own)}


def _near(own: Any, rows: Sequence[Any], most: int) -> list[NearDuplicate]:
    """Those of the rows that differ from `own` in no more than `most` bits of any hash."""
    import numpy as np

    texts = ["".join(row[2:]) for row in (own, *rows)]
    if not _HASHES.fullmatch("".join(texts)):  # stored by a plugin that declares what it is not
        return []
    bits = np.frombuffer(bytes.fromhex("".join(texts)), ">u8").reshape(len(texts), -1)
    distances = np.bitwise_count(bits[1:] ^ bits[0]).max(axis=1)
    return [
        NearDuplicate(int(distances[n]), rows[n].image_id, rows[n].id)
        for n in np.flatnonzero(distances <= most).tolist()
    ]
