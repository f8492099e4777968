"""A third-party plugin that embeds a picture as its mean colour; no torch anywhere."""

from collections.abc import Iterable, Sequence
from typing import Any

from opsin import (
    Embedding,
    EmbeddingParams,
    Item,
    LoadContext,
    Operation,
    OperationFailed,
    Runner,
    hookimpl,
)

FINGERPRINT = "c0" * 32


class MeanColorRunner(Runner[EmbeddingParams, Embedding]):
    uses_device = False

    def run(self, batch: Sequence[Item[EmbeddingParams]]) -> Sequence[Embedding]:
        return [self._one(item) for item in batch]

    def _one(self, item: Item[EmbeddingParams]) -> Embedding:
        color = item.picture.reshape(-1, 3).mean(axis=0)
        if not color.any():
            raise OperationFailed("black has no colour")
        return Embedding(
            dimensions=3, normalized=False, model_fingerprint=FINGERPRINT, vector=tuple(color)
        )


class EmbedMeanColor(Operation[EmbeddingParams, Embedding]):
    name = "embed_mean_color"
    version = "1"
    description = "Embeds the picture as its mean colour."
    params = EmbeddingParams
    result = Embedding

    def load(self, context: LoadContext) -> MeanColorRunner:
        return MeanColorRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [EmbedMeanColor()]
