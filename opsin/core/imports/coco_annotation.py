"""One annotation of COCO as one of ours: the geometry as it is, in the form that is drawn."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from opsin.core.exports.run_lengths import LARGEST_MASK, read_counts
from opsin.core.imports.found import Refused, Size

_IDS = ("id", "image_id", "category_id", "opsin_id", "opsin_analysis_id")
_READ = frozenset((*_IDS, "bbox", "segmentation", "keypoints", "num_keypoints", "score", "caption"))
_NUMBERS = frozenset((int, float))


@dataclass(frozen=True, slots=True)
class Category:
    """What a category's number means; `skeleton` holds pairs of names of keypoints."""

    name: str
    supercategory: str = ""
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Category":
        """Raises Refused for one without a name."""
        name = given.get("name")
        if isinstance(name, bool) or not isinstance(name, str | int | float) or name == "":
            raise Refused("a category needs a name")
        points = given.get("keypoints") or []
        if not isinstance(points, list):
            raise Refused("a category's keypoints must be a list of names")
        names = tuple(map(str, points))
        above = given.get("supercategory")
        return cls(
            str(name), above if isinstance(above, str) else "", names, _skeleton(given, names)
        )


def _skeleton(given: Mapping[str, Any], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """COCO counts keypoints from 1; what names none is left out."""
    pairs = given.get("skeleton")
    found = []
    for pair in pairs if isinstance(pairs, list) else ():
        if not isinstance(pair, list) or len(pair) != 2:
            continue
        if all(type(end) is int and 1 <= end <= len(names) for end in pair):
            found.append((names[pair[0] - 1], names[pair[1] - 1]))
    return tuple(found)


def read_annotation(
    given: Mapping[str, Any], category: Category | None, declared: Size, scaled: bool
) -> tuple[dict[str, Any], bool]:
    """The fields of an Annotation, and whether its box leaves the picture.

    `declared` is the picture's size that the file tells; with `scaled` the picture has another.
    Raises Refused with the reason.
    """
    data: dict[str, Any] = {}
    box = _box(given.get("bbox"))
    if box is not None:
        data = {"bbox": box, "format": "xywh"}
    kind = "bounding_box" if box is not None else "classification"
    segmentation = given.get("segmentation")
    if segmentation:
        data["segmentation"] = _segmentation(segmentation, declared)
        kind = "segmentation"
    points = given.get("keypoints")
    if points:
        data["keypoints"] = _keypoints(points, category)
        if category is not None and category.skeleton:
            data["skeleton"] = list(map(list, category.skeleton))
        kind = "keypoint"
    if "caption" in given and not data:
        if not isinstance(given["caption"], str):
            raise Refused("a caption must be a text")
        kind, data = "caption", {"text": given["caption"]}
    elif category is None:
        raise Refused("there is no category_id")
    # What is no geometry: area, iscrowd, attributes and whatever else a tool wrote.
    if others := {name: value for name, value in given.items() if name not in _READ}:
        if others.get("iscrowd") == 0:
            del others["iscrowd"]
        if others:
            data["coco"] = others
    if scaled and kind not in ("caption", "classification"):
        data["image_width"], data["image_height"] = declared
    fields: dict[str, Any] = {"annotation_type": kind, "data": data}
    if category is not None:
        fields["class_name"] = category.name
    if (score := given.get("score")) is not None:
        fields["confidence"] = _confidence(score)
    return fields, box is not None and _leaves(box, declared)


def _box(given: Any) -> list[float] | None:
    if given is None or given == []:
        return None
    if not isinstance(given, list) or len(given) != 4 or not _are_numbers(given):
        raise Refused("bbox must be four numbers: x, y, width, height")
    if given[2] < 0 or given[3] < 0:
        raise Refused("bbox has a negative side; COCO's are x, y, width, height")
    return given


def _leaves(box: Sequence[float], size: Size) -> bool:
    """By more than what rounding makes."""
    x, y, width, height = box
    return min(x, y) < -0.5 or x + width > size[0] + 0.5 or y + height > size[1] + 0.5


def _segmentation(given: Any, declared: Size) -> Any:
    if isinstance(given, dict):
        return _mask(given, declared)
    if not isinstance(given, list):
        raise Refused("segmentation must be polygons or run lengths")
    for polygon in given:
        if not isinstance(polygon, list) or not _are_numbers(polygon):
            raise Refused("segmentation: a polygon must be a list of numbers, x after y after x")
        if len(polygon) < 6 or len(polygon) % 2:
            raise Refused("segmentation: a polygon needs pairs of numbers, three at least")
    return given


def _mask(given: Mapping[str, Any], declared: Size) -> dict[str, Any]:
    size = given.get("size")
    width, height = declared
    if not isinstance(size, list) or not all(type(side) is int for side in size):
        raise Refused("segmentation: run lengths need a size, [height, width]")
    if size != [height, width]:
        raise Refused(f"segmentation: run lengths of {size}, but the image is {[height, width]}")
    if width * height > LARGEST_MASK:
        raise Refused(f"segmentation: a mask has more than {LARGEST_MASK} pixels")
    try:
        filled = sum(read_counts(given.get("counts")))
    except ValueError:
        raise Refused("segmentation: counts are no run lengths") from None
    if filled != width * height:
        raise Refused(f"segmentation: run lengths fill {filled} of {width * height} pixels")
    return {"size": size, "counts": given["counts"]}


def _keypoints(given: Any, category: Category | None) -> list[dict[str, Any]]:
    if not isinstance(given, list) or len(given) % 3 or not _are_numbers(given):
        raise Refused("keypoints must be numbers by three: x, y, visibility")
    count = len(given) // 3
    names = category.keypoints if category is not None else ()
    if names and len(names) != count:
        raise Refused(f"{count} keypoints, but the category names {len(names)}")
    found = []
    for number in range(count):
        x, y, visibility = given[3 * number : 3 * number + 3]
        point = {"name": names[number] if names else str(number), "x": x, "y": y}
        if visibility in (0, 1, 2):
            point["visibility"] = int(visibility)
        elif 0 < visibility < 1:  # detectors write how sure they are
            point["confidence"] = visibility
        else:
            raise Refused(f"keypoints: {visibility} is no visibility; 0, 1 and 2 are")
        found.append(point)
    return found


def _confidence(score: Any) -> float:
    if not _are_numbers([score]) or not 0 <= score <= 1:
        raise Refused(f"score {str(score)[:40]} is not a number from 0 to 1")
    return float(score)


def _are_numbers(values: Sequence[Any]) -> bool:
    """Finite numbers only, and no truth values."""
    if _NUMBERS.issuperset(map(type, values)):
        with suppress(OverflowError):
            if math.isfinite(sum(values)):
                return True
    for value in values:
        if type(value) is float:
            if value - value != 0:
                return False
        elif type(value) is not int or abs(value) > 1 << 62:
            return False
    return True
