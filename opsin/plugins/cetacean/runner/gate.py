"""The gate: CLIP's zero-shot score for the positive among all prompts."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    CLIPConfig,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
)

from opsin import LoadContext, LocatedModel, Picture
from opsin.core.imaging import Preprocessing
from opsin.core.neural import (
    UnusableWeights,
    fit_pretrained,
    memory_of,
    pixels_to_batch,
    place,
    read_config,
    read_weights,
)
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.runner.pictures import padded
from opsin.plugins.cetacean.stages import Gate

ROLE = "gate"
AT_ONCE = 16
"""Pictures that share a forward pass: on a processor as on an accelerator, cheaper than one."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""What a `preprocessor_config.json` of a CLIP means by what is not in it."""
_VISION = ("vision_model.", "visual_projection.")
_TEXT = ("text_model.", "text_projection.")
_SCALE = "logit_scale"


class ZeroShotGate:
    """The image tower, and the prompts' vectors; the text tower is gone once they are made."""

    def __init__(self, stage: Gate, model: LocatedModel, context: LoadContext) -> None:
        self._context = context
        self._pads = stage.resize == "pad"
        config = _config(model)
        side = config.vision_config.image_size
        default = Preprocessing(side, side, MEAN, STD, shorter_side=side)
        self._preprocessing = Preprocessing.read(model.file("preprocessor_config.json"), default)
        size = (self._preprocessing.height, self._preprocessing.width)
        if size != (side, side):
            raise UnusableWeights(
                f"{model.requirement.name!r} takes {side} pixels a side, "
                f"but its preprocessor_config.json makes {size[0]} x {size[1]}"
            )
        weights = read_weights(*model.weights)
        if unknown := [k for k in weights if not k.startswith((*_VISION, *_TEXT, _SCALE))]:
            raise UnusableWeights(
                f"{unknown[0]} in {model.requirement.name!r} is no weight of CLIP"
            )
        if _SCALE not in weights:
            raise UnusableWeights(f"the weights of {model.requirement.name!r} lack {_SCALE}")
        self._prompts = math.exp(float(weights[_SCALE])) * _unit(
            _embed_texts((*stage.positive, *stage.negative), model, config, weights)
        ).to(context.device)
        """Prompts x dimensions, float32, of the length of the scale."""
        self._positive = len(stage.positive)
        network = fit_pretrained(
            CLIPVisionModelWithProjection,
            config.vision_config,
            _part(weights, _VISION),
            model.requirement.name,
        )
        example = {"pixel_values": torch.zeros(1, 3, *size)}
        self.network = place(network, context, example)

    def prepare(self, picture: Picture) -> Picture:
        """The pixels of the network's input; callable on any thread."""
        if self._pads:
            return padded(picture, self._preprocessing)
        return self._preprocessing.pixels(picture)

    @torch.inference_mode()
    def scores(self, pixels: Sequence[Picture]) -> list[float]:
        """The share of the positive prompts in the softmax over all, 0 to 1."""
        scores: list[float] = []
        for start in range(0, len(pixels), AT_ONCE):
            part = pixels[start : start + AT_ONCE]
            mean, std = self._preprocessing.mean, self._preprocessing.std
            batch = pixels_to_batch(part, mean, std, self._context)
            vectors = _unit(self.network(pixel_values=batch).image_embeds.to(torch.float32))
            shares = (vectors @ self._prompts.T).softmax(dim=1)
            # Rounding can make the sum of shares a little more than all of it.
            scores += shares[:, : self._positive].sum(dim=1).clamp(max=1.0).tolist()
        return scores

    def memory_bytes(self) -> int:
        return memory_of(self.network) + self._prompts.nbytes


def load_gate(pipeline: Pipeline, context: LoadContext) -> ZeroShotGate | None:
    """The gate that the manifest has, one for all operations; None when it has none.

    Raises UnusableWeights when it was calibrated with other weights.
    """
    stage = pipeline.manifest.gate
    if stage is None:
        return None
    model = context.models[ROLE]
    if pipeline.calibration is not None and pipeline.calibration.fingerprint(ROLE) != (
        model.fingerprint
    ):
        raise UnusableWeights(
            f"the gate was calibrated with other weights than those of {model.requirement.name!r} "
            "that are here: calibrate again"
        )

    def build() -> ZeroShotGate:
        return ZeroShotGate(stage, model, context)

    return context.share(ROLE, build)


def _embed_texts(
    texts: Sequence[str],
    model: LocatedModel,
    config: Any,
    weights: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Texts x dimensions, float32; computed on the CPU, once."""
    tokenizer = Tokenizer.from_file(str(model.file("tokenizer.json")))
    tokenizer.enable_truncation(config.text_config.max_position_embeddings)
    tokenizer.no_padding()
    if tokenizer.get_vocab_size() > config.text_config.vocab_size:
        name = model.requirement.name
        raise UnusableWeights(f"the tokenizer.json of {name!r} has more tokens than its model")
    tower: Any = fit_pretrained(
        CLIPTextModelWithProjection,
        config.text_config,
        _part(weights, _TEXT),
        model.requirement.name,
    )
    tower.eval()
    with torch.inference_mode():
        rows = [
            tower(input_ids=torch.tensor([tokenizer.encode(text).ids])).text_embeds[0]
            for text in texts
        ]
    return torch.stack(rows).to(torch.float32)


def _config(model: LocatedModel) -> Any:
    # Its parts are typed as dicts, which they never are.
    config: Any = CLIPConfig.from_dict(read_config(model, ["clip"]))
    # Older files say it here only, and each tower looks for it in its own part.
    config.vision_config.projection_dim = config.projection_dim
    config.text_config.projection_dim = config.projection_dim
    return config


def _part(weights: dict[str, torch.Tensor], prefixes: tuple[str, ...]) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in weights.items() if key.startswith(prefixes)}


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows, dim=1)
