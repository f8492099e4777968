"""A plugin that embeds pictures by their mean colour, and the names of colours beside them."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from opsin import (
    Embedding,
    EmbeddingParams,
    Item,
    LoadContext,
    Operation,
    Runner,
    Target,
    TextEmbedder,
    hookimpl,
)
from opsin.core.plugin_host import PluginSource

SOURCE = PluginSource("colour", "tests.core.colour_plugin")
FINGERPRINT = "c" * 64
NAMES = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


class ColourEmbedding(Embedding):
    """An embedding with a field of its own, and a validator that looks at the vector."""

    brightness: float = Field(description="0 to 1")

    @model_validator(mode="after")
    def _has_its_length(self) -> Self:
        if len(self.vector) != self.dimensions:
            raise ValueError("a vector of another length")
        return self


def colour_vector(red: float, green: float, blue: float) -> tuple[float, ...]:
    """The colour and a third, which no decimal is."""
    values = np.array([red, green, blue, 1 / 3], np.float32)
    return tuple(values.tolist())


class ColourRunner(Runner[EmbeddingParams, ColourEmbedding]):
    uses_device = False

    def run(self, batch: Sequence[Item[EmbeddingParams]]) -> Sequence[ColourEmbedding]:
        return [embedded(item) for item in batch]


def embedded(item: Item[Any]) -> ColourEmbedding:
    red, green, blue = (item.picture.mean(axis=(0, 1)) / 255).tolist()
    return ColourEmbedding(
        dimensions=4,
        normalized=False,
        model_fingerprint=FINGERPRINT,
        vector=colour_vector(red, green, blue),
        brightness=(red + green + blue) / 3,
    )


class EmbedColour(Operation[EmbeddingParams, ColourEmbedding]):
    name = "embed_colour"
    version = "1"
    description = "Embeds the mean colour."
    params = EmbeddingParams
    result = ColourEmbedding
    targets = (Target.WHOLE_IMAGE, Target.PROMINENT_FACE)

    def load(self, context: LoadContext) -> ColourRunner:
        return ColourRunner()


class NameRunner(Runner[Any, Embedding]):
    uses_device = False

    def run(self, batch: Sequence[str]) -> Sequence[Embedding]:
        return [
            Embedding(
                dimensions=4,
                normalized=False,
                model_fingerprint=FINGERPRINT,
                vector=colour_vector(*NAMES[text]),
            )
            for text in batch
        ]


class EmbedColourNames(TextEmbedder):
    name = "colour_names"
    version = "1"
    operation = "embed_colour"

    def load(self, context: LoadContext) -> NameRunner:
        return NameRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [EmbedColour()]


@hookimpl
def opsin_text_embedders() -> Iterable[TextEmbedder]:
    return [EmbedColourNames()]
