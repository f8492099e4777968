"""What a report tells, as plain values: read once, then drawn without a database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from opsin.core.exports.shapes import Shape


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of an area."""

    name: str
    value: float | None
    unit: str
    score: float | None
    label: str


@dataclass(frozen=True, slots=True)
class Area:
    """The numbers of one area, the main one first; its name is empty where there are no areas."""

    name: str
    metrics: Sequence[Metric]


@dataclass(frozen=True, slots=True)
class Point:
    """A number of the measure's history: the score where there is one, else the value."""

    at: datetime
    number: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found that is no number: a class, a text."""

    kind: str
    text: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Measure:
    """What one analysis tells."""

    title: str
    operation: str
    version: str
    completed_at: datetime | None
    description: str
    explanation: str
    source: str
    areas: Sequence[Area]
    shapes: Sequence[Shape]
    findings: Sequence[Finding]
    feedback: Sequence[str]
    history: Sequence[Point]
    """Oldest first, the image's own last; empty without a main metric."""
    left_out: Sequence[str] = ()
    """What there is more of, in words."""

    @property
    def main(self) -> Metric | None:
        """The first number, which the overview shows and the history is of."""
        return self.areas[0].metrics[0] if self.areas else None


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """An analysis without a result, and why."""

    title: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a report tells of one image."""

    title: str
    facts: Sequence[tuple[str, str]]
    image_id: str
    width: int
    height: int
    measures: Sequence[Measure]
    unmeasured: Sequence[Unmeasured]
    has_file: bool
    results_deleted: bool
    moment: datetime
    """When the newest of what it tells came to be."""
    left_out: int = 0
    """Analyses beyond those that a report holds."""

    def texts(self) -> set[str]:
        """Every character that may be shown."""
        found: set[str] = set()
        _collect(self, found)
        return found


def _collect(value: object, found: set[str]) -> None:
    if isinstance(value, str):
        found.update(value)
    elif isinstance(value, list | tuple):
        for one in value:
            _collect(one, found)
    elif isinstance(value, Contents | Measure | Area | Metric | Finding | Unmeasured):
        for name in value.__dataclass_fields__:
            _collect(getattr(value, name), found)
