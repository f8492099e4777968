"""Scores from what was measured: straight lines between two documented ends."""

from opsin.plugins.skin.results import SkinMetric


def score(value: float, best: float, worst: float) -> float:
    """100 at `best` and beyond, 0 at `worst` and beyond, a straight line between."""
    part = (value - worst) / (best - worst)
    return round(100 * min(max(part, 0.0), 1.0), 2)


def metric(
    name: str, value: float, unit: str, ends: tuple[float, float] | None = None
) -> SkinMetric:
    """A metric, with a score where `ends` (the best value, the worst value) are given."""
    value = round(float(value), 4)
    given = None if ends is None else score(value, *ends)
    return SkinMetric(name=name, value=value, unit=unit, score=given)


def mean_score(*metrics: SkinMetric) -> float:
    """The mean of their scores."""
    scores = [metric.score for metric in metrics if metric.score is not None]
    return round(sum(scores) / len(scores), 2)
