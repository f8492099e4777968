"""What any other operation found, as the `result` of an algorithm: from its annotations."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from opsin.compat.haut.catalogue import MaskNames
from opsin.compat.haut.masks import Frame, Shape, masks
from opsin.compat.haut.measures import plain, whole
from opsin.core.exports.shapes import read_shape
from opsin.core.records import StoredAnnotation

METRIC, CLASSIFICATION = "metric", "classification"
SHOWN = (METRIC, CLASSIFICATION, "bounding_box", "segmentation", "keypoint")
"""The types of annotations that are read for it."""
FACE, IMAGE = "face", "image"
_MOST_SHAPES = 100


def found(
    operation: str,
    annotations: Sequence[StoredAnnotation],
    picture: Frame,
    image_type: str | None,
) -> dict[str, Any]:
    """Metrics by area, each area's first as its main one; classes; shapes as masks."""
    areas = _by_area(annotations)
    shapes = [shape for one in annotations for shape in _shapes(one, picture)][:_MOST_SHAPES]
    names = [
        MaskNames(shape=name, tech_name=name, name=name, fill=None)
        for name in dict.fromkeys(shape.name for shape in shapes)
    ]
    return {
        "image_type": image_type,
        "algorithm_tech_name": operation,
        "area_results": [
            {"area_name": name, "main_metric": main, "sub_metrics": subs or None}
            for name, (main, *subs) in areas.items()
        ],
        "masks_original": masks(shapes, names, picture) if names else None,
        "masks_restored": None,
    }


def main_value(annotations: Sequence[StoredAnnotation]) -> int | float | str | None:
    """The first area's main number, or its class."""
    for metrics in _by_area(annotations).values():
        value: int | float | str | None = metrics[0]["value"]
        return value
    return None


def _by_area(annotations: Sequence[StoredAnnotation]) -> dict[str, list[dict[str, Any]]]:
    """The metrics of each area, the face's before all others; none is without one."""
    areas: dict[str, list[dict[str, Any]]] = {}
    for one in annotations:
        if one.annotation_type == METRIC:
            name, metric = _metric(one.data)
            if metric is not None:
                areas.setdefault(name, []).append(metric)
    if classes := [one for one in annotations if one.annotation_type == CLASSIFICATION]:
        areas.setdefault(IMAGE, []).extend(_classes(classes))
    return dict(sorted(areas.items(), key=lambda item: item[0] != FACE))


def _metric(data: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """The area and the metric; None for one without a number or a text."""
    name = str(data.get("name", METRIC))
    area, dot, short = name.partition(".")
    if not dot:
        area, short = IMAGE, name
    score, value = data.get("score"), data.get("value")
    if _is_number(score):
        return area, _named(short, whole(score), "bad_good_line")
    if _is_number(value):
        return area, _named(short, plain(value), "numeric")
    label = data.get("label", value)
    return area, _named(short, label, "category") if isinstance(label, str) else None


def _classes(given: Sequence[StoredAnnotation]) -> list[dict[str, Any]]:
    """The likeliest class, then how likely each is, in percent."""
    ranked = sorted(given, key=lambda one: -(one.confidence or 0.0))
    shown = [_named(CLASSIFICATION, ranked[0].class_name, "category")]
    shown += [
        _named(one.class_name or "", whole(100 * one.confidence), "numeric")
        for one in ranked
        if one.confidence is not None
    ]
    return shown


def _named(name: str, value: int | float | str | None, widget_type: str) -> dict[str, Any]:
    return {
        "name": name.replace("_", " ").capitalize(),
        "value": value,
        "tech_name": name,
        "widget_type": widget_type,
        "widget_meta": None,
    }


def _shapes(one: StoredAnnotation, picture: Frame) -> list[Shape]:
    """Outlines and points in pixels of the picture; a box as its four corners."""
    if one.annotation_type in (METRIC, CLASSIFICATION):
        return []
    drawn = read_shape(one.data, picture.width, picture.height)
    if drawn is None:
        return []
    name = one.class_name or one.annotation_type
    if isinstance(drawn.segmentation, list):
        return [Shape(name, True, one.confidence, polygon) for polygon in drawn.segmentation]
    if drawn.points:
        seen = zip(drawn.points[::3], drawn.points[1::3], drawn.points[2::3], strict=True)
        points = [number for x, y, visibility in seen if visibility for number in (x, y)]
        return [Shape(name, False, one.confidence, points)]
    x, y, width, height = drawn.box
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return [Shape(name, True, one.confidence, corners)]


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
