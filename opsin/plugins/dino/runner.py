"""DINOv2 and DINOv3 on pictures: the networks of transformers, each with its own preparation."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import torch
from PIL import Image
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)

from opsin import Embedding, EmbeddingParams, Item, LoadContext, LocatedModel, Picture, Runner
from opsin.core.imaging import Preprocessing
from opsin.core.neural import (
    UnusableWeights,
    embedding_of,
    fit_pretrained,
    memory_of,
    pixels_to_batch,
    place,
    read_config,
    read_weights,
)
from opsin.plugins.dino.plugin import ROLE

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
V2_DEFAULT = Preprocessing(224, 224, IMAGENET_MEAN, IMAGENET_STD, shorter_side=256)
V3_DEFAULT = Preprocessing(224, 224, IMAGENET_MEAN, IMAGENET_STD, Image.Resampling.BILINEAR)
"""What a `preprocessor_config.json` of each means by what is not in it."""

Kinds: TypeAlias = Mapping[str, tuple[Any, Any]]
"""By `model_type` of a `config.json`: the classes of its configuration and its network."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPicture:
    """The pixels of the network's input, and whether the caller wants a unit vector."""

    pixels: Any
    normalize: bool


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The vector of one picture, dimensions float32 on the CPU."""

    row: torch.Tensor
    normalize: bool


class DinoRunner(Runner[EmbeddingParams, Embedding]):
    """One vector a picture, of the tokens after the last norm; not normalised unless asked for."""

    kinds: ClassVar[Kinds]

    def __init__(self, context: LoadContext) -> None:
        model = context.models[ROLE]
        self._context = context
        self._fingerprint = model.fingerprint
        self._preprocessing = self.preprocessing(model)
        self._network = context.share(ROLE, lambda: self._build(model))

    @abstractmethod
    def preprocessing(self, model: LocatedModel) -> Preprocessing:
        """How the model's files say that pictures are to be prepared."""

    def pixels(self, picture: Picture) -> Any:
        """The network's input, height x width x 3, 0 to 255."""
        return self._preprocessing.pixels(picture)

    def vectors(self, tokens: torch.Tensor) -> torch.Tensor:
        """Batch x dimensions from batch x tokens x dimensions: the class token, the first."""
        return tokens[:, 0]

    def prepare(self, item: Item[EmbeddingParams]) -> PreparedPicture:
        return PreparedPicture(self.pixels(item.picture), item.params.normalize)

    @torch.inference_mode()
    def run(self, batch: Sequence[PreparedPicture]) -> Sequence[Embedded]:
        pixels = pixels_to_batch(
            [picture.pixels for picture in batch],
            self._preprocessing.mean,
            self._preprocessing.std,
            self._context,
        )
        tokens = self._network(pixel_values=pixels).last_hidden_state
        rows = self.vectors(tokens.to(torch.float32)).cpu()
        return [Embedded(row, picture.normalize) for row, picture in zip(rows, batch, strict=True)]

    def encode(self, output: Embedded) -> Embedding:
        return embedding_of(output.row, self._fingerprint, normalize=output.normalize)

    def memory_bytes(self) -> int:
        return memory_of(self._network)

    def close(self) -> None:
        del self._network

    def _build(self, model: LocatedModel) -> torch.nn.Module:
        config, kind = self._config(model)
        weights = read_weights(*model.weights)
        network: torch.nn.Module = fit_pretrained(kind, config, weights, model.requirement.name)
        height, width = self._preprocessing.height, self._preprocessing.width
        return place(network, self._context, {"pixel_values": torch.zeros(1, 3, height, width)})

    def _config(self, model: LocatedModel) -> tuple[Any, type[torch.nn.Module]]:
        """The architecture; UnusableWeights when it is none of `kinds`."""
        told = read_config(model, self.kinds)
        config, network = self.kinds[told["model_type"]]
        return config.from_dict(told), network


class DinoV2Runner(DinoRunner):
    """Pictures in the size that the model was made for: for the published ones 518 pixels a side.

    Their `preprocessor_config.json` asks for 224; timm's models of the same weights take 518.
    """

    max_batch = 8
    kinds: ClassVar[Kinds] = {
        "dinov2": (Dinov2Config, Dinov2Model),
        "dinov2_with_registers": (Dinov2WithRegistersConfig, Dinov2WithRegistersModel),
    }

    def preprocessing(self, model: LocatedModel) -> Preprocessing:
        told = Preprocessing.read(model.file("preprocessor_config.json"), V2_DEFAULT)
        side = self._config(model)[0].image_size
        if not isinstance(side, int):
            raise UnusableWeights(f"{model.requirement.name!r} takes pictures that are not square")
        return replace(told, height=side, width=side, shorter_side=side)


class DinoV3Runner(DinoRunner):
    """Pictures are stretched to 224 x 224 without being rounded to bytes, as transformers does."""

    max_batch = 16
    kinds: ClassVar[Kinds] = {"dinov3_vit": (DINOv3ViTConfig, DINOv3ViTModel)}

    def preprocessing(self, model: LocatedModel) -> Preprocessing:
        return Preprocessing.read(model.file("preprocessor_config.json"), V3_DEFAULT)

    def pixels(self, picture: Picture) -> Any:
        return self._preprocessing.stretched(picture)


class DinoV3PatchRunner(DinoV3Runner):
    """The mean of all tokens but the class token; the register tokens are among them."""

    def vectors(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, 1:].mean(dim=1)
