"""The picture of a report: whole and, where most happens in a part of it, that part, each once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from opsin.core.errors import OpsinError
from opsin.core.exports.masks import mask_of
from opsin.core.exports.shapes import Box, Shape
from opsin.core.imaging import ImageLimits, decode, encode_jpeg

_LONGEST_SIDE = 1_200
_LONGEST_PALE = _LONGEST_MASK = 600
_MARGIN = 0.06
"""Around what was found, in its longer side."""
_WHOLE_FROM = 0.75
"""A part that is so much of the picture is no part."""
_QUALITY = 88


@dataclass(frozen=True, slots=True)
class View:
    """A part of the picture, in its pixels, and that part as JPEG; None where there is no file."""

    box: Box
    jpeg: bytes | None

    @property
    def ratio(self) -> float:
        """Height by width."""
        return self.box[3] / self.box[2]


@dataclass(frozen=True, slots=True)
class Views:
    """The whole picture, and the part that was looked at, which may be all of it."""

    whole: View
    part: View
    pale: View
    """The part without its colours and lighter, for what is drawn on it to be seen."""


def make_views(
    content: bytes | None, limits: ImageLimits, size: tuple[int, int], shapes: Sequence[Shape]
) -> Views:
    """Decode a picture of `size` pixels once; a file that cannot be decoded is as none."""
    whole = (0.0, 0.0, float(size[0]), float(size[1]))
    part = _part(whole, [shape.box for shape in shapes])
    pixels = None
    if content is not None:
        try:
            pixels = Image.fromarray(decode(content, limits).pixels)
        except OpsinError:  # it was whole when it was taken in: the store has damaged it
            pixels = None
    first = View(whole, _encoded(_cut(pixels, whole)))
    shown = first if part == whole else View(part, _encoded(_cut(pixels, part)))
    return Views(first, shown, View(part, _encoded(_pale(_cut(pixels, part)))))


def painted(
    shapes: Sequence[Shape], view: View, size: tuple[int, int], colour: tuple[int, int, int]
) -> Image.Image | None:
    """The masks of run lengths in a view, as one picture that is transparent where nothing is."""
    runs = [{"rle": one.segmentation} for one in shapes if isinstance(one.segmentation, dict)]
    mask = mask_of(runs, *size) if runs else None
    if mask is None:
        return None
    left, top, width, height = (round(number) for number in view.box)
    scale = min(1.0, _LONGEST_MASK / max(width, height))
    alpha = Image.fromarray(mask[top : top + height, left : left + width]).convert("L")
    alpha = alpha.resize((max(1, round(width * scale)), max(1, round(height * scale))))
    picture = Image.new("RGB", alpha.size, colour)
    picture.putalpha(alpha.point(lambda level: level * 2 // 5))
    return picture


def _part(whole: Box, boxes: Sequence[Box]) -> Box:
    boxes = [box for box in boxes if box[2] > 0 and box[3] > 0]
    if not boxes:
        return whole
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right = max(box[0] + box[2] for box in boxes)
    bottom = max(box[1] + box[3] for box in boxes)
    margin = _MARGIN * max(right - left, bottom - top)
    left, top = max(0.0, np.floor(left - margin)), max(0.0, np.floor(top - margin))
    right, bottom = (
        min(whole[2], np.ceil(right + margin)),
        min(whole[3], np.ceil(bottom + margin)),
    )
    width, height = float(right - left), float(bottom - top)
    if width < 8 or height < 8 or max(width / whole[2], height / whole[3]) > _WHOLE_FROM:
        return whole
    return float(left), float(top), width, height


def _cut(pixels: Image.Image | None, box: Box) -> Image.Image | None:
    """A part of the picture, no larger than is printed."""
    if pixels is None:
        return None
    left, top, width, height = (round(number) for number in box)
    scale = min(1.0, _LONGEST_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return pixels.resize(
        size, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height)
    )


def _pale(part: Image.Image | None) -> Image.Image | None:
    if part is None:
        return None
    part.thumbnail((_LONGEST_PALE, _LONGEST_PALE))
    return part.convert("L").point(lambda level: 255 - (255 - level) * 3 // 5).convert("RGB")


def _encoded(part: Image.Image | None) -> bytes | None:
    return None if part is None else encode_jpeg(np.asarray(part), _QUALITY)
