"""The runner of `identify_cetacean`: gate, then detector and embedder, then the comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from opsin import Gallery, Item, LoadContext, OperationFailed, Picture, Runner
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.results import (
    EMBED,
    CetaceanCandidate,
    CetaceanIdentification,
    CetaceanIdentificationParams,
    CetaceanMatch,
    CetaceanRejection,
)
from opsin.plugins.cetacean.runner.animals import Animal, Animals
from opsin.plugins.cetacean.runner.embedding import check_direction
from opsin.plugins.cetacean.runner.gallery import Cosines, Groupings, check_gallery, cosines
from opsin.plugins.cetacean.runner.gate import load_gate
from opsin.plugins.cetacean.runner.prototypes import load_prototypes
from opsin.plugins.cetacean.runner.ranking import (
    Comparison,
    Species,
    fused,
    is_doubtful,
    is_new,
    ranked,
)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPicture:
    """One picture for the gate and for what comes after it, and what was asked."""

    gate: Picture | None
    picture: Picture
    params: CetaceanIdentificationParams
    gallery: Gallery | None


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the networks made of a picture; tensors are on the CPU."""

    params: CetaceanIdentificationParams
    gallery: Gallery | None
    score: float | None
    animal: Animal | None = None
    """None: the gate has rejected the picture."""
    prototypes: torch.Tensor | None = None
    """Cosines with the individuals that have prototypes."""

    @property
    def vector(self) -> torch.Tensor | None:
        return None if self.animal is None else self.animal.vector


class IdentificationRunner(Runner[CetaceanIdentificationParams, CetaceanIdentification]):
    """Networks in `run`; comparisons with galleries in `encode`, while the device goes on."""

    max_batch = 16

    def __init__(self, pipeline: Pipeline, context: LoadContext) -> None:
        self._pipeline = pipeline
        self._gate = load_gate(pipeline, context)
        self._animals = Animals(pipeline, context)
        self._prototypes = load_prototypes(pipeline, context, self._animals.dimensions)
        known = self._prototypes.species if self._prototypes else {}
        self._species = Species(pipeline.manifest.taxonomy, known)
        self._groupings = Groupings()

    def prepare(self, item: Item[CetaceanIdentificationParams]) -> PreparedPicture:
        gallery = self._gallery(item)
        gate = None if self._gate is None else self._gate.prepare(item.picture)
        return PreparedPicture(gate, self._animals.prepare(item.picture), item.params, gallery)

    def run(self, batch: Sequence[PreparedPicture]) -> Sequence[Seen]:
        scores: Sequence[float | None] = [None] * len(batch)
        if self._gate is not None:
            scores = self._gate.scores([one.gate for one in batch if one.gate is not None])
        seen = [
            Seen(one.params, one.gallery, score) for one, score in zip(batch, scores, strict=True)
        ]
        passed = [i for i, score in enumerate(scores) if self._passes(score)]
        if not passed:
            return seen
        animals = self._animals.embed([batch[index].picture for index in passed])
        found = self._prototype_cosines(animals)
        for index, animal, row in zip(passed, animals, found, strict=True):
            one = batch[index]
            seen[index] = Seen(one.params, one.gallery, scores[index], animal, row)
        return seen

    def encode(self, output: Seen) -> CetaceanIdentification:
        if output.vector is None:
            return self._answer(output, CetaceanRejection.NOT_A_MARINE_MAMMAL)
        check_direction(output.vector)
        comparison = self._comparison(output, output.vector)
        if comparison is None:
            note = "nothing to compare with: no gallery was named, and there are no prototypes"
            return self._answer(output, note=note)
        candidates = ranked(comparison, output.params.candidates, self._species, output.gallery)
        return self._compared(output, candidates, comparison)

    def memory_bytes(self) -> int:
        parts = (self._gate, self._animals, self._prototypes)
        return sum(part.memory_bytes() for part in parts if part is not None)

    def close(self) -> None:
        self._animals.close()
        del self._gate, self._prototypes

    def _gallery(self, item: Item[CetaceanIdentificationParams]) -> Gallery | None:
        if item.params.gallery is None:
            return None
        if not isinstance(item.reference, Gallery):
            raise OperationFailed("galleries are stored in a server's database; there is none here")
        if item.reference.labels:
            fingerprint, dimensions = self._animals.fingerprint, self._animals.dimensions
            check_gallery(item.reference, EMBED, fingerprint, dimensions)
        return item.reference

    def _passes(self, score: float | None) -> bool:
        return score is None or score >= self._pipeline.threshold

    def _prototype_cosines(self, animals: Sequence[Animal]) -> list[torch.Tensor | None]:
        rows: list[torch.Tensor | None] = [None] * len(animals)
        if self._prototypes is None:
            return rows
        vectors = {i: a.vector for i, a in enumerate(animals) if a.vector is not None}
        if vectors:
            found = self._prototypes.cosines(torch.stack(list(vectors.values())))
            for index, row in zip(vectors, found, strict=True):
                rows[index] = row
        return rows

    def _comparison(self, seen: Seen, vector: torch.Tensor) -> Comparison | None:
        """With whatever there is to compare with."""
        if seen.gallery is None:
            return self._by_prototypes(seen)
        matcher = self._pipeline.manifest.gallery
        individuals: tuple[str, ...] = ()
        found: Cosines = np.zeros(0)
        if seen.gallery.labels:
            grouping = self._groupings.of(seen.gallery)
            unit = torch.nn.functional.normalize(vector, dim=0).numpy()
            found = cosines(unit, seen.gallery, grouping, matcher)
            individuals = grouping.individuals
        own = Comparison(individuals, found, matcher.scale, matcher.open_set, CetaceanMatch.GALLERY)
        prototypes = self._by_prototypes(seen)
        if prototypes is None or not matcher.prototypes_weight:
            return own
        return fused(own, prototypes, matcher.prototypes_weight)

    def _by_prototypes(self, seen: Seen) -> Comparison | None:
        stage = self._pipeline.manifest.prototypes
        if stage is None or self._prototypes is None or seen.prototypes is None:
            return None
        return Comparison(
            self._prototypes.individuals,
            seen.prototypes.to(torch.float64).numpy(),
            stage.scale,
            stage.open_set,
            CetaceanMatch.PROTOTYPES,
        )

    def _compared(
        self,
        seen: Seen,
        candidates: tuple[CetaceanCandidate, ...],
        comparison: Comparison,
    ) -> CetaceanIdentification:
        best = candidates[0] if candidates else None
        new = is_new(best, comparison.open_set)
        rejected = bool(new) or (best is not None and is_doubtful(best, comparison.open_set))
        return self._answer(
            seen,
            CetaceanRejection.LOW_CONFIDENCE if rejected else None,
            individual=best.individual if best else None,
            species=best.species if best else None,
            probability=best.probability if best else None,
            cosine=best.cosine if best else None,
            new_individual=new,
            candidates=candidates,
            matched_by=comparison.matched_by,
            note=None if best else "the gallery is empty",
        )

    def _answer(
        self,
        seen: Seen,
        reason: CetaceanRejection | None = None,
        note: str | None = None,
        **found: Any,
    ) -> CetaceanIdentification:
        """A result with all that is the same whatever came of it."""
        animal = seen.animal
        is_cetacean = None
        if self._gate is not None or self._animals.rejects:
            is_cetacean = reason is not CetaceanRejection.NOT_A_MARINE_MAMMAL
        region = animal.region if animal else None
        notes = [text for text in (animal.note if animal else None, note) if text]
        return CetaceanIdentification(
            is_cetacean=is_cetacean,
            cetacean_score=seen.score,
            rejected=reason is not None,
            rejection_reason=reason,
            box=region.box if region else None,
            box_score=region.score if region else None,
            manifest=self._pipeline.manifest.name,
            manifest_digest=self._pipeline.digest,
            note="; ".join(notes) or None,
            **found,
        )
