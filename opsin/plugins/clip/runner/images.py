"""The image tower: pictures to vectors, as OpenAI's own CLIP prepares and embeds them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import CLIPVisionModelWithProjection

from opsin import Embedding, EmbeddingParams, Item, LoadContext, Picture, Runner
from opsin.core.imaging import Preprocessing
from opsin.core.neural import (
    UnusableWeights,
    embedding_of,
    fit_pretrained,
    memory_of,
    pixels_to_batch,
    place,
)
from opsin.plugins.clip.plugin import ROLE
from opsin.plugins.clip.runner.checkpoint import VISION, read_configs, read_tower

OPENAI = Preprocessing(
    height=224,
    width=224,
    shorter_side=224,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
"""What a `preprocessor_config.json` of a CLIP means by what is not in it."""


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """The pixels of the network's input, uint8, and whether the caller wants a unit vector."""

    pixels: Picture
    normalize: bool


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The network's output for one picture, dimensions float32 on the CPU."""

    row: torch.Tensor
    normalize: bool


class ClipImageRunner(Runner[EmbeddingParams, Embedding]):
    """One vector a picture: the projected class token, not normalised unless asked for."""

    max_batch = 32

    def __init__(self, context: LoadContext) -> None:
        model = context.models[ROLE]
        self._context = context
        self._fingerprint = model.fingerprint
        _, config = read_configs(model)
        self._preprocessing = Preprocessing.read(model.file("preprocessor_config.json"), OPENAI)
        size = (self._preprocessing.height, self._preprocessing.width)
        if size != (config.image_size,) * 2:
            raise UnusableWeights(
                f"{model.requirement.name!r} takes {config.image_size} pixels a "
                f"side, but its preprocessor_config.json makes {size[0]} x {size[1]}"
            )

        def build() -> CLIPVisionModelWithProjection:
            weights = read_tower(model, VISION)
            network = fit_pretrained(
                CLIPVisionModelWithProjection,
                config,
                weights,
                model.requirement.name,
            )
            return place(network, context, {"pixel_values": torch.zeros(1, 3, *size)})

        self._network = context.share(ROLE, build)

    def prepare(self, item: Item[EmbeddingParams]) -> PreparedPicture:
        return PreparedPicture(self._preprocessing.pixels(item.picture), item.params.normalize)

    @torch.inference_mode()
    def run(self, batch: Sequence[PreparedPicture]) -> Sequence[Embedded]:
        pixels = pixels_to_batch(
            [picture.pixels for picture in batch],
            self._preprocessing.mean,
            self._preprocessing.std,
            self._context,
        )
        rows = self._network(pixel_values=pixels).image_embeds.to("cpu", torch.float32)
        return [Embedded(row, picture.normalize) for row, picture in zip(rows, batch, strict=True)]

    def encode(self, output: Embedded) -> Embedding:
        return embedding_of(output.row, self._fingerprint, normalize=output.normalize)

    def memory_bytes(self) -> int:
        return memory_of(self._network)

    def close(self) -> None:
        del self._network
