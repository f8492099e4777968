"""The face itself: landmarks, areas, skin, and how it is turned."""

import numpy as np

from opsin.plugins.skin.geometry import AREAS, LANDMARKS
from opsin.plugins.skin.results import FaceArea, FaceAreas, FaceLandmark, SkinShape
from opsin.plugins.skin.runner.face import Face
from opsin.plugins.skin.runner.filters import dilated, eroded
from opsin.plugins.skin.runner.pictures import alignment

SCALE = 64
"""Pixels between the eyes: outlines are no finer than a millimetre."""
FRONTAL = 0.2
"""Eye distances."""
WHOLE = 0.999
"""Share of an area."""


def find_areas(face: Face, landmarks: tuple[tuple[float, float], ...]) -> FaceAreas:
    """Every area with the share of it that is visible, and that is skin."""
    view = face.at(SCALE)
    skin = view.skin_or_none
    areas = []
    for name, points in AREAS.items():
        visible = view.visible_share(name)
        inside = view.within(name)
        share = 0.0 if skin is None or not inside.any() else float(skin[inside].mean())
        areas.append(
            FaceArea(
                name=name,
                coordinates=face.rounded(face.frame.outline(points)),
                visible_share=round(visible, 4),
                skin_share=round(visible * share, 4),
            )
        )
    outlines: tuple[SkinShape, ...] = ()
    if skin is not None:
        smooth = dilated(eroded(skin, 1), 1)
        level = np.ones(skin.shape, np.float32)
        outlines = view.shapes("skin", smooth, level, "share", smallest=100 * view.millimetre**2)
    offset = face.frame.nose[0]
    return FaceAreas(
        landmarks=tuple(
            FaceLandmark(name=name, x=round(x, 2), y=round(y, 2))
            for name, (x, y) in zip(LANDMARKS, landmarks, strict=True)
        ),
        areas=tuple(areas),
        skin=outlines,
        eye_distance=round(face.frame.eye_distance, 2),
        roll=round(face.frame.roll, 2),
        nose_offset=round(offset, 4),
        is_frontal=abs(offset) <= FRONTAL,
        is_whole=all(area.visible_share >= WHOLE for area in areas),
        aligned=alignment(face.frame),
    )
