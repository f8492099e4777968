"""Smoothing: one number for a measure from the newest of its history; arithmetic only."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from opsin.core.errors import InvalidInput

SCORES = (0.0, 100.0)
"""The least and the most that a score can be."""

_DAY = timedelta(days=1)
_FEWEST_FOR_OUTLIERS = 4
_FENCE = 1.5  # interquartile ranges: J. W. Tukey, Exploratory Data Analysis, 1977


class SmoothingMethod(StrEnum):
    """How the values become one."""

    MEAN = "mean"
    MEAN_WITHOUT_OUTLIERS = "mean_without_outliers"
    LINEAR_APPROXIMATION = "linear_approximation"


@dataclass(frozen=True, slots=True)
class SmoothingOptions:
    """Which values count and how they become one; raises InvalidInput when out of range."""

    window_days: int = 14
    """1 to 365: values of exactly so many days earlier count no more."""
    max_size: int = 10
    """1 to 100: the newest count."""
    method: SmoothingMethod = SmoothingMethod.MEAN
    whole_numbers: bool = False
    """Each value is rounded, half up, before anything else."""

    def __post_init__(self) -> None:
        for name, value, most in (
            ("window_days", self.window_days, 365),
            ("max_size", self.max_size, 100),
        ):
            if type(value) is not int or not 1 <= value <= most:
                raise InvalidInput(f"{name} must be a whole number from 1 to {most}")
        try:
            object.__setattr__(self, "method", SmoothingMethod(self.method))
        except ValueError:
            known = ", ".join(SmoothingMethod)
            raise InvalidInput(f"method must be one of {known}") from None


@dataclass(frozen=True, slots=True)
class Sample:
    """A value and when it was taken; among equal times the greater `sequence` came later."""

    at: datetime
    sequence: str
    value: float


@dataclass(frozen=True, slots=True)
class SmoothedValue:
    """The smoothed value, not rounded, and of how many values it was made."""

    value: float
    count: int


def smooth(
    target: Sample,
    others: Iterable[Sample],
    options: SmoothingOptions,
    bounds: tuple[float, float] | None = SCORES,
) -> SmoothedValue:
    """The value of `target` smoothed with those `others` that are not later and in its window.

    The order of `others` does not matter, and `target` always counts.  Only a line can leave the
    range of the values: it is held within `bounds`.
    """
    chosen = newest(target, others, options)
    values = [sample.value for sample in chosen]
    if options.whole_numbers:
        values = [float(round_half_up(value)) for value in values]
    if options.method is SmoothingMethod.MEAN_WITHOUT_OUTLIERS:
        smoothed = mean(without_outliers(values))
    elif options.method is SmoothingMethod.LINEAR_APPROXIMATION:
        days = [(sample.at - target.at) / _DAY for sample in chosen]
        smoothed = at_zero(days, values)
        if bounds is not None:
            smoothed = min(max(smoothed, bounds[0]), bounds[1])
    else:
        smoothed = mean(values)
    return SmoothedValue(smoothed, len(chosen))


def newest(target: Sample, others: Iterable[Sample], options: SmoothingOptions) -> Sequence[Sample]:
    """The samples that count, `target` first, then the newest first."""
    window = timedelta(days=options.window_days)
    # A difference, which every two times have; a time before the first year is none.
    inside = [s for s in others if timedelta(0) <= target.at - s.at < window]
    inside.sort(key=lambda sample: (sample.at, sample.sequence), reverse=True)
    return [target, *inside[: options.max_size - 1]]


def mean(values: Sequence[float]) -> float:
    """The mean, never outside the range of the values, whatever the rounding."""
    return min(max(math.fsum(values) / len(values), min(values)), max(values))


def without_outliers(values: Sequence[float]) -> Sequence[float]:
    """The values within Tukey's fences; all of them where there are fewer than four."""
    if len(values) < _FEWEST_FOR_OUTLIERS:
        return values
    ordered = sorted(values)
    first, third = _quartile(ordered, 0.25), _quartile(ordered, 0.75)
    reach = _FENCE * (third - first)
    # In order, so that the sum is the same whatever the order they came in.
    return [value for value in ordered if first - reach <= value <= third + reach]


def at_zero(positions: Sequence[float], values: Sequence[float]) -> float:
    """The least squares line at position 0; the mean where no line is defined."""
    middle, level = math.fsum(positions) / len(positions), mean(values)
    spread = math.fsum((x - middle) ** 2 for x in positions)
    if spread == 0:
        return level
    pairs = zip(positions, values, strict=True)
    slope = math.fsum((x - middle) * (y - level) for x, y in pairs) / spread
    return level - slope * middle


def _quartile(ordered: Sequence[float], share: float) -> float:
    """By linear interpolation between the order statistics around position (n - 1) * share."""
    position = (len(ordered) - 1) * share
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def round_half_up(value: float) -> int:
    """The nearest whole number, the greater of two: as callers of whole scores expect."""
    return math.floor(value + 0.5)
