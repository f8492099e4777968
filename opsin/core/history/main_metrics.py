"""The main metric of an analysis: the first of its annotations of type `metric`, as displayed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, func, select

from opsin.storage.tables import annotations

METRIC = "metric"
"""The type of annotations that tell a number."""

_LARGEST = 1e100  # what is larger is no measure, and sums of squares would not hold it


@dataclass(frozen=True, slots=True)
class MainMetric:
    """A number that was measured: its value, its score, or both."""

    name: str
    value: float | None
    score: float | None
    unit: str | None

    @property
    def number(self) -> float | None:
        """The score where there is one, else the value."""
        return self.value if self.score is None else self.score


def read_metric(data: Any) -> MainMetric | None:
    """The metric in an annotation's `data`; None where it tells no number."""
    if not isinstance(data, Mapping):
        return None
    value, score = _number(data.get("value")), _number(data.get("score"))
    if value is None and score is None:
        return None
    name, unit = data.get("name"), data.get("unit")
    return MainMetric(
        name if isinstance(name, str) else "", value, score, unit if isinstance(unit, str) else None
    )


def main_metric_of(analysis_id: Column[str]) -> ColumnElement[Any]:
    """The `data` of the main metric of the analysis in the same row; NULL where it has none."""
    mine = select(annotations.c.data).where(
        annotations.c.analysis_id == analysis_id, annotations.c.annotation_type == METRIC
    )
    placed = mine.where(annotations.c.ordering.is_not(None)).order_by(
        annotations.c.ordering, annotations.c.id
    )
    others = mine.where(annotations.c.ordering.is_(None)).order_by(annotations.c.id)
    # Two looks, because each part of the order has an index of its own.
    return func.coalesce(placed.limit(1).scalar_subquery(), others.limit(1).scalar_subquery())


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared before it is made a float: an integer of JSON may be too large for one.
    return float(value) if -_LARGEST <= value <= _LARGEST and math.isfinite(value) else None
