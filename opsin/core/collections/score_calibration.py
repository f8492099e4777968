"""The threshold of a score that tells two kinds of pictures apart, and what it costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from opsin.core.errors import InvalidInput

_NORMAL_95 = 1.959963984540054
"""The standard normal deviation that 95 % lie within."""


class Goal(StrEnum):
    """What a threshold is to reach."""

    RECALL = "recall"
    SPECIFICITY = "specificity"
    PRECISION = "precision"


@dataclass(frozen=True, slots=True)
class Operating:
    """What a threshold does to the pictures: a score that is not below it passes."""

    threshold: float
    true_positives: int
    false_positives: int
    positives: int
    negatives: int

    @property
    def recall(self) -> float:
        """The share of the positives that pass."""
        return self.true_positives / self.positives

    @property
    def specificity(self) -> float:
        """The share of the negatives that do not."""
        return 1 - self.false_positives / self.negatives

    @property
    def precision(self) -> float | None:
        """The share of positives in what passes; None when nothing does."""
        passed = self.true_positives + self.false_positives
        return self.true_positives / passed if passed else None

    def value(self, goal: Goal) -> float | None:
        return {
            Goal.RECALL: self.recall,
            Goal.SPECIFICITY: self.specificity,
            Goal.PRECISION: self.precision,
        }[goal]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The threshold that was chosen, and the curve it was chosen from."""

    chosen: Operating
    curve: tuple[Operating, ...]
    """One for each way to split the pictures, from the highest threshold to the lowest."""
    area: float
    """Under the ROC curve: how often a positive scores higher than a negative; ties count half."""


def calibrate(
    positives: Sequence[float], negatives: Sequence[float], goal: Goal, wanted: float
) -> Calibration:
    """The threshold that reaches the goal and lets as few negatives or as many positives pass.

    With recall as goal it is the highest that reaches it, else the lowest.  It lies halfway between
    the scores that it parts.  Raises InvalidInput when there is nothing to part, or no threshold
    reaches the goal.
    """
    if not positives or not negatives:
        raise InvalidInput("both positive and negative pictures are needed")
    if not all(math.isfinite(score) for score in (*positives, *negatives)):
        raise InvalidInput("a score is not finite")
    curve = _curve(positives, negatives)
    reaching = [one for one in curve if (value := one.value(goal)) is not None and value >= wanted]
    reaching = [one for one in reaching if one.true_positives]  # to reject all is no answer
    if not reaching:
        raise InvalidInput(f"no threshold has a {goal} of {wanted:g} on these pictures")
    chosen = reaching[0] if goal is Goal.RECALL else reaching[-1]
    return Calibration(chosen, curve, _area(curve))


def interval(share: float, count: int) -> tuple[float, float]:
    """Where the share lies that was seen in so many pictures, with 95 % confidence.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of
    the American Statistical Association 22(158), 1927.
    """
    square = _NORMAL_95**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    spread *= _NORMAL_95 / (1 + square / count)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def _curve(positives: Sequence[float], negatives: Sequence[float]) -> tuple[Operating, ...]:
    labelled = sorted(
        [*((score, True) for score in positives), *((score, False) for score in negatives)],
        reverse=True,
    )
    true, false = 0, 0
    made = []
    for index, (score, is_positive) in enumerate(labelled):
        true, false = true + is_positive, false + (not is_positive)
        below = labelled[index + 1][0] if index + 1 < len(labelled) else score
        if below == score and index + 1 < len(labelled):
            continue  # equal scores pass together
        halfway = (score + below) / 2
        # Of neighbouring floats there is nothing halfway.
        threshold = halfway if below < halfway <= score else score
        made.append(Operating(threshold, true, false, len(positives), len(negatives)))
    return tuple(made)


def _area(curve: Sequence[Operating]) -> float:
    """By trapezoids, which counts ties half."""
    area, recall, fallout = 0.0, 0.0, 0.0
    for one in curve:
        area += (1 - one.specificity - fallout) * (one.recall + recall) / 2
        recall, fallout = one.recall, 1 - one.specificity
    return area
