"""The cosine of one vector with many, a block at a time, and the order of the nearest."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from opsin.storage.vectors import VectorRow

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Ids: TypeAlias = npt.NDArray[np.bytes_]

ROW_BYTES = 400
"""About what a vector takes in memory beside its values."""

_ID = "S36"
_MARGIN = 1e-4
"""More than float32 sums of some thousand products are off for vectors of length 1."""
_EXACT_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Match:
    """An image, the analysis that embedded it, and the cosine of both vectors, -1 to 1."""

    image_id: str
    analysis_id: str
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class VectorBlock:
    """Rows of float32 vectors with the ids that belong to them."""

    vectors: Floats
    inverse_lengths: Floats
    """0 for a vector that is all zeros: it has no direction, and is never found."""
    image_ids: Ids
    analysis_ids: Ids
    dataset_ids: Ids

    @classmethod
    def of(cls, rows: Sequence[VectorRow], dimensions: int) -> "VectorBlock":
        images, analyses, datasets, vectors = zip(*rows, strict=True)
        values = np.frombuffer(b"".join(vectors), "<f4").reshape(len(rows), dimensions)
        lengths = np.sqrt(np.einsum("nd,nd->n", values, values, dtype=np.float64))
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.where(lengths > 0, 1 / lengths, 0).astype(np.float32)
        ids = (np.array(column, _ID) for column in (images, analyses, datasets))
        return cls(values, inverse, *ids)

    def __len__(self) -> int:
        return len(self.vectors)

    def known(self) -> list[str]:
        """The analyses of its rows."""
        return [str(identity) for identity in self.analysis_ids.astype(str).tolist()]

    def only(self, analysis_ids: Sequence[str]) -> "VectorBlock":
        """The rows of these analyses."""
        kept = np.isin(self.analysis_ids, np.array(analysis_ids, _ID))
        return VectorBlock(
            self.vectors[kept],
            self.inverse_lengths[kept],
            self.image_ids[kept],
            self.analysis_ids[kept],
            self.dataset_ids[kept],
        )

    def joined(self, other: "VectorBlock") -> "VectorBlock":
        return VectorBlock(
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.inverse_lengths, other.inverse_lengths]),
            np.concatenate([self.image_ids, other.image_ids]),
            np.concatenate([self.analysis_ids, other.analysis_ids]),
            np.concatenate([self.dataset_ids, other.dataset_ids]),
        )


class Ranking:
    """The nearest vectors of all blocks seen so far.

    What is chosen in float32 is ordered in float64, ties by image: the same rows give the same
    answer, however they were divided into blocks.
    """

    def __init__(
        self,
        query: bytes,
        most: int,
        *,
        without: str | None = None,
        dataset_ids: Sequence[str] | None = None,
    ) -> None:
        self._query = np.frombuffer(query, "<f4").astype(np.float64)
        self._squared = float((self._query * self._query).sum())
        self._most = most
        self._without = without
        self._dataset_ids = None if dataset_ids is None else np.array(dataset_ids, _ID)
        self._best: list[tuple[float, str, str]] = []

    def add(self, block: VectorBlock) -> None:
        """Rank a block's rows among those seen before."""
        if not self._squared or not self._most:
            return  # no direction is near to none
        chosen = block.inverse_lengths > 0
        if self._without is not None:
            chosen &= block.image_ids != self._without.encode()
        if self._dataset_ids is not None:
            chosen &= np.isin(block.dataset_ids, self._dataset_ids)
        rows = np.flatnonzero(chosen)
        if len(rows) > self._most:
            rows = self._promising(block, rows)
        for start in range(0, len(rows), _EXACT_ROWS):
            self._rank(block, rows[start : start + _EXACT_ROWS])

    def matches(self) -> list[Match]:
        """The nearest first."""
        return [Match(image, analysis, -value) for value, image, analysis in self._best]

    def _promising(self, block: VectorBlock, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Every row that may be among the nearest, and few others."""
        unit = (self._query / np.sqrt(self._squared)).astype(np.float32)
        with np.errstate(all="ignore"):
            # A product of matrices would wake the threads of BLAS for every block: 25 times slower.
            scores = (np.vecdot(block.vectors, unit) * block.inverse_lengths)[rows]
        if not np.isfinite(scores).all():  # values near the ends of what float32 can hold
            return rows
        floor = float(np.partition(scores, -self._most)[-self._most])
        if len(self._best) == self._most:
            floor = max(floor, -self._best[-1][0])
        promising: npt.NDArray[np.intp] = rows[scores >= floor - _MARGIN]
        return promising

    def _rank(self, block: VectorBlock, rows: npt.NDArray[np.intp]) -> None:
        values = block.vectors[rows].astype(np.float64)
        # Sums along rows, not a product of matrices: they do not depend on a row's place.
        products = (values * self._query).sum(axis=1)
        squared = (values * values).sum(axis=1)
        cosines = np.clip(products / np.sqrt(squared * self._squared), -1, 1)
        found = zip(
            (-cosines).tolist(),
            block.image_ids[rows].astype(str).tolist(),
            block.analysis_ids[rows].astype(str).tolist(),
            strict=True,
        )
        self._best = heapq.nsmallest(self._most, (*self._best, *found))
