"""The picture of the demo: where it comes from, its boxes drawn, and a small look at it."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.color import Color
from rich.style import Style
from rich.text import Text

from opsin.core.contract import Box
from opsin.core.errors import MissingExtra
from opsin.core.imaging import ImageLimits, decode

_PORTRAIT = Path("mpl-data", "sample_data", "grace_hopper.jpg")
_FACE = Box(x_min=174, y_min=119, x_max=355, y_max=340)
"""Where MTCNN finds Grace Hopper's face, on the CPU with its own weights."""
_SAME_FACE = 0.9
"""Overlap over union from which on two boxes are of the same face, found on another device."""
_COLOURS = ("#ffb000", "#00c2ff", "#ff5fa2", "#7bd88f")
_PREVIEW_COLUMNS = 44


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A box to draw, and the words beside it."""

    box: Box
    label: str


def portrait() -> Path:
    """Grace Hopper, a public domain photograph that matplotlib carries; matplotlib stays unloaded.

    Raises MissingExtra.
    """
    spec = importlib.util.find_spec("matplotlib")
    for location in (spec and spec.submodule_search_locations) or ():
        if (file := Path(location, _PORTRAIT)).is_file():
            return file
    raise MissingExtra("the demo's portrait (--picture FILE takes another)", "demo")


def shows_the_face(boxes: Sequence[LabelledBox]) -> bool:
    """Whether one of the boxes frames the face of the portrait."""
    return any(_overlap(labelled.box, _FACE) >= _SAME_FACE for labelled in boxes)


def displayed(file: Path) -> Image.Image:
    """The picture as it is displayed: boxes are in its pixels, not in those of the file."""
    with file.open("rb") as stream:
        return Image.fromarray(decode(stream, ImageLimits()).pixels)


def draw(picture: Image.Image, boxes: Sequence[LabelledBox]) -> Image.Image:
    """A copy with the boxes and their labels."""
    picture = picture.copy()
    canvas = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 200))
    font = ImageFont.load_default(size=max(12, max(picture.size) // 35))
    for index, labelled in enumerate(boxes):
        box, colour = labelled.box, _colour(index)
        # The last pixel that belongs to the box: its maximum sides are exclusive.
        corners = (box.x_min, box.y_min, box.x_max - 1, box.y_max - 1)
        canvas.rectangle(corners, outline=colour, width=line)
        left, top, right, bottom = canvas.textbbox((0, 0), labelled.label, font=font)
        x = min(box.x_min, max(0, picture.width - int(right - left) - 2 * line))
        y = box.y_min - int(bottom - top) - 3 * line
        if y < 0:
            y = box.y_min
        frame = (x, y, x + right - left + 2 * line, y + bottom - top + 3 * line)
        canvas.rectangle(frame, fill=colour)
        canvas.text((x + line - left, y + line - top), labelled.label, fill="#101010", font=font)
    return picture


def preview(picture: Image.Image, boxes: Sequence[LabelledBox]) -> Text:
    """The picture in coloured half blocks, each character a pixel above another, with the boxes."""
    rows = max(1, round(_PREVIEW_COLUMNS * picture.height / picture.width / 2))
    small = picture.resize((_PREVIEW_COLUMNS, 2 * rows), Image.Resampling.LANCZOS)
    across, down = small.width / picture.width, small.height / picture.height
    canvas = ImageDraw.Draw(small)
    for index, labelled in enumerate(boxes):
        box = labelled.box  # drawn at this size: a line of the full picture would be lost in it
        corners = (box.x_min * across, box.y_min * down, box.x_max * across, box.y_max * down)
        canvas.rectangle([round(side) for side in corners], outline=_colour(index))
    pixels = np.asarray(small)
    text = Text(no_wrap=True)
    for row in range(rows):
        for upper, lower in zip(pixels[2 * row], pixels[2 * row + 1], strict=True):
            colours = (Color.from_rgb(*upper.tolist()), Color.from_rgb(*lower.tolist()))
            text.append("▀", Style(color=colours[0], bgcolor=colours[1]))
        text.append("\n" if row + 1 < rows else "")
    return text


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = min(one.x_max, other.x_max) - max(one.x_min, other.x_min)
    height = min(one.y_max, other.y_max) - max(one.y_min, other.y_min)
    shared = max(width, 0) * max(height, 0)
    return shared / (one.width * one.height + other.width * other.height - shared)
