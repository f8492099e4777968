"""What annotations draw, in COCO's terms: pixels, boxes as xywh, polygons, RLE and keypoints."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opsin.core.exports.run_lengths import box_and_area, read_counts

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """One annotation's geometry in pixels of its image; a box is x, y, width, height."""

    box: Box
    area: float
    segmentation: Any = None
    """Polygons as flat lists, or an RLE."""
    keypoints: tuple[str, ...] = ()
    """Names, in the order of `points`."""
    points: tuple[float, ...] = ()
    """x, y and visibility of each, one after the other."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Pairs of numbers of keypoints, from 0."""


def read_shape(data: Mapping[str, Any], width: int, height: int) -> Shape | None:
    """The geometry in an annotation's `data` for an image of this size; None where none is.

    Numbers are pixels unless `normalized` or `format` says that they are parts of the sides, or
    `image_width` and `image_height` tell of which size they are the pixels.
    """
    try:
        return _read(data, width, height)
    except (TypeError, ValueError, LookupError, ArithmeticError):
        return None


def _read(data: Mapping[str, Any], width: int, height: int) -> Shape | None:
    scale = _scale(data, width, height)
    box = _box(data, scale)
    drawn, area, segmentation = _outline(data, width, height, scale)
    named = _keypoints(data, scale) if drawn is None or "keypoints" in data else []
    if box is None and drawn is None and not named:
        return None
    if box is None and drawn is None:
        seen = [(x, y) for _, x, y, visibility in named if visibility]
        box = _extent(seen) if seen else (0.0, 0.0, 0.0, 0.0)
    around = box or drawn or (0.0, 0.0, 0.0, 0.0)
    if area is None:
        area = around[2] * around[3]
    return Shape(
        around,
        area if (told := _told_area(data, scale)) is None else told,
        segmentation,
        tuple(name for name, *_ in named),
        tuple(number for _, *three in named for number in three),
        _skeleton(data, [name for name, *_ in named]),
    )


def _outline(
    data: Mapping[str, Any], width: int, height: int, scale: Point
) -> tuple[Box | None, float | None, Any]:
    """The box around an outline or a mask, its area, and what COCO has for it."""
    if (found := _run_lengths(data, width, height)) is not None:
        return found
    polygons = [[_scaled(point, scale) for point in polygon] for polygon in _polygons(data)]
    if not polygons:
        return None, None, None
    drawn = _extent([point for polygon in polygons for point in polygon])
    flat = [[number for point in polygon for number in point] for polygon in polygons]
    return drawn, sum(map(_area, polygons)), flat


def _told_area(data: Mapping[str, Any], scale: Point) -> float | None:
    """The area that a COCO file told, which is often of a finer outline than the one it has."""
    told = coco_fields(data).get("area")
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told < math.inf:
        return None
    return told * scale[0] * scale[1]


def coco_fields(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an imported COCO file told of an annotation beyond its geometry."""
    told = data.get("coco")
    return told if isinstance(told, dict) else {}


def _skeleton(data: Mapping[str, Any], names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of numbers or of names; what names no keypoint is left out."""
    given = data.get("skeleton")
    places = {name: number for number, name in enumerate(names)}
    found = []
    for pair in given if names and isinstance(given, list) else ():
        if isinstance(pair, list) and len(pair) == 2:
            ends = [places.get(end, -1) if isinstance(end, str) else end for end in pair]
            if all(type(end) is int and 0 <= end < len(names) for end in ends):
                found.append((ends[0], ends[1]))
    return tuple(found)


def _scale(data: Mapping[str, Any], width: int, height: int) -> Point:
    if data.get("normalized") is True or _format(data)[1]:
        return float(width), float(height)
    if "image_width" in data and "image_height" in data:
        return width / _number(data["image_width"]), height / _number(data["image_height"])
    return 1.0, 1.0


def _format(data: Mapping[str, Any]) -> tuple[str, bool]:
    """The name of the box's format, and whether it says that its numbers are parts of the sides."""
    name = data.get("format")
    name = name.lower() if isinstance(name, str) else ""
    for ending in ("_normalized", "n"):
        if name.removesuffix(ending) in _BOXES and name.endswith(ending):
            return name.removesuffix(ending), True
    return name, False


def _box(data: Mapping[str, Any], scale: Point) -> Box | None:
    corners = next((names for names in _CORNERS if all(name in data for name in names)), None)
    if "bbox" in data:
        name = _format(data)[0]
        first, second, third, fourth = (_number(value) for value in data["bbox"])
        x, y, width, height = _BOXES.get(name, _from_xywh)(first, second, third, fourth)
    elif corners is not None:
        x, y, width, height = _from_xyxy(*(_number(data[name]) for name in corners))
    elif all(name in data for name in ("x", "y", "width", "height")):
        x, y, width, height = (_number(data[name]) for name in ("x", "y", "width", "height"))
    else:
        return None
    if width < 0 or height < 0:
        return None
    return x * scale[0], y * scale[1], width * scale[0], height * scale[1]


def _from_xywh(x: float, y: float, width: float, height: float) -> Box:
    return x, y, width, height


def _from_xyxy(left: float, top: float, right: float, bottom: float) -> Box:
    return left, top, right - left, bottom - top


def _from_cxcywh(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, width, height


_BOXES = {"xywh": _from_xywh, "xyxy": _from_xyxy, "cxcywh": _from_cxcywh}
_CORNERS = (("x_min", "y_min", "x_max", "y_max"), ("left", "top", "right", "bottom"))


def _polygons(data: Mapping[str, Any]) -> list[list[Point]]:
    """Pairs, or COCO's flat lists, of one polygon or of several."""
    given = next(
        (data[n] for n in ("points", "polygon", "polygons", "segmentation") if n in data), ()
    )
    if not isinstance(given, list) or not given:
        return []
    if not isinstance(given[0], list):
        return [_pairs(given)]
    several = isinstance(given[0][0], list) or len(given[0]) > 2
    return [_pairs(polygon) for polygon in given] if several else [_pairs(given)]


def _pairs(given: Sequence[Any]) -> list[Point]:
    """Three points at least."""
    if not isinstance(given[0], list):
        numbers = [_number(value) for value in given]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    else:
        pairs = [(_number(x), _number(y)) for x, y in given]
    if len(pairs) < 3:
        raise ValueError("a polygon has three points at least")
    return pairs


def _run_lengths(
    data: Mapping[str, Any], width: int, height: int
) -> tuple[Box, float, dict[str, Any]] | None:
    given = data.get("rle", data.get("segmentation"))
    if not isinstance(given, dict) or "counts" not in given:
        return None
    rows, columns = (int(side) for side in given.get("size", (height, width)))
    box, area = box_and_area(read_counts(given["counts"]), rows)
    return box, area, {"size": [rows, columns], "counts": given["counts"]}


def _keypoints(data: Mapping[str, Any], scale: Point) -> list[tuple[str, float, float, int]]:
    """Name, x, y and COCO's visibility: 0 for not there, 1 for hidden, 2 for seen."""
    given = data.get("keypoints", ())
    if not given and "x" in data and "y" in data and "width" not in data:
        given = [data]  # one point
    found = []
    for number, point in enumerate(given if isinstance(given, list) else ()):
        if isinstance(point, dict):
            name, x, y = str(point.get("name", number)), point["x"], point["y"]
            visibility = point.get("visibility", 1 if point.get("visible") is False else 2)
        else:
            name, x, y, visibility = str(number), point[0], point[1], 2
        found.append((name, *_scaled((_number(x), _number(y)), scale), int(visibility)))
    return found


def _scaled(point: Point, scale: Point) -> Point:
    return point[0] * scale[0], point[1] * scale[1]


def _extent(points: Sequence[Point]) -> Box:
    horizontal, vertical = [x for x, _ in points], [y for _, y in points]
    left, top = min(horizontal), min(vertical)
    return left, top, max(horizontal) - left, max(vertical) - top


def _area(polygon: Sequence[Point]) -> float:
    following = [*polygon[1:], polygon[0]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(polygon, following, strict=True))) / 2


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)
