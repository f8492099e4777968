"""The bake-off: a new classifier and the kept ones, scored on members that none of them knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from opsin.core.classifiers.document import ClassifierDocument
from opsin.core.classifiers.logistic_regression import Score, score

if TYPE_CHECKING:
    import numpy.typing as npt

KEPT = 10
ENOUGH_OF_EACH = 10
"""Rows of each label that a score needs, unless fewer are held out: chance rules smaller ones."""

OTHER_VECTORS = "not compared: made for other inputs, models or numbers of features"
UNKNOWN_ROWS = "not scored: nobody knows which rows it was trained on"
SEEN_ROWS = "not scored: it was trained on too many of the rows held out now"
TIED = "as good as the one before it, which is newer"


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The rows held out: their vectors, truth and marks."""

    vectors: "npt.NDArray[np.float32]"
    truth: "npt.NDArray[np.bool_]"
    marks: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A classifier that takes part, by the id it is or will be stored under."""

    id: str
    digest: str
    created_at: datetime
    document: ClassifierDocument


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """How a candidate did; `rank` counts from 1, None for one that could not be compared."""

    candidate: Candidate
    rank: int | None
    score: Score | None
    note: str | None = None

    @property
    def is_kept(self) -> bool:
        return self.rank is None or self.rank <= KEPT


def hold(new: Candidate, kept: Sequence[Candidate], held_out: HeldOut) -> list[Standing]:
    """Everybody's standing, best first; `kept` comes newest first.

    The order is that of precision, of equal ones the newest first, then the unscored.  A classifier
    is scored on those rows alone that it was not trained on.
    """
    scored: list[tuple[Candidate, Score]] = []
    unscored: list[tuple[Candidate, str]] = []
    others: list[Candidate] = []
    for candidate in (new, *kept):
        if not candidate.document.fits(new.document):
            others.append(candidate)
            continue
        found = _score(candidate.document, held_out)
        if isinstance(found, Score):
            scored.append((candidate, found))
        else:
            unscored.append((candidate, found))
    scored.sort(key=lambda entry: -entry[1].precision)  # stable: the newest stay first
    standings: list[Standing] = []
    before: float | None = None
    for candidate, its in scored:
        note = TIED if its.precision == before else None
        standings.append(Standing(candidate, len(standings) + 1, its, note))
        before = its.precision
    for candidate, why in unscored:
        standings.append(Standing(candidate, len(standings) + 1, None, why))
    return standings + [Standing(candidate, None, None, OTHER_VECTORS) for candidate in others]


def _score(document: ClassifierDocument, held_out: HeldOut) -> Score | str:
    """The score, or why there is none."""
    seen = document.training.seen
    if seen is None:
        return UNKNOWN_ROWS
    known = frozenset(seen)
    fresh = np.array([mark not in known for mark in held_out.marks])
    for label in (True, False):
        of_label = held_out.truth == label
        if (fresh & of_label).sum() < min(ENOUGH_OF_EACH, of_label.sum()):
            return SEEN_ROWS
    return score(held_out.truth[fresh], document.decide(held_out.vectors[fresh]))
