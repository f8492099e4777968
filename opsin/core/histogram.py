"""How values are spread: counted by bounds, with their sum, as a histogram of Prometheus has it."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of what people wait for."""
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Bounds of how many are done together."""


class Histogram:
    """Counts values; `counts` has one more than `bounds`, for what is above the last of them."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value, under the first bound that is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def total(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Each bound as text, with how many values are not above it; `+Inf` with all."""
        below = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            below += count
            yield str(bound), float(below)
