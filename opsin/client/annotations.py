"""Findings: what a pipeline says it found, in the forms that the viewer draws and exports read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

from opsin.client.records import Artifact

Finding: TypeAlias = "Annotation | Mapping[str, Any]"
"""An Annotation, or a dictionary of its fields."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One finding.  Coordinates are pixels of the image as displayed, `confidence` is 0 to 1."""

    annotation_type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    class_name: str | None = None
    confidence: float | None = None
    storage_path: str | None = None
    """The `storage_path` of an Artifact, where the finding is a file."""
    ordering: int | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        return cls(
            found["annotation_type"],
            found["data"],
            found.get("class_name"),
            found.get("confidence"),
            found.get("storage_path"),
            found.get("ordering"),
        )


def bounding_box(
    x: float,
    y: float,
    width: float,
    height: float,
    class_name: str | None = None,
    confidence: float | None = None,
) -> Annotation:
    """A box from its upper left corner."""
    data = {"bbox": [x, y, width, height], "format": "xywh"}
    return Annotation("bounding_box", data, class_name, confidence)


def polygon(
    points: Iterable[Sequence[float]],
    class_name: str | None = None,
    confidence: float | None = None,
) -> Annotation:
    """The outline of an object: pairs (x, y)."""
    data = {"points": [[x, y] for x, y in points], "format": "polygon"}
    return Annotation("segmentation", data, class_name, confidence)


def mask(inside: Any, class_name: str | None = None, confidence: float | None = None) -> Annotation:
    """A mask as COCO's run lengths, of rows of booleans or of an array (height, width)."""
    rows = inside.tolist() if hasattr(inside, "tolist") else [list(row) for row in inside]
    height, width = len(rows), len(rows[0]) if rows else 0
    counts, before, run = [], False, 0
    for column in zip(*rows, strict=True):  # COCO goes down the columns, outside first
        for value in map(bool, column):
            if value is not before:
                counts.append(run)
                before, run = value, 0
            run += 1
    counts.append(run)
    data = {"rle": {"counts": counts, "size": [height, width]}, "format": "rle"}
    return Annotation("segmentation", data, class_name, confidence)


def keypoints(
    points: Mapping[str, Sequence[float]],
    class_name: str | None = None,
    confidence: float | None = None,
) -> Annotation:
    """Named points of one object: (x, y), or (x, y, confidence)."""
    named = [
        {"name": name, "x": point[0], "y": point[1]}
        | ({"confidence": point[2]} if len(point) > 2 else {})
        for name, point in points.items()
    ]
    return Annotation("keypoint", {"keypoints": named}, class_name, confidence)


def classification(
    scores: Mapping[str, float], class_name: str | None = None, confidence: float | None = None
) -> Annotation:
    """A class for the whole image; by default the one with the highest score, and its score."""
    if not isinstance(scores, Mapping):
        raise TypeError("a classification takes scores by class, such as {'cat': 0.9}")
    if not scores:
        raise ValueError("a classification needs at least one score")
    best = class_name or max(scores, key=lambda name: scores[name])
    given = scores.get(best) if confidence is None else confidence
    return Annotation("classification", {"scores": dict(scores)}, best, given)


def heatmap(
    artifact: Artifact, class_name: str | None = None, confidence: float | None = None, **data: Any
) -> Annotation:
    """A picture whose brightness says how much; upload it first."""
    if not isinstance(artifact, Artifact):
        raise TypeError("a heatmap takes what `upload` gives for its file")
    return Annotation("heatmap", data, class_name, confidence, artifact.storage_path)
