"""The embedder: pixels to vectors, in batches of the size that the device likes."""

from collections.abc import Sequence

import numpy as np
import torch

from opsin import LoadContext, LocatedModel, Picture
from opsin.core.neural import UnusableWeights, memory_of, pixels_to_batch, place, read_weights
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.runner.networks import build_network
from opsin.plugins.cetacean.runner.pictures import Fitting
from opsin.plugins.cetacean.stages import Embedder

ROLE = "embedder"
AT_ONCE_ON_A_PROCESSOR = 1
"""An EfficientNet-B4 at 512 pixels takes longer per picture in larger batches: caches are small."""
AT_ONCE = 16


class PictureEmbedder:
    """The network, and how it wants its pictures."""

    def __init__(self, stage: Embedder, model: LocatedModel, context: LoadContext) -> None:
        name = model.requirement.name
        on_processor = torch.device(context.device).type == "cpu"
        self._context = context
        self._flip = stage.flip
        self._at_once = AT_ONCE_ON_A_PROCESSOR if on_processor else AT_ONCE
        self.fitting = Fitting(stage)
        config = model.file("config.json") if stage.source == "transformers" else None
        weights = read_weights(*(model.weights or model.paths))  # one file may be a state_dict
        network = build_network(stage, weights, config, name)
        example = torch.zeros(1, 3, *stage.height_width)
        self.network = place(network, context, example)
        self.dimensions = self._tried(name)

    @torch.inference_mode()
    def embed(self, pixels: Sequence[Picture]) -> torch.Tensor:
        """Pictures x dimensions, float32, on the device; not scaled to length 1."""
        rows = [
            self._embed(pixels[start : start + self._at_once])
            for start in range(0, len(pixels), self._at_once)
        ]
        return torch.cat(rows)

    def memory_bytes(self) -> int:
        return memory_of(self.network)

    def _embed(self, pixels: Sequence[Picture]) -> torch.Tensor:
        preprocessing = self.fitting.preprocessing
        batch = pixels_to_batch(pixels, preprocessing.mean, preprocessing.std, self._context)
        rows: torch.Tensor = self.network(batch).to(torch.float32)
        if self._flip:
            mirrored = self.network(batch.flip(3)).to(torch.float32)
            rows = (rows + mirrored) / 2
        return rows

    def _tried(self, name: str) -> int:
        """The length of the vectors; tables of a manifest that do not fit each other show here."""
        preprocessing = self.fitting.preprocessing
        grey = np.full((preprocessing.height, preprocessing.width, 3), 128, np.uint8)
        try:
            rows = self.embed([grey])
        except UnusableWeights:
            raise
        except Exception as error:
            raise UnusableWeights(f"the embedder of {name!r} does not work: {error}") from error
        if rows.dim() != 2:
            raise UnusableWeights(f"the embedder of {name!r} gives no vectors: it needs a pooling")
        return int(rows.shape[1])


def load_embedder(pipeline: Pipeline, context: LoadContext) -> PictureEmbedder:
    """The manifest's embedder, one for all operations; raises UnusableWeights."""
    stage = pipeline.manifest.embedder
    model = context.models[ROLE]

    def build() -> PictureEmbedder:
        return PictureEmbedder(stage, model, context)

    return context.share(ROLE, build)
