"""How many items share a batch: learned from what batches took, less where memory ran out."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from opsin.core.bounded_cache import BoundedCache

_SAMPLES = 4  # recent batches of a size; the quickest counts, for the others were disturbed
_WORTH = 1.05  # a larger batch must be cheaper an item by so much, for its items wait longer
_TRY_SMALLER = 4  # full batches until the next smaller size is tried, once
_TRY_LARGER = 32  # full batches until the next larger size is tried again
_MEMORY_PAUSE = 300.0  # seconds after which more memory may be free again
_KEYS = 64  # shapes that are remembered; pictures come in any size
_RUNNERS = 8  # loads on other devices or with other weights that are remembered


class BatchSize:
    """The batch size for one runner and batch key, i.e. for one operation, device and shape.

    Larger batches are cheaper an item on an accelerator, but not always on a processor, whose
    caches are small: an EfficientNet-B4 at 512 pixels takes twice as long an item in eights as
    alone.  So the cost of an item is measured for each size, by powers of two, and the cheapest
    size is the limit; without evidence against it, the runner's own maximum.  A straight line
    a*n + b through the times would not tell where between one and the maximum the best size lies.
    """

    def __init__(self, maximum: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._maximum = max(1, maximum)
        self._clock = clock
        self._fits = self._maximum
        self._fits_until = 0.0
        self._costs: dict[int, deque[float]] = {}
        self._is_cold = True
        self._full = 0
        self._limit = self._maximum

    @property
    def limit(self) -> int:
        """The most items for the next batch."""
        return min(self._limit, self._memory_limit())

    def seconds(self, count: int) -> float:
        """What a batch of `count` is expected to take; 0 when nothing is known yet."""
        if not self._costs:
            return 0.0
        near = min(self._costs, key=lambda size: abs(size - _bucket(count)))
        return min(self._costs[near]) * count

    def reloaded(self) -> None:
        """The runner is new, what was learned of the one before still holds."""
        self._is_cold = True

    def ran(self, count: int, seconds: float) -> None:
        """A batch of `count` ran as a whole in so many seconds."""
        if self._is_cold:  # the first one also set up the device, and is no measure
            self._is_cold = False
            return
        samples = self._costs.setdefault(_bucket(count), deque(maxlen=_SAMPLES))
        samples.append(seconds / count)
        self._full += count >= self._limit
        self._limit = self._learned()

    def refused(self, count: int) -> None:
        """A batch of `count` did not fit into memory; half of it is tried, for some minutes."""
        self._fits = max(1, min(self._fits, count // 2))
        self._fits_until = self._clock() + _MEMORY_PAUSE

    def _memory_limit(self) -> int:
        if self._fits < self._maximum and self._clock() >= self._fits_until:
            self._fits = min(2 * self._fits, self._maximum)
            self._fits_until = self._clock() + _MEMORY_PAUSE
        return self._fits

    def _learned(self) -> int:
        costs = {size: min(samples) for size, samples in self._costs.items()}
        enough = min(costs.values()) * _WORTH
        best = min(size for size, cost in costs.items() if cost <= enough)
        if best > 1 and best // 2 not in costs and self._full >= _TRY_SMALLER:
            self._full = 0
            return best // 2
        if best == max(costs):
            return self._maximum
        if self._full >= _TRY_LARGER:
            self._full = 0
            return min(2 * best, self._maximum)
        return best


class BatchSizes:
    """The batch sizes of one runner by batch key; the keys used last are remembered."""

    def __init__(self, maximum: int) -> None:
        self._maximum = max(1, maximum)
        self._by_key: OrderedDict[Hashable, BatchSize] = OrderedDict()

    def of(self, key: Hashable) -> BatchSize:
        """Hashes and compares keys, which is the plugin's code and may raise."""
        size = self._by_key.get(key)
        if size is None:
            size = self._by_key[key] = BatchSize(self._maximum)
            if len(self._by_key) > _KEYS:
                self._by_key.popitem(last=False)
        else:
            self._by_key.move_to_end(key)
        return size

    def reloaded(self) -> None:
        """The runner is new."""
        for size in self._by_key.values():
            size.reloaded()

    @property
    def largest(self) -> int:
        """The most items that any batch may have now."""
        return max((size.limit for size in self._by_key.values()), default=self._maximum)


class LearnedSizes:
    """The batch sizes of one operation's runners, also while none is in memory.

    They hold for one device and these weights, computing in this way; those used last are kept.
    """

    def __init__(self) -> None:
        self._by_runner: BoundedCache[Hashable, BatchSizes] = BoundedCache(_RUNNERS)

    def of(self, runner: Hashable, maximum: int) -> BatchSizes:
        """Those of a runner that has just been loaded, and of such ones before."""
        sizes = self._by_runner.get((runner, maximum))
        if sizes is None:
            sizes = BatchSizes(maximum)
            self._by_runner.put((runner, maximum), sizes, 1)
        sizes.reloaded()
        return sizes


def _bucket(count: int) -> int:
    """The power of two at or below `count`."""
    return 1 << (count.bit_length() - 1)
