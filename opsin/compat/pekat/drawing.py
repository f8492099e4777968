"""Images of an answer: the picture with its findings, and the heat alone."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from opsin.compat.pekat.findings import Findings, Heat
from opsin.core.contract import Picture
from opsin.core.errors import InvalidImage, TooLarge
from opsin.core.exports.run_lengths import drawable
from opsin.core.imaging import ImageLimits, decode

if TYPE_CHECKING:
    import numpy.typing as npt

    Levels: TypeAlias = npt.NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_OVERLAY = 0.6
"""How much of the picture the strongest heat hides."""


def heatmap_of(findings: Findings, size: tuple[int, int], limits: ImageLimits) -> Picture:
    """The heat alone, RGB: black where there is none, over red and yellow to white."""
    return _COLOURS[_levels(findings, size, limits)]


def annotated(picture: Picture, findings: Findings, limits: ImageLimits) -> Picture:
    """A copy of the picture with the heat laid over it, and every rectangle with its label."""
    height, width = picture.shape[:2]
    drawn = picture
    if findings.heats:
        levels = _levels(findings, (width, height), limits)
        share = levels[..., np.newaxis] * np.float32(_OVERLAY / 255)
        drawn = np.rint(picture * (1 - share) + _COLOURS[levels] * share).astype(np.uint8)
    image = Image.fromarray(drawn)
    pen = ImageDraw.Draw(image)
    line = max(2, round(max(width, height) / 400))
    font = ImageFont.load_default(max(10, round(max(width, height) / 60)))
    for rectangle in findings.rectangles:
        name = rectangle["classNames"][0]
        left, top = rectangle["x"], rectangle["y"]
        right, bottom = left + rectangle["width"] - 1, top + rectangle["height"] - 1
        pen.rectangle((left, top, max(left, right), max(top, bottom)), None, name["color"], line)
        text = _shown(f"{name['label']} {name['confidence']}%")
        _, _, wide, high = pen.textbbox((0, 0), text, font)
        at = left, max(top - high - line, 0)
        pen.rectangle((*at, at[0] + wide + line, at[1] + high + line), name["color"])
        pen.text(at, text, "black", font)
    return np.asarray(image)


def _shown(text: str) -> str:
    """One line of what any font has a box for."""
    return "".join(character if character.isprintable() else " " for character in text[:60])


def _levels(findings: Findings, size: tuple[int, int], limits: ImageLimits) -> "Levels":
    """The strongest heat of each pixel, 0 to 255."""
    width, height = size
    levels: Levels = np.zeros((height, width), np.uint8)
    for heat in findings.heats:
        if heat.picture is not None:
            _lay_over(levels, heat, limits)
        elif isinstance(heat.segmentation, dict):
            _fill_runs(levels, heat.segmentation, _level(heat))
        else:
            _fill_polygons(levels, heat.segmentation or (), _level(heat))
    return levels


def _level(heat: Heat) -> int:
    return round(255 * heat.strength)


def _lay_over(levels: "Levels", heat: Heat, limits: ImageLimits) -> None:
    rows, columns = levels.shape
    x, y, width, height = (round(side) for side in heat.box or (0, 0, columns, rows))
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, columns), min(y + height, rows)
    try:
        colours = decode(heat.picture or b"", limits).pixels
    except (InvalidImage, TooLarge):
        return  # a file that is no picture is no heat either
    if right <= left or bottom <= top:
        return
    grey = Image.fromarray(np.rint(colours @ (_LUMA * np.float32(heat.strength))).astype(np.uint8))
    laid = np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR))
    part = levels[top:bottom, left:right]
    np.maximum(part, laid[top - y : bottom - y, left - x : right - x], out=part)


def _fill_polygons(levels: "Levels", polygons: Any, level: int) -> None:
    mask = Image.new("L", levels.shape[::-1])
    pen = ImageDraw.Draw(mask)
    for polygon in polygons:
        pen.polygon(polygon, fill=level)
    np.maximum(levels, np.asarray(mask), out=levels)


def _fill_runs(levels: "Levels", runs: dict[str, Any], level: int) -> None:
    """COCO's run lengths of a mask, as far as they lie in the picture."""
    found = drawable(runs, levels.size)
    if found is None:
        return
    rows, counts = found
    inside = np.zeros(len(counts), np.uint8)
    inside[1::2] = level
    most = min(rows * runs["size"][1], 4 * levels.size)
    ends = np.minimum(np.cumsum(np.asarray(counts, np.float64)), most).astype(np.int64)
    flat = np.repeat(inside, np.diff(ends, prepend=0))
    whole = len(flat) // rows * rows
    mask = flat[:whole].reshape(-1, rows).T
    part = levels[: mask.shape[0], : mask.shape[1]]
    np.maximum(part, mask[: part.shape[0], : part.shape[1]], out=part)


def _colours() -> "npt.NDArray[np.uint8]":
    """256 x RGB, from black over red and yellow to white."""
    third = np.arange(256) * 3
    channels = [np.clip(third - 255 * number, 0, 255) for number in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


_COLOURS = _colours()
