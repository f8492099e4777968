"""What the operations on skin store, as the `result` of an algorithm."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from opsin.compat.haut.catalogue import CATALOGUE, AlgorithmNames, MetricNames
from opsin.compat.haut.masks import Frame, Shape, masks

_DIGITS = 4
_LARGEST = 2**53
"""Beyond it a float is no count."""


def whole(number: float) -> int:
    """The nearest whole number, the greater of two."""
    return math.floor(number + 0.5)


def plain(number: float) -> int | float:
    """A whole number as such, another with few digits."""
    if number == math.floor(number) and abs(number) < _LARGEST:
        return int(number)
    return round(number, _DIGITS)


def measured(
    names: AlgorithmNames,
    result: Mapping[str, Any],
    picture: Frame,
    aligned: Frame | None,
    image_type: str | None,
) -> dict[str, Any]:
    """The `result` of one measure; `picture` and `aligned` are the frames of its masks."""
    shapes = [
        Shape(one["name"], one["is_outline"], one["intensity"], one["coordinates"])
        for one in result["shapes"]
    ]
    given: dict[str, Any] = {
        "image_type": image_type,
        "algorithm_tech_name": names.tech_name,
        "area_results": [_area(names, area) for area in result["areas"]],
        "masks_original": masks(shapes, names.masks, picture) if names.masks else None,
        "masks_restored": masks(shapes, names.masks, aligned) if names.masks else None,
    }
    if names.by_name:
        given["feedback"] = feedback(result["feedback"])
    return given


def main_value(names: AlgorithmNames, result: Mapping[str, Any]) -> int | float | str | None:
    """The number of the face that stands for all of a measure; the first area's if it has none."""
    return _shown(names.main, result["areas"][0]["main"]) if result["areas"] else None


def feedback(advice: Sequence[str]) -> dict[str, Any]:
    """What to mend about a picture, in the form of the clients' overlays."""
    return {
        "overlay": advice[0] if advice else None,
        "tooltip": {"warn": [], "negative": [*advice], "positive": []},
    }


def _area(names: AlgorithmNames, area: Mapping[str, Any]) -> dict[str, Any]:
    found = {one["name"]: one for one in (*area["details"], area["main"])}
    given: dict[str, Any] = {
        "area_name": CATALOGUE.area(area["area"]),
        "main_metric": metric(names.main, area["main"]),
    }
    if names.by_name:
        known = [found[name] for name in names.by_name if name in found]
        given["sub_metrics"] = {
            one["name"]: whole(one["score"]) for one in known if one["score"] is not None
        }
        given["debug_metrics"] = {one["name"]: plain(one["value"]) for one in known}
    else:
        given["sub_metrics"] = [
            metric(sub, found[sub.metric]) for sub in names.sub if sub.metric in found
        ]
    return given


def metric(names: MetricNames, given: Mapping[str, Any]) -> dict[str, Any]:
    """One metric; a main one is always a whole number."""
    return {
        "name": names.name,
        "value": _shown(names, given),
        "tech_name": names.tech_name,
        "widget_type": names.widget_type,
        "widget_meta": None,
    }


def _shown(names: MetricNames, given: Mapping[str, Any]) -> int | float | str | None:
    if names.of == "label":
        label: str | None = given["label"]
        return label
    number = given[names.of]
    if number is None:
        return None
    return whole(number) if names.of == "score" or names.widget_type == "ITA" else plain(number)
