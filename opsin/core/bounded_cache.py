"""A cache that stays within a bound: what was used least recently goes first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True)
class CacheCounts:
    """What a cache has been asked for since it was made."""

    hits: int = 0
    misses: int = 0
    shared: int = 0
    """Askers who waited for what another was already getting."""


class BoundedCache(Generic[Key, Value]):
    """Values whose sizes together stay within `limit`; 0 keeps nothing.  Not thread-safe.

    `evicted` hears the key and value of what is put out, or was never let in; not of what is
    taken out or replaced.
    """

    def __init__(
        self, limit: int, evicted: Callable[[Key, Value], object] = lambda key, value: None
    ) -> None:
        self.limit = limit
        self.size = 0
        self._evicted = evicted
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """The value, which counts as used now; None when there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value; one that is larger than the limit puts nobody else out."""
        self.take(key)
        if size > self.limit:
            self._evicted(key, value)
            return
        self._entries[key] = value, size
        self.size += size
        self.shrink(self.limit)

    def take(self, key: Key) -> Value | None:
        """The value, which is kept no longer; None when there is none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self.size -= entry[1]
        return entry[0]

    def shrink(self, limit: int) -> None:
        """Put out what was used least recently until no more than `limit` is left."""
        while self.size > limit and self._entries:
            key, (value, size) = self._entries.popitem(last=False)
            self.size -= size
            self._evicted(key, value)
