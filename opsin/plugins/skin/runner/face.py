"""One face at one scale: its pixels, its areas as masks, and which of them are skin."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFilter

from opsin import Item, NotShown, OperationFailed, Picture, Point
from opsin.plugins.skin.geometry import (
    AREAS,
    CORE,
    EYE_DISTANCE_MM,
    FACE,
    NOT_SKIN,
    FaceFrame,
    area_of,
    inside_picture,
)
from opsin.plugins.skin.results import SkinShape
from opsin.plugins.skin.runner.components import compact, outlines, simplified
from opsin.plugins.skin.runner.filters import eroded, lab, lightness, linear
from opsin.plugins.skin.runner.raster import filled

if TYPE_CHECKING:
    from opsin.plugins.skin.runner.filters import Colours, Map, Mask, Pixels

COLOUR_SCALE = 128
"""Pixels between the eyes at which colours are measured: about 2 a millimetre."""
SMALLEST_EYE_DISTANCE = 40
"""Pixels; below, an area of the face is a handful of pixels."""
LEAST_SKIN = 0.25
"""Share of the face below which it is not taken for one that shows its skin."""
CB, CR = (77, 127), 133
"""D. Chai, K. N. Ngan: Face segmentation using skin-color map in videophone applications.  IEEE
Transactions on Circuits and Systems for Video Technology 9(4), 1999, 551-564.  Their upper bound of
Cr, 173, is left out: inflamed skin lies beyond it."""
DARKER, BRIGHTER = 30.0, 8.0
"""L* from the median of the face's core: hair lies below the first, a highlight, which has the
light's colour and not the skin's, above the second."""
LEAST_VISIBLE = 0.5
"""Share of an area that must be skin for it to be measured."""
LARGEST_MOLE_MM2 = 60.0
MOST_SHAPES = 100

NO_LANDMARKS = "the face finder of this server gives no landmarks"
NOT_FRONTAL = "the face is not seen from the front"
TOO_SMALL = "the face is too small: {found:.0f} pixels between the eyes, {needed} are needed"
NO_SKIN = "no skin was found in the face: it is covered, in too little light, or not in colour"


class Face:
    """The face that the region finder found, in the picture."""

    def __init__(self, picture: Picture, frame: FaceFrame) -> None:
        self.picture = picture
        self.frame = frame

    @classmethod
    def of(cls, item: Item[Any], smallest: float = SMALLEST_EYE_DISTANCE) -> "Face":
        """Raises NotShown where it is not from the front, or is too small."""
        landmarks = item.region.landmarks if item.region else ()
        if not landmarks:
            raise OperationFailed(NO_LANDMARKS)
        frame = FaceFrame.of(landmarks)
        if frame is None:
            raise NotShown(NOT_FRONTAL)
        if frame.eye_distance < smallest:
            text = TOO_SMALL.format(found=frame.eye_distance, needed=round(smallest))
            raise NotShown(text)
        return cls(item.picture, frame)

    def rounded(self, points: Any) -> tuple[int, ...]:
        """Points in pixels of the picture, n x 2, clipped to it, as x and y in turn."""
        height, width = self.picture.shape[:2]
        inside = np.clip(np.rint(np.asarray(points)), 0, (width, height)).astype(int)
        return tuple(inside.ravel().tolist())

    def at(self, scale: float = COLOUR_SCALE) -> "View":
        """The face with so many pixels between the eyes."""
        return View(self, scale)


class View:
    """The face, cut out and scaled; masks and maps are of the size of `pixels`."""

    def __init__(self, face: Face, scale: float) -> None:
        self.face = face
        self.scale = scale
        height, width = face.picture.shape[:2]
        corners = np.array(face.frame.outline(AREAS[FACE]))
        left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int).tolist()
        right, bottom = np.minimum(np.ceil(corners.max(axis=0)), (width, height)).astype(int)
        if right - left < 1 or bottom - top < 1:
            raise NotShown("the face lies outside the picture")
        factor = scale / face.frame.eye_distance
        size = (max(round((right - left) * factor), 1), max(round((bottom - top) * factor), 1))
        part = Image.fromarray(face.picture[top:bottom, left:right])
        self.image = part.resize(size, Image.Resampling.BICUBIC, reducing_gap=3)
        self.pixels: Pixels = np.asarray(self.image)
        self.factor = (size[0] / (right - left), size[1] / (bottom - top))
        self.corner = (left, top)

    @property
    def millimetre(self) -> float:
        """Pixels of this view in a millimetre of a face with a mean distance of the eyes."""
        return self.scale / EYE_DISTANCE_MM

    @property
    def square_centimetre(self) -> float:
        return (10 * self.millimetre) ** 2

    def radius(self, millimetres: float) -> int:
        """Pixels, 1 at least."""
        return max(round(millimetres * self.millimetre), 1)

    # --- areas ------------------------------------------------------------------------------------

    def _drawn(self, polygons: Sequence[Sequence[Point]]) -> "Mask":
        height, width = self.pixels.shape[:2]
        drawn = np.zeros((height, width), bool)
        for polygon in polygons:
            points = [self._to_view(point) for point in self.face.frame.outline(polygon)]
            drawn |= filled(points, height, width)
        return drawn

    def _to_view(self, point: Point) -> Point:
        (x, y), (left, top), (across, down) = point, self.corner, self.factor
        return (x - left) * across, (y - top) * down

    def within(self, area: str) -> "Mask":
        """The pixels of an area, without eyes, brows, nostrils and lips."""
        return self._drawn([AREAS[area]]) & ~self._features

    def visible_share(self, area: str) -> float:
        """Share of the area's polygon that lies inside the picture."""
        outline = self.face.frame.outline(AREAS[area])
        height, width = self.face.picture.shape[:2]
        return area_of(inside_picture(outline, width, height)) / area_of(outline)

    @cached_property
    def _features(self) -> "Mask":
        return self._drawn(NOT_SKIN)

    # --- colours ----------------------------------------------------------------------------------

    @cached_property
    def light(self) -> "Colours":
        """Linear sRGB."""
        return linear(self.pixels)

    @cached_property
    def lab(self) -> "Colours":
        return lab(self.light)

    @cached_property
    def lightness(self) -> "Map":
        return lightness(self.light)

    def smoothed_lab(self, millimetres: float = 1.0) -> "Colours":
        """CIELAB of the light averaged over squares of about that side."""
        radius = millimetres * self.millimetre / 2
        return lab(linear(np.asarray(self.image.filter(ImageFilter.BoxBlur(radius)))))

    # --- skin -------------------------------------------------------------------------------------

    @cached_property
    def skin(self) -> "Mask":
        """Skin by place, colour and lightness, judged on squares of about a millimetre.

        Raises NotShown where hardly any is found.
        """
        found = self.skin_or_none
        if found is None:
            raise NotShown(NO_SKIN)
        return found

    @cached_property
    def skin_or_none(self) -> "Mask | None":
        soft = self.image.filter(ImageFilter.BoxBlur(self.millimetre / 2))
        _, cb, cr = np.moveaxis(np.asarray(soft.convert("YCbCr")), 2, 0)
        coloured = (cb >= CB[0]) & (cb <= CB[1]) & (cr >= CR)
        place = self.within(FACE)
        core = self._drawn([AREAS[area] for area in CORE]) & ~self._features & coloured
        if not core.any():
            return None
        level = lightness(linear(np.asarray(soft)))
        usual = float(np.median(level[core]))
        found: Mask = place & ((coloured & (level > usual - DARKER)) | (level > usual + BRIGHTER))
        # A mole is as dark as hair; unlike hair it lies alone in the skin.
        largest = LARGEST_MOLE_MM2 * self.millimetre**2
        found |= compact(place & ~found, 0, largest) & eroded(place, 1)
        return found if found.sum() >= LEAST_SKIN * place.sum() else None

    def skin_in(self, area: str) -> tuple["Mask", float]:
        """The skin of an area, and the share of the area, 0 to 1, that it is."""
        inside = self.within(area)
        found: Mask = inside & self.skin
        share = self.visible_share(area) * float(found.sum()) / max(float(inside.sum()), 1.0)
        return found, share

    def measurable(self, areas: Sequence[str]) -> dict[str, tuple["Mask", float]]:
        """The areas of which enough is skin, in this order; the face itself always counts."""
        found = {area: self.skin_in(area) for area in areas}
        return {
            area: (mask, share)
            for area, (mask, share) in found.items()
            if mask.any() and (area == FACE or share >= LEAST_VISIBLE)
        }

    # --- shapes -----------------------------------------------------------------------------------

    def to_picture(self, points: Any) -> tuple[int, ...]:
        """Points of this view as x and y in turn, in pixels of the picture."""
        return self.face.rounded(np.asarray(points, np.float64) / self.factor + self.corner)

    def shapes(
        self,
        name: str,
        mask: "Mask",
        intensity: "Map",
        unit: str,
        *,
        smallest: float = 1.0,
        measured: "Mask | None" = None,
    ) -> tuple[SkinShape, ...]:
        """The largest outlines in a mask, each with the mean intensity of the mask inside its box.

        `measured` are the pixels whose intensity counts, where that is not all of the mask.
        """
        counts = mask if measured is None else measured
        found = []
        for outline in outlines(mask, smallest)[:MOST_SHAPES]:
            (left, top), (right, bottom) = outline.corners.min(axis=0), outline.corners.max(axis=0)
            inside = counts[top:bottom, left:right]
            level = float(intensity[top:bottom, left:right][inside].mean())
            corners = simplified(outline.corners, 0.75)
            coordinates = self.to_picture(corners)
            found.append(
                SkinShape(
                    name=name,
                    is_outline=True,
                    intensity=round(level, 3),
                    unit=unit,
                    coordinates=coordinates,
                )
            )
        return tuple(found)
