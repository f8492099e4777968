"""Polygons as masks."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from opsin import Point

if TYPE_CHECKING:
    from opsin.plugins.skin.runner.filters import Mask


def filled(polygon: Sequence[Point], height: int, width: int) -> "Mask":
    """The pixels whose centres lie inside the polygon, by the even-odd rule."""
    found = np.zeros((height, width), bool)
    columns, lines = (
        [min(max(math.ceil(point[axis] - 0.5), 0), limit) for point in polygon]
        for axis, limit in ((0, width), (1, height))
    )
    left, right, top, bottom = min(columns), max(columns), min(lines), max(lines)
    if left >= right or top >= bottom:
        return found
    crossings = np.zeros((bottom - top, right - left + 1), np.int8)
    for (x, y), (u, v) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        first, last = (min(max(math.ceil(end - 0.5), top), bottom) for end in sorted((y, v)))
        if first < last:
            rows = np.arange(first, last)
            places = np.ceil(x + (rows + 0.5 - y) / (v - y) * (u - x) - 0.5)
            # From the first pixel whose centre is right of the edge, inside and outside change.
            crossings[rows - top, np.clip(places - left, 0, right - left).astype(int)] += 1
    inside = np.cumsum(crossings, axis=1, dtype=np.int8)[:, :-1] % 2 == 1
    found[top:bottom, left:right] = inside
    return found
