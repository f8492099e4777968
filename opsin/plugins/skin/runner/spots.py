"""Pigment spots: compact places darker than their surroundings in red light."""

from typing import TYPE_CHECKING

import numpy as np

from opsin.plugins.skin.geometry import FACE
from opsin.plugins.skin.results import SkinArea
from opsin.plugins.skin.runner.components import compact, components
from opsin.plugins.skin.runner.face import Face
from opsin.plugins.skin.runner.filters import box_mean, eroded, mean_inside
from opsin.plugins.skin.runner.measures import Measured
from opsin.plugins.skin.runner.scores import metric

if TYPE_CHECKING:
    from opsin.plugins.skin.runner.filters import Map

AREAS = (FACE, "forehead", "nose", "left_cheek", "right_cheek", "chin")
CONTRAST = 5.0
"""Melanin index above the surroundings' from which a place is a spot: 11 % less red light."""
SURROUNDINGS_MM = 6.0
SMALLEST_MM2, LARGEST_MM2 = 0.75, 100.0
ENDS = (0.0, 0.06)


def melanin_index(red: "Map") -> "Map":
    """100 log10(1 / R) of red light, where blood absorbs little: M of H. Takiwaki, Measurement of
    skin color: practical application and theoretical considerations, J Med Invest 44, 1998.

    A camera's linear red stands for the reflectance R up to a factor, which adds a constant; only
    differences are used.
    """
    return -100 * np.log10(np.maximum(red, 1e-3))


def measure_pigmentation(face: Face) -> Measured:
    """How many spots, how much of the skin they cover and how dark they are."""
    view = face.at()
    red = box_mean(np.ascontiguousarray(view.light[..., 0]), 1)
    index = melanin_index(red)
    around = mean_inside(index, view.skin, view.radius(SURROUNDINGS_MM / 2))
    above = index - mean_inside(around, view.skin, view.radius(SURROUNDINGS_MM / 2))
    # The edge of the skin is shaded, and hair begins there.
    inner = eroded(view.skin, view.radius(1))
    square_millimetre = view.millimetre**2
    spots = compact(
        inner & (above > CONTRAST),
        SMALLEST_MM2 * square_millimetre,
        LARGEST_MM2 * square_millimetre,
    )
    areas = []
    for area, (mask, share) in view.measurable(AREAS).items():
        inside = spots & mask
        count = components(inside)[1]
        covered = float(inside.sum()) / float(mask.sum())
        contrast = float(above[inside].mean()) if count else 0.0
        density = count / (float(mask.sum()) / view.square_centimetre)
        main = metric("pigmentation", covered, "share", ENDS)
        details = (
            metric("spots", count, "spots"),
            metric("spots_density", density, "spots per cm^2"),
            metric("spots_contrast", contrast, "melanin index"),
        )
        areas.append(SkinArea(area=area, skin_share=share, main=main, details=details))
    shapes = view.shapes("pigmentation", spots, above, "melanin index above the surroundings")
    return Measured(tuple(areas), shapes)
