"""What a history tells: points, and smoothed values."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The main metric of one analysis of one image."""

    image_id: str
    taken_at: datetime
    batch_id: str | None
    analysis_id: str
    operation: str
    step: str | None
    """The application's step that asked for it; none of those that nobody's application asked."""
    application_id: str | None
    name: str
    """The metric's, such as `face.redness`."""
    value: float | None
    """What was measured, in `unit`; none where the metric has a score only."""
    score: float | None
    unit: str | None

    @property
    def number(self) -> float:
        """The score where there is one, else the value: what charts and smoothing use."""
        if self.score is not None:
            return self.score
        assert self.value is not None  # a point has at least one of the two
        return self.value


@dataclass(frozen=True, slots=True)
class Smoothed:
    """The main metric of an operation on an image, smoothed with its subject's history."""

    operation: str
    application_id: str | None
    step: str | None
    name: str
    """The metric's, such as `face.redness`."""
    value: float
    """Not rounded: `round_half_up` makes a whole number of it."""
    count: int
    """Of how many images it was made."""
    is_score: bool
    """Whether it is a score from 0 to 100, or a value in `unit`."""
    unit: str | None
    analysis_id: str
    """The image's own analysis."""
