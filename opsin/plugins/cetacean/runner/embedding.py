"""The runner of `embed_cetacean`: what galleries are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from opsin import (
    Embedding,
    EmbeddingParams,
    Item,
    LoadContext,
    OperationFailed,
    Picture,
    Runner,
)
from opsin.core.neural import embedding_of
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.runner.animals import Animal, Animals


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPicture:
    """What the detector or the embedder takes, and whether the caller wants a unit vector."""

    picture: Picture
    normalize: bool


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What was found of one picture, and whether the caller wants a unit vector."""

    animal: Animal
    normalize: bool


class EmbeddingRunner(Runner[EmbeddingParams, Embedding]):
    """One vector a picture, as the neck gives it unless length 1 is asked for."""

    max_batch = 16

    def __init__(self, pipeline: Pipeline, context: LoadContext) -> None:
        self._animals = Animals(pipeline, context)

    def prepare(self, item: Item[EmbeddingParams]) -> PreparedPicture:
        return PreparedPicture(self._animals.prepare(item.picture), item.params.normalize)

    def run(self, batch: Sequence[PreparedPicture]) -> Sequence[Embedded]:
        animals = self._animals.embed([prepared.picture for prepared in batch])
        return [
            Embedded(animal, prepared.normalize)
            for animal, prepared in zip(animals, batch, strict=True)
        ]

    def encode(self, output: Embedded) -> Embedding:
        row = output.animal.vector
        if row is None:
            raise OperationFailed("no animal was detected")
        check_direction(row)
        found = embedding_of(row, self._animals.fingerprint, normalize=output.normalize)
        region = output.animal.region
        told = {"region": region.box if region else None, "note": output.animal.note}
        return found.model_copy(update=told)

    def memory_bytes(self) -> int:
        return self._animals.memory_bytes()

    def close(self) -> None:
        self._animals.close()


def check_direction(row: torch.Tensor) -> None:
    """Raises OperationFailed for a vector that cannot be compared."""
    if not bool(torch.isfinite(row).all()) or not bool(row.any()):
        raise OperationFailed("the embedder gives no direction for this picture")
