"""Masks of pixels, from what annotations outline."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from opsin.core.exports.run_lengths import drawable
from opsin.core.exports.shapes import read_shape

Mask = npt.NDArray[np.bool_]
"""height x width; whether a pixel is inside."""


def mask_of(outlines: Iterable[Mapping[str, Any]], width: int, height: int) -> Mask | None:
    """All pixels that any of the annotations' `data` outlines; None where none outlines any."""
    mask = np.zeros((height, width), np.bool_)
    for data in outlines:
        shape = read_shape(data, width, height)
        if shape is None or not shape.segmentation:
            continue
        if isinstance(shape.segmentation, dict):
            _fill_runs(mask, shape.segmentation)
        else:
            _fill_polygons(mask, shape.segmentation)
    return mask if mask.any() else None


def _fill_polygons(mask: Mask, polygons: list[list[float]]) -> None:
    drawn = Image.new("1", mask.shape[::-1])
    pen = ImageDraw.Draw(drawn)
    for polygon in polygons:
        if len(polygon) >= 6:
            pen.polygon(polygon, fill=1)
    np.logical_or(mask, np.asarray(drawn), out=mask)


def _fill_runs(mask: Mask, runs: Mapping[str, Any]) -> None:
    """Run lengths go down the columns; what lies outside of the picture is left out."""
    found = drawable(runs, mask.size)
    if found is None:
        return
    rows, counts = found
    inside = np.arange(len(counts)) % 2 == 1
    most = min(rows * runs["size"][1], 4 * mask.size)
    ends = np.minimum(np.cumsum(np.asarray(counts, np.float64)), most).astype(np.int64)
    flat = np.repeat(inside, np.diff(ends, prepend=0))
    filled = flat[: len(flat) // rows * rows].reshape(-1, rows).T
    part = mask[: filled.shape[0], : filled.shape[1]]
    np.logical_or(part, filled[: part.shape[0], : part.shape[1]], out=part)
