"""Under the eyes: how much darker than the cheek, and how folded."""

from typing import TYPE_CHECKING

import numpy as np

from opsin import NotShown
from opsin.plugins.skin.geometry import AREAS, FACE
from opsin.plugins.skin.results import SkinArea, SkinMetric, SkinShape
from opsin.plugins.skin.runner.face import LEAST_VISIBLE, Face, View
from opsin.plugins.skin.runner.measures import Measured
from opsin.plugins.skin.runner.scores import mean_score, metric

if TYPE_CHECKING:
    from opsin.plugins.skin.runner.filters import Colours

SIDES = ("left", "right")
DARK_CIRCLES_ENDS, EYE_BAGS_ENDS = (0.0, 15.0), (1.0, 12.0)
SEEN = 1.0
"""L* below the cheek from which the area is drawn."""
PROFILE = (0.15, 0.50)
"""From the lower lid down to the cheek, in face coordinates."""
PROFILE_HALF_WIDTH = 0.16
BINS = 18
NOT_VISIBLE = "the skin under the eyes is not visible"


def bag_contrast(view: View, lab: "Colours", side: str) -> float | None:
    """How far the mean lightness from lid to cheek leaves its own straight line, in L*.

    From its lowest to its highest: a bag is a bright bulge above a dark fold.
    """
    centre = 0.5 if side == "left" else -0.5
    height, width = lab.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    (left, top), (across, down) = view.corner, view.factor
    frame = view.face.frame
    x, y = (
        (columns + 0.5) / across + left - frame.eyes[0],
        (rows + 0.5) / down + top - frame.eyes[1],
    )
    (ax, ay), (bx, by) = frame.across, frame.along
    area = ax * by - ay * bx
    s, t = (x * by - y * bx) / area, (ax * y - ay * x) / area
    first, last = PROFILE
    inside = view.skin & (np.abs(s - centre) <= PROFILE_HALF_WIDTH) & (t >= first) & (t < last)
    step = ((t[inside] - first) / (last - first) * BINS).astype(int)
    count = np.bincount(step, minlength=BINS)
    if (count == 0).any():
        return None
    profile = np.bincount(step, lab[..., 0][inside], BINS) / count
    place = np.arange(BINS)
    slope, start = np.polyfit(place, profile, 1)
    away = profile - (slope * place + start)
    return float(away.max() - away.min())


def measure_eye_area(face: Face) -> Measured:
    """Each side against its own cheek; `face` is the mean of the sides that are visible."""
    view = face.at()
    lab = view.smoothed_lab()
    areas: list[SkinArea] = []
    shapes: list[SkinShape] = []
    for side in SIDES:
        (under, share), (cheek, cheek_share) = (
            view.skin_in(f"{side}_{area}") for area in ("under_eye", "cheek")
        )
        bag = bag_contrast(view, lab, side)
        if min(share, cheek_share) < LEAST_VISIBLE or bag is None:
            continue
        difference = lab[cheek].mean(axis=0) - lab[under].mean(axis=0)
        darker = float(difference[0])
        dark = metric("dark_circles", darker, "L* below the cheek", DARK_CIRCLES_ENDS)
        bags = metric("eye_bags", bag, "L*", EYE_BAGS_ENDS)
        areas.append(
            _area(f"{side}_eye_area", share, float(np.hypot.reduce(difference)), dark, bags)
        )
        if darker > SEEN:
            outline = face.frame.outline(AREAS[f"{side}_under_eye"])
            shapes.append(
                SkinShape(
                    name="dark_circles",
                    is_outline=True,
                    intensity=round(darker, 3),
                    unit="L* below the cheek",
                    coordinates=face.rounded(outline),
                )
            )
    if not areas:
        raise NotShown(NOT_VISIBLE)
    parts = [[area.main.value, *(detail.value for detail in area.details)] for area in areas]
    difference, darker, bag = (float(value) for value in np.mean(parts, axis=0))
    whole = _area(
        FACE,
        sum(area.skin_share for area in areas) / len(areas),
        difference,
        metric("dark_circles", darker, "L* below the cheek", DARK_CIRCLES_ENDS),
        metric("eye_bags", bag, "L*", EYE_BAGS_ENDS),
    )
    return Measured((whole, *areas), tuple(shapes))


def _area(
    name: str, share: float, difference: float, dark: SkinMetric, bags: SkinMetric
) -> SkinArea:
    main = SkinMetric(
        name="eye_area",
        value=round(difference, 4),
        unit="Delta E*ab to the cheek",
        score=mean_score(dark, bags),
    )
    return SkinArea(area=name, skin_share=share, main=main, details=(dark, bags))
