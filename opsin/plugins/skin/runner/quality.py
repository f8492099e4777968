"""Whether the picture is good enough to measure skin in: size, light, focus, pose."""

from typing import TYPE_CHECKING

import numpy as np

from opsin.plugins.skin.geometry import AREAS, FACE
from opsin.plugins.skin.results import SkinArea, SkinMetric
from opsin.plugins.skin.runner.face import Face
from opsin.plugins.skin.runner.measures import Measured
from opsin.plugins.skin.runner.scores import metric

if TYPE_CHECKING:
    from opsin.plugins.skin.runner.filters import Mask, Pixels

DARK_LEVEL, BRIGHT_LEVEL = 25, 247
"""Luma, of 255, up to and from which a pixel holds no more detail of the skin."""
SHARPNESS_SCALE = 96
ENDS = {
    "eye_distance": (160.0, 40.0),
    "sharpness": (60.0, 4.0),
    "underexposed": (0.0, 0.2),
    "overexposed": (0.0, 0.2),
    "light_symmetry": (0.8, 0.2),
    "nose_offset": (0.05, 0.3),
    "visible_share": (1.0, 0.6),
}
UNITS = {
    "eye_distance": "pixels",
    "sharpness": "levels^2",
    "nose_offset": "eye distances",
}
"""The others are shares."""
ADVICE = {
    "eye_distance": "come closer, or use a camera of a higher resolution",
    "sharpness": "hold the camera still and focus on the face",
    "underexposed": "use more light",
    "overexposed": "use less light",
    "light_symmetry": "light both sides of the face equally",
    "nose_offset": "look straight into the camera",
    "visible_share": "keep the whole face in the picture",
}
MENDED = 50.0
"""A score below which the picture is told to be mended."""
HISTOGRAM_BINS = 32


def measure_quality(face: Face) -> Measured:
    """The components of the face's picture; the weakest of them is its quality."""
    view = face.at()
    place = view.within(FACE)
    luma = np.asarray(view.image.convert("L"))
    levels = luma[place]
    values = {
        "eye_distance": face.frame.eye_distance,
        "sharpness": sharpness(face),
        "underexposed": float((levels <= DARK_LEVEL).mean()) if levels.size else 1.0,
        "overexposed": float((levels >= BRIGHT_LEVEL).mean()) if levels.size else 1.0,
        "light_symmetry": symmetry(luma, view.within("right_cheek"), view.within("left_cheek")),
        "nose_offset": abs(face.frame.nose[0]),
        "visible_share": min(view.visible_share(area) for area in AREAS),
    }
    details = tuple(
        metric(name, value, UNITS.get(name, "share"), ENDS[name]) for name, value in values.items()
    )
    weakest = min(100.0 if detail.score is None else detail.score for detail in details)
    main = SkinMetric(name="image_quality", value=weakest, unit="score", score=weakest)
    found = view.skin_or_none
    share = 0.0 if found is None else float(found[place].mean())
    feedback = tuple(
        ADVICE[detail.name]
        for detail in details
        if detail.score is not None and detail.score < MENDED
    )
    area = SkinArea(area=FACE, skin_share=share, main=main, details=details)
    return Measured((area,), feedback=feedback)


def sharpness(face: Face) -> float:
    """Variance of the Laplacian of luma, in squared levels, with 96 pixels between the eyes."""
    view = face.at(SHARPNESS_SCALE)
    luma = np.asarray(view.image.convert("L"), np.float64)
    laplacian = np.zeros_like(luma)
    if min(luma.shape) < 3:
        return 0.0
    laplacian[1:-1, 1:-1] = (
        luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    )
    inside = laplacian[view.within(FACE)]
    return float(inside.var()) if inside.size else 0.0


def symmetry(luma: "Pixels", one: "Mask", other: "Mask") -> float:
    """What the histograms of the two cheeks have in common, 0 to 1."""
    parts = [
        np.bincount(luma[mask].astype(int) * HISTOGRAM_BINS // 256, minlength=HISTOGRAM_BINS)
        for mask in (one, other)
    ]
    if any(part.sum() == 0 for part in parts):
        return 0.0
    return float(np.minimum(*(part / part.sum() for part in parts)).sum())
