"""Lines and wrinkles: dark ridges of lightness, how long they are and how deep."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opsin.plugins.skin.geometry import FACE
from opsin.plugins.skin.results import SkinArea
from opsin.plugins.skin.runner.components import compact, components
from opsin.plugins.skin.runner.face import Face, View
from opsin.plugins.skin.runner.filters import derivatives, dilated, eroded, gaussian, mean_inside
from opsin.plugins.skin.runner.measures import Measured
from opsin.plugins.skin.runner.scores import metric

if TYPE_CHECKING:
    from opsin.plugins.skin.runner.filters import Map, Mask

AREAS = (
    FACE,
    "forehead",
    "between_brows",
    "left_eye_corner",
    "right_eye_corner",
    "left_under_eye",
    "right_under_eye",
    "left_cheek",
    "right_cheek",
    "nose",
    "chin",
)
SPOT, SPOT_FILLS = 4.0, 0.6
"""L* below its surroundings, and the part of the box around it that a spot fills."""
WEAKEST = 0.5
"""Of a ridge's mean strength, what its points have at least."""
FLATTEST = 0.35
"""Of the curvatures along and across a ridge, the most that the first may be of the second."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which ridges are looked for."""

    name: str
    eye_distance: int
    """Pixels between the eyes at which they are looked for."""
    smallest_eye_distance: int
    sigmas_mm: tuple[float, ...]
    """Standard deviations of the smoothing; a ridge is found best by its own half width."""
    strength: float
    """sigma^2 times the curvature across, in L*, from which a point belongs to a ridge."""
    shortest_mm: float
    ends: tuple[float, float]
    """mm/cm^2 with the scores 100 and 0."""


LINES = Kind("lines", 256, 150, (0.4, 0.6), 1.2, 2.5, (0.0, 25.0))
WRINKLES = Kind("wrinkles", 128, 80, (0.8, 1.3), 1.5, 6.0, (0.0, 8.0))


@dataclass(frozen=True, slots=True)
class Ridges:
    """Points of ridges: `length` is how much ridge a pixel holds, in pixels, 0 off the ridges."""

    length: "Map"
    strength: "Map"


def ridges(lightness: "Map", sigma: float, least: float) -> Ridges:
    """Dark ridges by the Hessian at one scale.

    A pixel is a point of a ridge when the second-order Taylor polynomial has its minimum across the
    ridge near the pixel: C. Steger, An unbiased detector of curvilinear structures, IEEE TPAMI
    20(2), 1998.  Here its distance counts instead: with n the direction across, a ridge passes one
    row (or column) in each 1 / max(|nx|, |ny|) pixels of its length, and the tents 1 - |distance|
    along it add up to 1.  So lengths are right in every direction.
    """
    smooth = gaussian(lightness, sigma)
    x, y, xx, xy, yy = derivatives(smooth)
    half, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    across, along = half + spread, half - spread
    strength = sigma**2 * across
    # Curved across and not along: a fold, not a spot.
    candidate = (strength >= least) & (np.abs(along) <= FLATTEST * across)
    angle = 0.5 * np.arctan2(2 * xy[candidate], (xx - yy)[candidate])
    nx, ny = np.cos(angle), np.sin(angle)
    offset = (x[candidate] * nx + y[candidate] * ny) / across[candidate]
    # Of a Gaussian's profile the polynomial puts the minimum too far away; so it is exact, with a
    # ridge of twice sigma in width, which adds a third to the variance.
    wide = sigma * math.sqrt(4 / 3)
    distance = 2 * np.abs(offset) / (1 + np.sqrt(1 + (2 * offset / wide) ** 2))
    widest = np.maximum(np.abs(nx), np.abs(ny))
    parts = np.maximum(1 - distance / widest, 0) / widest
    length = np.zeros_like(lightness)
    length[candidate] = np.where(_is_valley(smooth, candidate, nx, ny, sigma), parts, 0)
    return Ridges(length, strength)


def _is_valley(smooth: "Map", at: "Mask", nx: "Map", ny: "Map", sigma: float) -> "Mask":
    """Whether it is lighter on both sides: the foot of a bright line is curved, but no valley."""
    height, width = smooth.shape
    rows, columns = np.nonzero(at)
    reach = max(2.0, 2 * sigma)
    down, right = np.rint(reach * ny).astype(int), np.rint(reach * nx).astype(int)
    sides = [
        smooth[
            np.clip(rows + sign * down, 0, height - 1),
            np.clip(columns + sign * right, 0, width - 1),
        ]
        for sign in (-1, 1)
    ]
    found: Mask = smooth[at] < np.minimum(*sides)
    return found


def long_enough(found: Ridges, inside: "Mask", shortest: float) -> "Map":
    """The lengths of those ridges that are, in all, at least `shortest` pixels long."""
    points = inside & (found.length > 0)
    labels, count = components(points)
    if not count:
        return np.zeros_like(found.length)
    lengths, strengths = found.length[points], found.strength[points]
    total = np.bincount(labels, lengths, count)
    mean = np.bincount(labels, lengths * strengths, count) / total
    # Smoothing carries a ridge on beyond its ends, ever weaker; at the end it is half as strong.
    within = strengths >= WEAKEST * mean[labels]
    total = np.bincount(labels[within], lengths[within], count)
    kept = np.zeros_like(found.length)
    kept[points] = np.where(within & (total[labels] >= shortest), lengths, 0)
    return kept


def spots(view: View) -> "Mask":
    """Solid dark spots, a little widened: their edges are no lines."""
    around = mean_inside(view.lightness, view.skin, view.radius(3))
    dark = view.skin & (view.lightness < around - SPOT)
    smallest, largest = view.millimetre**2 / 2, 60 * view.millimetre**2
    return dilated(compact(dark, smallest, largest, SPOT_FILLS), view.radius(0.75))


def measure_ridges(face: Face, kind: Kind) -> Measured:
    """Length of the ridges by area of skin, and their mean strength."""
    view = face.at(kind.eye_distance)
    inner = eroded(view.skin, view.radius(1)) & ~spots(view)
    length = np.zeros_like(view.lightness)
    strength = np.zeros_like(view.lightness)
    near = view.radius(0.8)
    for sigma_mm in kind.sigmas_mm:  # from fine to coarse; a ridge counts at the first that sees it
        found = ridges(view.lightness, sigma_mm * view.millimetre, kind.strength)
        fresh = inner & ~dilated(length > 0, near) if length.any() else inner
        kept = long_enough(found, fresh, kind.shortest_mm * view.millimetre)
        length += kept
        strength = np.where(kept > 0, found.strength, strength)
    areas = []
    for area, (mask, share) in view.measurable(AREAS).items():
        here = mask & (length > 0)
        total = float(length[mask].sum()) / view.millimetre
        density = total / (float(mask.sum()) / view.square_centimetre)
        depth = float(strength[here].mean()) if here.any() else 0.0
        main = metric(kind.name, density, "mm/cm^2", kind.ends)
        details = (
            metric(f"{kind.name}_length", total, "mm"),
            metric(f"{kind.name}_strength", depth, "L*"),
        )
        areas.append(SkinArea(area=area, skin_share=share, main=main, details=details))
    drawn = dilated(length > 0, 1)
    shapes = view.shapes(
        kind.name, drawn, strength, "L*", smallest=view.millimetre, measured=length > 0
    )
    return Measured(tuple(areas), shapes)


def measure_lines(face: Face) -> Measured:
    """Fine lines, about half a millimetre wide."""
    return measure_ridges(face, LINES)


def measure_wrinkles(face: Face) -> Measured:
    """Wrinkles and folds, one to three millimetres wide."""
    return measure_ridges(face, WRINKLES)
