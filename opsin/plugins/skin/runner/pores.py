"""Pore-like texture: small dark blobs, how many there are and how dark."""

import numpy as np

from opsin.plugins.skin.geometry import FACE
from opsin.plugins.skin.results import SkinArea, SkinShape
from opsin.plugins.skin.runner.face import Face
from opsin.plugins.skin.runner.filters import derivatives, eroded, gaussian
from opsin.plugins.skin.runner.measures import Measured
from opsin.plugins.skin.runner.scores import metric

AREAS = (FACE, "nose", "forehead", "left_cheek", "right_cheek")
EYE_DISTANCE = 256
"""Pixels at which they are looked for: about 4 a millimetre."""
SMALLEST_EYE_DISTANCE = 150
SIGMA_MM = 0.28
"""A disc of radius r answers most at sigma = r / sqrt(2): here at 0.8 mm across."""
RESPONSE = 2.0
"""Of sigma^2 times the Laplacian, in L*: a disc of that size that is 2.7 L* darker."""
ROUNDEST = 0.4
"""The lesser curvature must be at least this part of the greater: a blob, not a line."""
ENDS = (0.0, 40.0)
MOST_POINTS = 2000


def measure_pores(face: Face) -> Measured:
    """Blobs in each square centimetre of skin: minima of scale-normalised Laplacians.

    T. Lindeberg: Feature detection with automatic scale selection.  IJCV 30(2), 1998, 79-116.
    """
    view = face.at(EYE_DISTANCE)
    sigma = SIGMA_MM * view.millimetre
    _, _, xx, xy, yy = derivatives(gaussian(view.lightness, sigma))
    half, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    response = sigma**2 * (xx + yy)
    blob = (response >= RESPONSE) & (half - spread >= ROUNDEST * (half + spread))
    blob &= eroded(view.skin, view.radius(1))
    rows, columns = np.nonzero(blob)
    padded = np.pad(response, 1)
    best = np.ones(len(rows), bool)
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            if (down, right) != (1, 1):
                # Of two equal neighbours the first counts.
                other, own = padded[rows + down, columns + right], response[rows, columns]
                best &= (own > other) if (down, right) < (1, 1) else (own >= other)
    rows, columns = rows[best], columns[best]
    areas = []
    for area, (mask, share) in view.measurable(AREAS).items():
        here = mask[rows, columns]
        count = int(here.sum())
        levels = response[rows[here], columns[here]]
        density = count / (float(mask.sum()) / view.square_centimetre)
        main = metric("pores", density, "blobs per cm^2", ENDS)
        details = (
            metric("pores_number", count, "blobs"),
            metric("pores_strength", float(levels.mean()) if count else 0.0, "L*"),
        )
        areas.append(SkinArea(area=area, skin_share=share, main=main, details=details))
    shapes: tuple[SkinShape, ...] = ()
    if len(rows):
        level = response[rows, columns]
        strongest = np.argsort(-level, kind="stable")[:MOST_POINTS]
        points = np.stack([columns[strongest] + 0.5, rows[strongest] + 0.5], axis=1)
        shapes = (
            SkinShape(
                name="pores",
                is_outline=False,
                intensity=round(float(level.mean()), 3),
                unit="L*",
                coordinates=view.to_picture(points),
            ),
        )
    return Measured(tuple(areas), shapes)
