"""The caller's labels compared with a picture that is embedded already."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from opsin import Embedding, Item, LoadContext, OperationFailed, Runner
from opsin.core.errors import OperationUnavailable
from opsin.plugins.clip.plugin import (
    EMBED,
    ROLE,
    LabelScore,
    ZeroShotClassification,
    ZeroShotParams,
)
from opsin.plugins.clip.runner.tower import Tokens, shared_text_tower

if TYPE_CHECKING:
    import numpy.typing as npt

    Vector: TypeAlias = npt.NDArray[np.float64]
else:
    Vector = Any

REMEMBERED = 4096
"""Sentences whose vectors are kept; about 20 MB with 512 dimensions."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A picture's unit vector, and the labels with their sentences."""

    picture: Vector
    labels: tuple[str, ...]
    sentences: tuple[str, ...]
    tokens: tuple[Tokens, ...]


class ZeroShotRunner(Runner[ZeroShotParams, ZeroShotClassification]):
    """Softmax over the labels of scale x cosine, as CLIP was trained.

    A. Radford et al.: Learning transferable visual models from natural language supervision.
    ICML 2021.
    """

    max_batch = 16

    def __init__(self, context: LoadContext) -> None:
        self._fingerprint = context.models[ROLE].fingerprint
        self._tower = shared_text_tower(context)
        self._known: OrderedDict[str, Vector] = OrderedDict()

    def prepare(self, item: Item[ZeroShotParams]) -> Question:
        (embedding,) = item.inputs
        assert isinstance(embedding, Embedding)
        if embedding.model_fingerprint != self._fingerprint:
            raise OperationUnavailable(
                f"classify_zero_shot and {EMBED} have different weights here: "
                "OPSIN_MODELS must name the same for both"
            )
        sentences = item.params.prompts()
        return Question(
            _unit(np.array(embedding.vector, np.float64)),
            item.params.labels,
            tuple(sentences),
            tuple(self._tower.tokens(sentence) for sentence in sentences),
        )

    def run(self, batch: Sequence[Question]) -> Sequence[ZeroShotClassification]:
        vectors = self._vectors(
            {
                sentence: tokens
                for question in batch
                for sentence, tokens in zip(question.sentences, question.tokens, strict=True)
            }
        )
        return [self._answer(question, vectors) for question in batch]

    def memory_bytes(self) -> int:
        return self._tower.memory_bytes()

    def close(self) -> None:
        del self._tower
        self._known.clear()

    def _vectors(self, sentences: dict[str, Tokens]) -> dict[str, Vector]:
        """The unit vector of each sentence; those not known are computed and remembered."""
        new = [sentence for sentence in sentences if sentence not in self._known]
        if new:
            rows = self._tower.embed([sentences[sentence] for sentence in new]).double().numpy()
            self._known.update(zip(new, map(_unit, rows), strict=True))
        vectors = {sentence: self._known[sentence] for sentence in sentences}
        for sentence in sentences:
            self._known.move_to_end(sentence)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return vectors

    def _answer(self, question: Question, vectors: dict[str, Vector]) -> ZeroShotClassification:
        similarities = np.stack([vectors[s] for s in question.sentences]) @ question.picture
        logits = self._tower.logit_scale * similarities
        exponentials = np.exp(logits - logits.max())
        probabilities = exponentials / exponentials.sum()
        scores = (
            LabelScore(label=label, probability=float(probability), similarity=float(similarity))
            for label, probability, similarity in zip(
                question.labels, probabilities, similarities, strict=True
            )
        )
        return ZeroShotClassification(
            labels=tuple(sorted(scores, key=lambda score: -score.probability)),
            model_fingerprint=self._fingerprint,
        )


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    if not length:
        raise OperationFailed("a vector of length 0 points nowhere")
    return vector / length
