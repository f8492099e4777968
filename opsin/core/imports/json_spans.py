"""Where the values of a JSON file stand, found without building them: files of any size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]

CHUNK_BYTES = 4 << 20
_NOTHING: Positions = np.zeros(0, np.int64)
_OPEN, _CLOSE, _QUOTE, _ESCAPE = 1, 2, 3, 4
_KINDS = np.zeros(256, np.uint8)
for _characters, _kind in ((b"{[", _OPEN), (b"}]", _CLOSE), (b'"', _QUOTE), (b"\\", _ESCAPE)):
    _KINDS[list(_characters)] = _kind


class Readable(Protocol):
    """What gives its bytes from the beginning, so many at a time."""

    def read(self, size: int, /) -> bytes: ...


class Broken(Exception):
    """The brackets of a file do not match; `offset` is where that shows."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Spans:
    """Where values begin, and where they have ended."""

    starts: Positions
    ends: Positions

    def __len__(self) -> int:
        return len(self.starts)

    def within(self, start: int, end: int) -> "Spans":
        """Those between two positions."""
        first, last = np.searchsorted(self.starts, [start, end])
        return Spans(self.starts[first:last], self.ends[first:last])


@dataclass(frozen=True, slots=True)
class Outline:
    """The objects and lists in the outermost value (`values`), and those in these (`inner`).

    All of them; scalars between them are left out.
    """

    values: Spans
    inner: Spans


def outline(file: Readable) -> Outline:
    """Read the file once; raises Broken when it ends in the middle, or goes on after its end."""
    return _Walk().over(file)


class _Walk:
    """What must be known of the text before a chunk: its depth, and whether a string is open."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self._documents = 0

    def over(self, file: Readable) -> Outline:
        # Beginnings and ends at the depth of the values, then at that of what is in them.
        parts: tuple[list[Positions], ...] = ([], [], [], [])
        offset = 0
        while chunk := file.read(CHUNK_BYTES):
            for part, more in zip(parts, self._step(chunk, offset), strict=True):
                part.append(more)
            offset += len(chunk)
        if self._in_string or self._depth:
            raise Broken("the file ends in the middle", offset)
        found = [np.concatenate(part) if part else _NOTHING for part in parts]
        return Outline(Spans(found[0], found[1]), Spans(found[2], found[3]))

    def _step(self, chunk: bytes, offset: int) -> tuple[Positions, ...]:
        at, is_open = self._brackets(np.frombuffer(chunk, np.uint8))
        if not len(at):
            return _NOTHING, _NOTHING, _NOTHING, _NOTHING
        depth = self._depth + np.cumsum(np.where(is_open, 1, -1))
        self._depth = int(depth[-1])
        if depth.min() < 0:
            where = offset + int(at[int(np.argmax(depth < 0))])
            raise Broken("a bracket is closed that was not opened", where)
        self._check_one(at[is_open & (depth == 1)], offset)
        at = at + offset
        return (
            at[is_open & (depth == 2)],
            at[~is_open & (depth == 1)] + 1,
            at[is_open & (depth == 3)],
            at[~is_open & (depth == 2)] + 1,
        )

    def _check_one(self, beginnings: Positions, offset: int) -> None:
        """There is one document in the file."""
        self._documents += len(beginnings)
        if self._documents > 1:
            raise Broken("the file goes on after its end", offset + int(beginnings[-1]))

    def _brackets(self, text: npt.NDArray[np.uint8]) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """Where brackets outside of strings are, and which of them open."""
        kinds = _KINDS[text]
        at: Positions = np.flatnonzero(kinds)
        kind = kinds[at]
        if self._is_escaped and len(at) and at[0] == 0:
            at, kind = at[1:], kind[1:]
        self._is_escaped = False
        slashes = kind == _ESCAPE
        if slashes.any():
            kept = ~slashes & ~np.isin(at, self._escaped(at[slashes], len(text)))
            at, kind = at[kept], kind[kept]
        # Between an odd and an even quote is a string.
        quotes = np.cumsum(kind == _QUOTE) + self._in_string
        if len(quotes):
            self._in_string = bool(quotes[-1] & 1)
        kept = (kind != _QUOTE) & (quotes & 1 == 0)
        return at[kept], kind[kept] == _OPEN

    def _escaped(self, slashes: Positions, length: int) -> Positions:
        """What stands behind an odd number of backslashes."""
        begins = np.concatenate(([True], np.diff(slashes) != 1))
        lengths = np.bincount(np.cumsum(begins) - 1)
        behind: Positions = (slashes[begins] + lengths)[lengths % 2 == 1]
        self._is_escaped = bool(len(behind)) and int(behind[-1]) == length
        return behind


def lines(file: Readable) -> Spans:
    """Where the lines of a file stand, without their ends and those that hold nothing."""
    starts: list[Positions] = []
    ends: list[Positions] = []
    begun = offset = 0
    last = b""
    while chunk := file.read(CHUNK_BYTES):
        breaks = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10) + offset
        if len(breaks):
            starts.append(np.concatenate(([begun], breaks[:-1] + 1)))
            ends.append(breaks)
            begun = int(breaks[-1]) + 1
        offset += len(chunk)
        last = chunk
    if begun < offset and last:
        starts.append(np.array([begun], np.int64))
        ends.append(np.array([offset], np.int64))
    if not starts:
        return Spans(_NOTHING, _NOTHING)
    first, behind = np.concatenate(starts), np.concatenate(ends)
    filled = behind - first > 1  # of one character may be what Windows ends lines with
    return Spans(first[filled], behind[filled])


def groups_of(keys: Positions) -> Iterator[Positions]:
    """The places of equal keys, by where each key is first met; each group in its order."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    bounds = (
        np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        if len(keys)
        else _NOTHING
    )
    ends = np.append(bounds[1:], len(keys))
    for group in np.argsort(order[bounds], kind="stable") if len(bounds) else ():
        yield order[bounds[group] : ends[group]]


def key_of(value: Any) -> int | None:
    """A number of 64 bits for an id; None for what is none.

    Texts are hashed, far from the ids that people count: what has the key must be compared.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return value if abs(value) < 1 << 62 else None
    if isinstance(value, str):
        return (1 << 62) | (hash_of(value) >> 2)
    return None


def hash_of(text: str) -> int:
    """64 bits that are the same in every process."""
    from hashlib import blake2b

    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
