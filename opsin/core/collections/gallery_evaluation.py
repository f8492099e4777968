"""How well embeddings tell individuals apart: pictures looked for in a gallery of others."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from opsin.core.errors import InvalidInput

Vectors: TypeAlias = npt.NDArray[np.float32]
Numbers: TypeAlias = npt.NDArray[np.float64]

CANDIDATES = 5
"""Answers that count, as in the competitions whose measures these are."""
UNKNOWN_SPECIES = "not stated"
_AT_ONCE = 256
_THRESHOLDS = 200


class Combine(StrEnum):
    """An individual's cosine from those of its pictures."""

    MAX = "max"
    MEAN = "mean"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledVectors:
    """Pictures as rows of length 1, and whose they are."""

    vectors: Vectors
    labels: tuple[str, ...]

    @classmethod
    def of(cls, vectors: Iterable[Sequence[float]], labels: Sequence[str]) -> "LabelledVectors":
        """Scaled to length 1; raises InvalidInput for what has no direction."""
        rows = np.array(list(vectors), np.float64).reshape(len(labels), -1)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(rows).all() or not lengths.all():
            raise InvalidInput("a vector has no direction")
        return cls((rows / lengths).astype(np.float32), tuple(labels))


@dataclass(frozen=True, slots=True)
class Answer:
    """The individuals found for one picture, the nearest first."""

    label: str
    is_known: bool
    """Whether the gallery has another picture of it."""
    candidates: tuple[str, ...]
    cosines: tuple[float, ...]

    @property
    def best(self) -> float:
        return self.cosines[0] if self.cosines else -1.0

    def found_at(self) -> int | None:
        """The place of the right individual among the candidates, from 1."""
        return self.candidates.index(self.label) + 1 if self.label in self.candidates else None

    def is_right(self) -> bool:
        return self.candidates[:1] == (self.label,)

    def precision(self, threshold: float) -> float:
        """1 over the place of the right answer, with "new individual" where cosines fall below."""
        near = sum(cosine >= threshold for cosine in self.cosines)
        place = near + 1
        if self.is_known:
            found = self.found_at()
            if found is None:
                return 0.0
            place = found + (found > near)
        return 1 / place if place <= CANDIDATES else 0.0


@dataclass(frozen=True, slots=True)
class OpenSetScore:
    """What comes of calling new whatever is less similar than the threshold."""

    threshold: float
    map_5: float
    """Mean average precision of five answers, "new individual" among them."""
    known: float | None
    """Mean, over known individuals, of the share of pictures named rightly; None without any."""
    unknown: float | None
    """Mean, over unknown individuals, of the share of pictures called new; None without any."""

    @property
    def both(self) -> float | None:
        """The geometric mean of the two."""
        if self.known is None or self.unknown is None:
            return None
        return math.sqrt(self.known * self.unknown)


@dataclass(frozen=True, slots=True)
class ClosedSetScore:
    """How often the right individual is first, or among five, of the pictures of known ones."""

    pictures: int
    top_1: float | None
    top_5: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measures; those with a threshold for each of several, and for the chosen one."""

    individuals: int
    gallery_pictures: int
    known: int
    unknown: int
    closed: ClosedSetScore
    chosen: OpenSetScore
    is_given: bool
    """Whether the caller gave the threshold; else it was chosen on these very pictures."""
    sweep: tuple[OpenSetScore, ...]
    species: Mapping[str, ClosedSetScore] = field(default_factory=dict)


def look_for(
    queries: LabelledVectors,
    gallery: LabelledVectors | None = None,
    *,
    combine: Combine = Combine.MAX,
    nearest: int | None = None,
) -> list[Answer]:
    """Each query's nearest individuals; without a gallery, among all the other queries.

    `nearest` bounds the pictures of an individual that a mean is taken of.
    """
    known = gallery or queries
    if not known.labels:
        raise InvalidInput("the gallery is empty")
    if known.vectors.shape[1] != queries.vectors.shape[1]:
        raise InvalidInput("the vectors of gallery and queries differ in length")
    names, inverse, counts = np.unique(
        np.array(known.labels, np.str_), return_inverse=True, return_counts=True
    )
    order = np.argsort(inverse, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    numbers = dict(zip(names.tolist(), counts.tolist(), strict=True))
    answers: list[Answer] = []
    for begin in range(0, len(queries.labels), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        found = (queries.vectors[part] @ known.vectors.T).astype(np.float64)
        if gallery is None:
            found[np.arange(len(found)), np.arange(begin, begin + len(found))] = -np.inf
        scores = _by_individual(found[:, order], starts, counts, combine, nearest)
        for label, row in zip(queries.labels[part], scores, strict=True):
            first = np.argsort(-row, kind="stable")[:CANDIDATES]
            first = first[row[first] > -np.inf]  # nobody but the query itself
            answers.append(
                Answer(
                    label,
                    numbers.get(label, 0) > (gallery is None),
                    tuple(str(names[index]) for index in first),
                    tuple(row[first].tolist()),
                )
            )
    return answers


def evaluate(
    answers: Sequence[Answer],
    *,
    individuals: int,
    gallery_pictures: int,
    threshold: float | None = None,
    species: Mapping[str, str] | None = None,
) -> Evaluation:
    """The measures of these answers.

    Without a threshold, the one of the best geometric mean of both balanced accuracies; where all
    are known, none is needed, and nobody is called new.
    """
    if not answers:
        raise InvalidInput("there is no picture to look for")
    unknown = sum(not one.is_known for one in answers)
    bests = np.array([one.best for one in answers])
    levels = np.unique(np.quantile(bests, np.linspace(0, 1, min(_THRESHOLDS, len(bests)))))
    sweep = tuple(_open_set(answers, float(level)) for level in levels)
    if threshold is not None:
        chosen = _open_set(answers, threshold)
    elif 0 < unknown < len(answers):
        chosen = max(sweep, key=lambda one: one.both or 0.0)
    else:
        chosen = _open_set(answers, -1.0)
    by_species: dict[str, list[Answer]] = {}
    for one in answers if species is not None else ():
        name = (species or {}).get(one.label, UNKNOWN_SPECIES)
        by_species.setdefault(name, []).append(one)
    return Evaluation(
        individuals=individuals,
        gallery_pictures=gallery_pictures,
        known=len(answers) - unknown,
        unknown=unknown,
        closed=_closed_set(answers),
        chosen=chosen,
        is_given=threshold is not None,
        sweep=sweep,
        species={name: _closed_set(by_species[name]) for name in sorted(by_species)},
    )


def _by_individual(
    found: Numbers,
    starts: npt.NDArray[np.intp],
    counts: npt.NDArray[np.intp],
    combine: Combine,
    nearest: int | None,
) -> Numbers:
    """Queries x pictures, sorted by individual, to queries x individuals."""
    if combine is Combine.MAX:
        highest: Numbers = np.maximum.reduceat(found, starts, axis=1)
        return highest
    means = np.full((len(found), len(starts)), -np.inf)
    for index, (start, count) in enumerate(zip(starts, counts, strict=True)):
        own = -np.sort(-found[:, start : start + count], axis=1)[:, : nearest or count]
        seen = np.isfinite(own)  # all but the query itself
        sums, sizes = np.where(seen, own, 0.0).sum(axis=1), seen.sum(axis=1)
        means[:, index] = np.where(sizes > 0, sums / np.maximum(sizes, 1), -np.inf)
    return means


def _closed_set(answers: Sequence[Answer]) -> ClosedSetScore:
    known = [one for one in answers if one.is_known]
    if not known:
        return ClosedSetScore(0, None, None)
    first = sum(one.is_right() for one in known)
    among = sum(one.found_at() is not None for one in known)
    return ClosedSetScore(len(known), first / len(known), among / len(known))


def _open_set(answers: Sequence[Answer], threshold: float) -> OpenSetScore:
    known: dict[str, list[bool]] = {}
    unknown: dict[str, list[bool]] = {}
    for one in answers:
        is_near = one.best >= threshold
        if one.is_known:
            known.setdefault(one.label, []).append(is_near and one.is_right())
        else:
            unknown.setdefault(one.label, []).append(not is_near)
    precision = sum(one.precision(threshold) for one in answers) / len(answers)
    return OpenSetScore(threshold, precision, _balanced(known), _balanced(unknown))


def _balanced(right: Mapping[str, Sequence[bool]]) -> float | None:
    shares = [sum(each) / len(each) for each in right.values()]
    return sum(shares) / len(shares) if shares else None
