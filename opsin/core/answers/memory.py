"""Results kept in memory, within a bound of bytes, and which companies have had each of them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pydantic import BaseModel

from opsin.core.answers.lending import may_be_lent
from opsin.core.bounded_cache import BoundedCache
from opsin.core.contract import Result
from opsin.core.engine import Provenance
from opsin.core.imaging import ImageInfo

_MOST_COMPANIES = 64
_ENTRY_BYTES = 2_000
"""The key, the provenance and what holds them together."""


@dataclass(slots=True)
class KeptResult:
    """A result, how it was made, and the picture it was found in."""

    result: Result
    provenance: Provenance
    info: ImageInfo
    companies: set[str | None] = field(default_factory=set)
    """Those that asked for it themselves; to others it is lent."""

    def is_of(self, company_id: str | None) -> bool:
        """Whether that company has asked for it itself."""
        return company_id in self.companies

    def given_to(self, company_id: str | None) -> None:
        if len(self.companies) < _MOST_COMPANIES:
            self.companies.add(company_id)


class ResultMemory:
    """The results used most recently, by key; `limit` bytes of them, 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self._kept: BoundedCache[str, KeptResult] = BoundedCache(limit)

    @property
    def size(self) -> int:
        """Bytes, estimated."""
        return self._kept.size

    def get(self, key: str) -> KeptResult | None:
        return self._kept.get(key)

    def get_for(self, key: str, company_id: str | None) -> KeptResult | None:
        """What that company may have: its own, or what may be lent to it."""
        kept = self._kept.get(key)
        if kept is None or kept.is_of(company_id) or may_be_lent(kept.provenance):
            return kept
        return None

    def put(self, key: str, kept: KeptResult) -> None:
        if (known := self._kept.get(key)) is not None:
            kept.companies |= known.companies
        if self._kept.limit:
            self._kept.put(key, kept, _ENTRY_BYTES + size_of(kept.result))


def size_of(value: Any, depth: int = 12) -> int:
    """About how many bytes a result takes, with what it holds down to a depth."""
    size = sys.getsizeof(value)
    nbytes = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):  # an array, which need not own what it shows
        return max(size, nbytes)
    parts: list[Any] = []
    if isinstance(value, BaseModel):
        parts = [vars(value), value.__pydantic_private__, value.__pydantic_extra__]
    elif isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        if len(value) > 1 and all(type(inner) is float for inner in value):
            return size + sys.getsizeof(0.0) * len(value)  # a vector
        parts = list(value)
    elif not isinstance(value, type | Enum) and hasattr(value, "__dict__"):
        parts = [vars(value)]
    if depth:
        size += sum(size_of(part, depth - 1) for part in parts if part is not None)
    return size
