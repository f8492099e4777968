"""From cosines to an answer: fused sources, probabilities, the open-set rule, species."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from opsin import Gallery
from opsin.plugins.cetacean.results import CetaceanCandidate, CetaceanMatch
from opsin.plugins.cetacean.runner.gallery import Cosines
from opsin.plugins.cetacean.stages import OpenSet, Taxonomy

_DECIMALS = 4
"""A probability decides as it is shown: rounded to so many."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The cosine with each known individual, and how to read it."""

    individuals: tuple[str, ...]
    cosines: Cosines
    scale: float
    open_set: OpenSet
    matched_by: CetaceanMatch


def fused(gallery: Comparison, prototypes: Comparison, prototypes_weight: float) -> Comparison:
    """Both sources: the weighted mean of the two cosines.

    An individual that only one of them knows has the cosine of that one.
    """
    place = {individual: index for index, individual in enumerate(gallery.individuals)}
    individuals = list(gallery.individuals)
    cosines = gallery.cosines.tolist()
    for individual, cosine in zip(prototypes.individuals, prototypes.cosines.tolist(), strict=True):
        index = place.get(individual)
        if index is None:
            individuals.append(individual)
            cosines.append(cosine)
        else:
            own = (1 - prototypes_weight) * cosines[index]
            cosines[index] = own + prototypes_weight * cosine
    return Comparison(
        tuple(individuals),
        np.array(cosines, np.float64),
        gallery.scale,
        gallery.open_set,
        CetaceanMatch.FUSED,
    )


@dataclass(frozen=True, slots=True)
class Species:
    """Which species an individual is, by the sources in order, under its name for readers."""

    taxonomy: Taxonomy
    prototypes: Mapping[str, str] = field(default_factory=dict)

    def of(self, individual: str, gallery: Gallery | None) -> str | None:
        told: Any = None
        if gallery is not None:
            told = gallery.attributes.get(individual, {}).get("species")
        name = told if isinstance(told, str) and told else self.prototypes.get(individual)
        return None if name is None else self.taxonomy.aliases.get(name, name)


def ranked(
    comparison: Comparison, count: int, species: Species, gallery: Gallery | None
) -> tuple[CetaceanCandidate, ...]:
    """The `count` nearest individuals; of equal ones, those named first."""
    if not comparison.individuals:
        return ()
    order = np.argsort(-comparison.cosines, kind="stable")[:count]
    logits = comparison.scale * (comparison.cosines - comparison.cosines.max())
    total = float(np.exp(logits).sum())
    return tuple(
        CetaceanCandidate(
            rank=rank,
            individual=comparison.individuals[index],
            species=species.of(comparison.individuals[index], gallery),
            probability=float(np.exp(logits[index])) / total,
            cosine=float(np.clip(comparison.cosines[index], -1.0, 1.0)),
        )
        for rank, index in enumerate(order.tolist(), start=1)
    )


def is_new(best: CetaceanCandidate | None, rule: OpenSet) -> bool | None:
    """Whether no known individual is near enough; None when no limit says what near is."""
    if best is None:
        return True
    return None if rule.min_cosine is None else best.cosine < rule.min_cosine


def is_doubtful(best: CetaceanCandidate, rule: OpenSet) -> bool:
    """Whether the nearest individual's share is too small."""
    if rule.min_probability is None:
        return False
    return round(best.probability, _DECIMALS) < rule.min_probability
