"""The lines of YOLO's label files: boxes, outlines, poses and classes, in parts of the sides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opsin.core.imports.found import Refused

_ROUNDING = 1e-6
"""What six digits behind the point may add to 1."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What numbers in the lines mean: the names of classes, and the keypoints of a pose."""

    names: dict[int, str]
    keypoints: int = 0
    numbers_each: int = 0
    """Of a keypoint: 2, or 3 with its visibility."""
    keypoint_names: tuple[str, ...] = ()

    def name(self, number: int) -> str:
        if number not in self.names:
            raise Refused(f"class {number} is not among the {len(self.names)} names")
        return self.names[number]


def read_line(line: str, labels: Labels) -> dict[str, Any]:
    """The fields of an Annotation; raises Refused with the reason.

    `class x y width height` is a box around its centre, `class` and three points or more an
    outline, a box and the keypoints that `labels` tells of a pose; a last number may tell the
    confidence.  `class`, or `confidence name` as classifiers write it, tells of the whole picture.
    """
    words = line.split()
    if len(words) == 1:
        name = labels.name(_class_number(words[0]))
        return {"annotation_type": "classification", "class_name": name, "data": {}}
    if (classified := _classified(line, labels)) is not None:
        return classified
    name = labels.name(_class_number(words[0]))
    numbers = [_number(word) for word in words[1:]]
    pose = labels.keypoints * labels.numbers_each
    if pose and len(numbers) in (4 + pose, 5 + pose):
        data, confidence = _pose(numbers, labels, pose)
        kind = "keypoint"
    elif len(numbers) in (4, 5):
        data, confidence = _box(numbers[:4]), numbers[4:]
        kind = "bounding_box"
    elif len(numbers) >= 6:
        # Points come in pairs: one number more is the confidence.
        count = len(numbers) // 2 * 2
        points = [_part(number) for number in numbers[:count]]
        pairs = [[x, y] for x, y in zip(points[::2], points[1::2], strict=True)]
        data, confidence = {"polygon": pairs, "normalized": True}, numbers[count:]
        kind = "segmentation"
    else:
        raise Refused(f"{len(numbers)} numbers behind the class are no box, outline or pose")
    fields: dict[str, Any] = {"annotation_type": kind, "class_name": name, "data": data}
    if confidence:
        fields["confidence"] = _part(confidence[0])
    return fields


def leaves(fields: dict[str, Any]) -> bool:
    """Whether the box goes beyond the picture, by more than rounding makes."""
    if "bbox" not in fields["data"]:
        return False
    x, y, width, height = fields["data"]["bbox"]
    most = 0.501
    return bool(abs(x - 0.5) + width / 2 > most or abs(y - 0.5) + height / 2 > most)


def _classified(line: str, labels: Labels) -> dict[str, Any] | None:
    """`confidence name`, where the name may hold blanks."""
    confidence, _, name = line.strip().partition(" ")
    if (name := name.strip()) not in labels.names.values():
        return None
    return {
        "annotation_type": "classification",
        "class_name": name,
        "confidence": _part(_number(confidence)),
        "data": {},
    }


def _pose(
    numbers: Sequence[float], labels: Labels, pose: int
) -> tuple[dict[str, Any], Sequence[float]]:
    data = _box(numbers[:4]) | {"normalized": True}
    each, confidence = labels.numbers_each, numbers[4 + pose :]
    points = [numbers[at : at + each] for at in range(4, 4 + pose, each)]
    # A detector writes how sure it is of a point, people whether it is there, hidden or seen.
    is_seen = each == 3 and not confidence and all(point[2] in (0, 1, 2) for point in points)
    data["keypoints"] = found = []
    for number, point in enumerate(points):
        names = labels.keypoint_names
        named = names[number] if number < len(names) else str(number)
        made: dict[str, Any] = {"name": named, "x": _part(point[0]), "y": _part(point[1])}
        if is_seen:
            made["visibility"] = int(point[2])
        elif each == 3:
            made["confidence"] = _part(point[2])
        found.append(made)
    return data, confidence


def _box(numbers: Sequence[float]) -> dict[str, Any]:
    return {"bbox": [_part(number) for number in numbers], "format": "cxcywhn"}


def _part(number: float) -> float:
    """A part of a side, or a probability: nothing is guessed of what may be pixels."""
    if not -_ROUNDING <= number <= 1 + _ROUNDING:
        raise Refused(f"{number:g} is not from 0 to 1")
    return min(max(number, 0.0), 1.0)


def _class_number(word: str) -> int:
    number = _number(word)
    if not number.is_integer():
        raise Refused(f"class {word[:40]!r} is no whole number")
    return int(number)


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        raise Refused(f"{word[:40]!r} is not a number") from None
    if not math.isfinite(number) or "_" in word:
        raise Refused(f"{word[:40]!r} is not a number")
    return number
