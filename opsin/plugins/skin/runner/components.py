"""Connected components of a mask, and their outlines as polygons."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from opsin.plugins.skin.runner.filters import Mask

    Labels = npt.NDArray[np.intp]
    """One number for each pixel of the mask, in the order of its pixels; from 0 without gaps."""
    Loop = npt.NDArray[np.intp]
    """n x 2: corners of pixels as x, y; the first is not repeated."""
    Values = npt.NDArray[Any]

MOST_ELONGATED = 3.5
"""Ratio of the axes of a component's second moments; what is longer is a line, a hair or a fold."""
_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Right, down, left, up: the next of one is a turn to the right."""


def components(mask: "Mask") -> tuple["Labels", int]:
    """The 8-connected component of each pixel of the mask, and how many there are.

    Each pixel joins the smaller neighbouring root until none changes (pointer jumping).
    """
    number = np.full((mask.shape[0] + 1, mask.shape[1] + 2), -1, np.intp)
    inside = number[:-1, 1:-1]
    count = int(mask.sum())
    inside[mask] = np.arange(count)
    one: list[Labels] = []
    other: list[Labels] = []
    for down, right in _NEIGHBOURS:
        rows = slice(down, number.shape[0] - 1 + down)
        columns = slice(1 + right, number.shape[1] - 1 + right)
        moved = number[rows, columns]
        both = mask & (moved >= 0)
        one.append(inside[both])
        other.append(moved[both])
    left, right_side = np.concatenate(one), np.concatenate(other)
    root = np.arange(count)
    while True:
        first, second = root[left], root[right_side]
        differ = first != second
        if not differ.any():
            break
        low, high = np.minimum(first, second)[differ], np.maximum(first, second)[differ]
        np.minimum.at(root, high, low)
        while not np.array_equal(root, following := root[root]):
            root = following
    roots, labels = np.unique(root, return_inverse=True)
    return labels, len(roots)


def compact(mask: "Mask", smallest: float, largest: float, fullest: float = 0.0) -> "Mask":
    """The components of an area (square pixels) in these bounds that are no lines.

    They fill at least `fullest` of the box around them.
    """
    labels, count = components(mask)
    if not count:
        return mask
    rows, columns = np.nonzero(mask)
    area = np.bincount(labels, minlength=count)

    def mean(values: "Values") -> "Values":
        return np.bincount(labels, values, count) / area

    def span(values: "Labels") -> "Labels":
        lowest, highest = np.full(count, values.max()), np.zeros(count, np.intp)
        np.minimum.at(lowest, labels, values)
        np.maximum.at(highest, labels, values)
        sides: Labels = highest - lowest + 1
        return sides

    down, right = rows - mean(rows)[labels], columns - mean(columns)[labels]
    # A pixel is a square: its own second moment is 1/12.
    yy, xx, xy = mean(down**2) + 1 / 12, mean(right**2) + 1 / 12, mean(down * right)
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    axes = np.sqrt((middle + spread) / np.maximum(middle - spread, 1e-9))
    full = area / (span(rows) * span(columns))
    kept = (area >= smallest) & (area <= largest) & (axes <= MOST_ELONGATED) & (full >= fullest)
    found = np.zeros_like(mask)
    found[mask] = kept[labels]
    return found


@dataclass(frozen=True, slots=True)
class Outline:
    """The outer edge of one component: corners of pixels, clockwise."""

    corners: "Loop"
    area: float
    """Square pixels inside, holes included."""


def outlines(mask: "Mask", smallest: float = 0.0) -> list[Outline]:
    """The outer outlines of more than `smallest` square pixels, the largest first."""
    padded = np.pad(mask, 1)
    core = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    # Top edges run right, right edges down, bottom edges left, left edges up: inside on the right.
    starts = ((0, 0), (1, 0), (1, 1), (0, 1))
    edges: dict[tuple[int, int], list[int]] = {}
    for direction, (neighbour, (right, down)) in enumerate(zip(neighbours, starts, strict=True)):
        rows, columns = np.nonzero(core & ~neighbour)
        places = zip((columns + right).tolist(), (rows + down).tolist(), strict=True)
        for place in places:
            edges.setdefault(place, []).append(direction)
    found = []
    while edges:
        start = next(iter(edges))
        first = edges[start][0]
        corners, place, direction = [], start, -1
        while True:
            ways = edges[place]
            # Where two pixels touch at a corner, a turn to the left keeps them in one outline.
            chosen = first if direction < 0 else _leftmost(ways, direction)
            ways.remove(chosen)
            if not ways:
                del edges[place]
            if chosen != direction:
                corners.append(place)
                direction = chosen
            place = (place[0] + _STEPS[chosen][0], place[1] + _STEPS[chosen][1])
            left = edges.get(place, [])
            if place == start and _leftmost([*left, first], direction) == first:
                break
        loop = np.array(corners, np.intp)
        area = _signed_area(loop)
        if area > smallest:  # holes run the other way
            found.append(Outline(loop, area))
    return sorted(found, key=lambda outline: (-outline.area, outline.corners[0].tolist()))


def _leftmost(ways: list[int], direction: int) -> int:
    return min(ways, key=lambda way: (way - direction + 1) % 4)


def _signed_area(loop: "Loop") -> float:
    x, y = loop[:, 0], loop[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def simplified(loop: "Loop", tolerance: float) -> "Loop":
    """The outline with no left-out corner farther than `tolerance` pixels from it.

    D. H. Douglas, T. K. Peucker: Algorithms for the reduction of the number of points required to
    represent a digitized line or its caricature.  Cartographica 10(2), 1973.
    """
    if len(loop) < 4:
        return loop
    away = int(((loop - loop[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([loop, loop[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, away, -1]] = True
    open_parts = [(0, away), (away, len(closed) - 1)]
    while open_parts:
        first, last = open_parts.pop()
        if last - first < 2:
            continue
        ends = closed[last] - closed[first]
        between = closed[first + 1 : last] - closed[first]
        length = float(np.hypot(*ends))
        distance = np.abs(between[:, 0] * ends[1] - between[:, 1] * ends[0]) / max(length, 1e-9)
        if length == 0:
            distance = np.hypot(between[:, 0], between[:, 1])
        farthest = int(distance.argmax())
        if distance[farthest] > tolerance:
            middle = first + 1 + farthest
            keep[middle] = True
            open_parts += [(first, middle), (middle, last)]
    kept = closed[:-1][keep[:-1]]
    return kept if len(kept) >= 3 else loop
