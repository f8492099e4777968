"""The drift window: whether the last scores of an operation lie below what it was calibrated at."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

WINDOW = 1000
"""Scores that are looked at."""
LEAST = 50
"""Fewer say nothing."""
DROP = 0.10
"""How far below the baseline their mean is an alarm."""
RELIEF = 0.08
"""How near it must come again before there can be another one."""
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """The window in numbers; the deviation is that of the whole window, 0 for one score or none."""

    count: int = 0
    alarms: int = 0
    score_mean: float = 0.0
    score_deviation: float = 0.0
    probability_mean: float = 0.0
    is_alarmed: bool = False


@dataclass(slots=True)
class DriftWindow:
    """The last scores and the probabilities beside them, oldest first."""

    scores: list[float] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    alarms: int = 0
    """Times that the mean has sunk; one that stays below is one alarm."""
    is_alarmed: bool = False

    def add(self, measured: Iterable[tuple[float, float]], baseline: float | None) -> bool:
        """Take scores and probabilities in; whether that raised an alarm.

        Every score is looked at with those before it, so that it matters not in how many steps
        they come.
        """
        alarms, total = self.alarms, math.fsum(self.scores)
        for score, probability in measured:
            self.scores.append(round(score, _DIGITS))
            self.probabilities.append(round(probability, _DIGITS))
            total += self.scores[-1]
            over = len(self.scores) - WINDOW
            if over > 0:
                total -= math.fsum(islice(self.scores, over))
                del self.scores[:over], self.probabilities[:over]
            if baseline is not None and len(self.scores) >= LEAST:
                self._judge(baseline - total / len(self.scores))
        return self.alarms > alarms

    def summary(self) -> DriftSummary:
        count = len(self.scores)
        if not count:
            return DriftSummary(alarms=self.alarms, is_alarmed=self.is_alarmed)
        mean = math.fsum(self.scores) / count
        squares = math.fsum((score - mean) ** 2 for score in self.scores)
        return DriftSummary(
            count,
            self.alarms,
            mean,
            math.sqrt(squares / count) if count > 1 else 0.0,
            math.fsum(self.probabilities) / count,
            self.is_alarmed,
        )

    def _judge(self, drop: float) -> None:
        # What is written 0.10 is not to be missed by a rounding error of the mean.
        drop = round(drop, 9)
        if not self.is_alarmed and drop >= DROP:
            self.is_alarmed = True
            self.alarms += 1
        elif self.is_alarmed and drop < RELIEF:
            self.is_alarmed = False
