"""A detector's boxes as regions, and which of several persons or faces is the prominent one."""

from collections.abc import Sequence

from opsin import Box, Region
from opsin.plugins.bbox.coco import PERSON


def region_of(box: Sequence[float], score: float, width: int, height: int) -> Region | None:
    """The region for a detector's box x_min, y_min, x_max, y_max: truncated toward zero, clipped.

    None when nothing is left; no second candidate is tried.
    """
    x_min, y_min, x_max, y_max = (int(side) for side in box)
    whole = Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
    clipped = whole.clipped(width, height)
    if whole.is_empty or clipped.is_empty:
        return None
    return Region(clipped, min(float(score), 1.0))


def prominent_person(
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
    scores: Sequence[float],
    width: int,
    height: int,
) -> Region | None:
    """The person with the highest score, the first of equal ones: certain, not large."""
    persons = [index for index, label in enumerate(labels) if label == PERSON]
    if not persons:
        return None
    best = max(persons, key=scores.__getitem__)
    return region_of(boxes[best], scores[best], width, height)


def prominent_face(faces: Sequence[Sequence[float]], width: int, height: int) -> Region | None:
    """The face (box and probability) of the highest probability, the largest of equal ones."""
    if not faces:
        return None
    x_min, y_min, x_max, y_max, probability = max(
        faces, key=lambda face: (face[4], (face[2] - face[0]) * (face[3] - face[1]))
    )
    return region_of((x_min, y_min, x_max, y_max), probability, width, height)
