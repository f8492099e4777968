"""Masks as COCO's run lengths: column after column, first the pixels outside, then those inside."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

LARGEST_MASK: Final = 1_000_000_000
"""Pixels of a mask that is drawn; larger ones are only told of."""

_MOST_SHIFT = 5 * 7
"""Bits of a compressed number; one without an end would take ever longer to go on with."""


def read_counts(given: Any) -> list[int]:
    """The run lengths of a list, or of COCO's compressed text; raises ValueError for others."""
    if isinstance(given, str):
        return _decompressed(given)
    if not isinstance(given, list) or not all(type(count) is int and count >= 0 for count in given):
        raise ValueError("not run lengths")
    return given


def drawable(runs: Mapping[str, Any], pixels: int) -> tuple[int, list[int]] | None:
    """The rows of a mask and its run lengths, no more than can meet so many pixels; None: nothing.

    What is stored may be of any size; a mask is drawn of what an array can hold.
    """
    rows, columns = runs["size"]
    if not 0 < rows * columns <= LARGEST_MASK:
        return None
    counts = read_counts(runs["counts"])[: 2 * pixels + 2]
    return rows, [min(count, LARGEST_MASK) for count in counts]


def box_and_area(
    counts: Sequence[int], rows: int
) -> tuple[tuple[float, float, float, float], float]:
    """The box (x, y, width, height) around the pixels inside, and how many these are."""
    if rows < 1:
        raise ValueError("a mask has rows")
    area, position = 0, 0
    left, top, right, bottom = None, rows, -1, -1
    for number, count in enumerate(counts):
        start, position = position, position + count
        if number % 2 == 0 or count == 0:
            continue
        area += count
        first, last = divmod(start, rows), divmod(position - 1, rows)
        left = first[0] if left is None else left
        right = last[0]
        over = first[0] != last[0]  # then it reaches the lowest row and goes on from the highest
        top = 0 if over else min(top, first[1])
        bottom = rows - 1 if over else max(bottom, last[1])
    if left is None:
        return (0.0, 0.0, 0.0, 0.0), 0.0
    return (float(left), float(top), right - left + 1.0, bottom - top + 1.0), float(area)


def _decompressed(text: str) -> list[int]:
    """COCO's text: six bits a character, five of them digits; from the third on, differences."""
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > _MOST_SHIFT:
            raise ValueError("not run lengths")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        if value < 0:
            raise ValueError("not run lengths")
        counts.append(value)
        value, shift = 0, 0
    return counts
