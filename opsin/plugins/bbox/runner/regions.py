"""A detector's boxes as regions, and which of several persons or faces is the prominent one."""

from collections.abc import Sequence

from opsin import Box, Region
from opsin.plugins.bbox.coco import PERSON


def region_of(
    box: Sequence[float],
    score: float,
    width: int,
    height: int,
    landmarks: Sequence[Sequence[float]] = (),
) -> Region | None:
    """The region for a detector's box x_min, y_min, x_max, y_max: truncated toward zero, clipped.

    None when nothing is left; no second candidate is tried.  Landmarks are kept as they are, also
    outside the picture.
    """
    x_min, y_min, x_max, y_max = (int(side) for side in box)
    whole = Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
    clipped = whole.clipped(width, height)
    if whole.is_empty or clipped.is_empty:
        return None
    return Region(clipped, min(float(score), 1.0), tuple((x, y) for x, y in landmarks))


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


def prominent_face(
    faces: Sequence[Sequence[float]],
    width: int,
    height: int,
    landmarks: Sequence[Sequence[Sequence[float]]] = (),
) -> Region | None:
    """The face (box and probability) of the highest probability, the largest of equal ones.

    `landmarks` are the points of each face, where they are known.
    """
    if not faces:
        return None

    def rank(index: int) -> tuple[float, float]:
        x_min, y_min, x_max, y_max, probability = faces[index]
        return probability, (x_max - x_min) * (y_max - y_min)

    best = max(range(len(faces)), key=rank)
    points = landmarks[best] if landmarks else ()
    return region_of(faces[best][:4], faces[best][4], width, height, points)
