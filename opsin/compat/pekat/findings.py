"""What the operations of a flow found, as a context and its images have a place for it."""

import colorsys
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from opsin.compat.pekat.flow import Step
from opsin.compat.pekat.flow_file import SourceType
from opsin.core.contract import Annotation
from opsin.core.engine import Outcome
from opsin.core.exports.shapes import Shape, read_shape

_CERTAIN = 1.0
"""The confidence of a finding that does not say its own."""
_TYPES: dict[str, SourceType] = {
    "heatmap": "UNSUPERVISED",
    "segmentation": "SUPERVISED",
    "classification": "CLASSIFIER",
}


@dataclass(frozen=True, slots=True)
class Heat:
    """One layer of the heatmap: a grey picture over a box (x, y, width, height), or a shape."""

    strength: float
    """0 to 1."""
    picture: bytes | None = field(default=None, repr=False)
    box: tuple[float, float, float, float] | None = None
    """None for the whole picture."""
    segmentation: Any = None
    """Polygons as flat lists, or an RLE."""


@dataclass(frozen=True, slots=True)
class Findings:
    """In the order of the flow, and of each operation's own annotations."""

    rectangles: tuple[dict[str, Any], ...]
    surface_classes: tuple[dict[str, Any], ...]
    heats: tuple[Heat, ...]


def gather(steps: Sequence[Step], outcomes: Sequence[Outcome], size: tuple[int, int]) -> Findings:
    """The findings on a picture of this size (width, height)."""
    rectangles: list[dict[str, Any]] = []
    classes: list[dict[str, Any]] = []
    heats: list[Heat] = []
    for step, outcome in zip(steps, outcomes, strict=True):
        for annotation, shape in _annotations(outcome, size):
            heats.extend(_heat(annotation, shape, outcome))
            if annotation.annotation_type == "heatmap":
                continue
            if shape is not None and _has_extent(shape):
                number = len(rectangles) + 1
                rectangles.append(_rectangle(number, step, outcome, annotation, shape))
            elif annotation.annotation_type == "classification":
                classes.append(class_name(_label(step, annotation), _confidence(annotation)))
    return Findings(tuple(rectangles), tuple(classes), tuple(heats))


def class_name(label: str, confidence: float) -> dict[str, Any]:
    """A class as contexts have it; id and colour are always the same for one label."""
    number = zlib.crc32(label.encode("utf-8", "replace"))
    red, green, blue = (
        round(255 * part) for part in colorsys.hsv_to_rgb(number % 360 / 360, 0.85, 1)
    )
    return {
        "id": number & 0x7FFF_FFFF,
        "label": label,
        "confidence": round(100 * confidence),
        "color": f"#{red:02x}{green:02x}{blue:02x}",
        "color_bgr": [blue, green, red],
    }


def _annotations(
    outcome: Outcome, size: tuple[int, int]
) -> Iterator[tuple[Annotation, Shape | None]]:
    if outcome.result is not None:
        for annotation in outcome.result.annotations():
            yield annotation, read_shape(annotation.data, *size)


def _has_extent(shape: Shape) -> bool:
    return all(math.isfinite(side) for side in shape.box) and shape.box[2] > 0 < shape.box[3]


def _heat(annotation: Annotation, shape: Shape | None, outcome: Outcome) -> Iterator[Heat]:
    strength = _confidence(annotation)
    if annotation.annotation_type == "segmentation" and shape and shape.segmentation:
        yield Heat(strength, segmentation=shape.segmentation)
    if annotation.annotation_type != "heatmap" or outcome.result is None:
        return
    for artifact in outcome.result.artifacts():
        if artifact.name == annotation.storage_path:
            box = shape.box if shape is not None and _has_extent(shape) else None
            yield Heat(strength, picture=artifact.content, box=box)


def _rectangle(
    number: int, step: Step, outcome: Outcome, annotation: Annotation, shape: Shape
) -> dict[str, Any]:
    x, y, width, height = (round(side, 3) for side in shape.box)
    confidence = _confidence(annotation)
    return {
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "rotate": 0.0,
        "area": round(shape.area, 3),
        "id": number,
        "confidence": round(100 * confidence, 3),
        "classNames": [class_name(_label(step, annotation), confidence)],
        "source": {
            "modelId": _model_id(outcome),
            "moduleId": step.module_id,
            "type": step.given.type or _TYPES.get(annotation.annotation_type, "DETECTOR"),
        },
    }


def _label(step: Step, annotation: Annotation) -> str:
    return annotation.class_name or step.given.operation


def _confidence(annotation: Annotation) -> float:
    return _CERTAIN if annotation.confidence is None else annotation.confidence


def _model_id(outcome: Outcome) -> int:
    """The same for the same weights; 0 where no model took part."""
    models = outcome.provenance.models
    return zlib.crc32(models[0].fingerprint.encode()) & 0x7FFF_FFFF if models else 0
