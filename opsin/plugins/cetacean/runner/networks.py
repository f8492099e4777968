"""The embedder's network: a backbone of timm or transformers, its pooling and its neck."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import timm
import torch
from torch import nn

from opsin.core.neural import UnusableWeights, fit_pretrained, fit_weights
from opsin.plugins.cetacean.stages import Embedder

Weights: TypeAlias = Mapping[str, torch.Tensor]
Extract: TypeAlias = Callable[[Any], Sequence[torch.Tensor]]
"""From what a backbone gives to the maps (batch x channels x height x width) or vectors wanted."""

BACKBONE, POOL, NECK = "backbone.", "pool.", "neck."


class GeneralizedMean(nn.Module):
    """GeM: the power mean of each channel, batch x channels x height x width to batch x channels.

    F. Radenović, G. Tolias, O. Chum, Fine-tuning CNN image retrieval with no human annotation,
    IEEE Transactions on Pattern Analysis and Machine Intelligence 41(7), 2019.
    """

    def __init__(self, power: float | None, epsilon: float) -> None:
        super().__init__()
        self.p: nn.Parameter | float = nn.Parameter(torch.ones(1)) if power is None else power
        self.epsilon = epsilon

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        # In float32 also where the network is not: powers of small numbers vanish.
        powered = maps.to(torch.float32).clamp(min=self.epsilon).pow(self.p)
        return powered.mean(dim=(2, 3)).pow(1.0 / self.p).to(maps.dtype)


class Average(nn.Module):
    """The mean of each channel."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean(dim=(2, 3))


class EmbeddingNetwork(nn.Module):
    """Pictures, batch x 3 x height x width, to vectors, batch x dimensions."""

    def __init__(self, backbone: nn.Module, extract: Extract, pool: nn.Module, neck: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.neck = neck
        self._extract = extract

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found = self._extract(self.backbone(pixels))
        pooled = [pool(one) for pool, one in zip(self.pool.children(), found, strict=True)]
        vectors: torch.Tensor = self.neck(torch.cat(pooled, dim=1))
        return vectors


def build_network(stage: Embedder, weights: Weights, config: Path | None, name: str) -> nn.Module:
    """The network with these weights, all of them and no others, float32, on the CPU.

    `config` is the config.json of transformers; `name` is for messages.  Raises UnusableWeights.
    """
    named = renamed(weights, stage, name)
    strange = [key for key in named if not key.startswith((BACKBONE, POOL, NECK))]
    if strange:
        raise UnusableWeights(
            f"{strange[0]} among the weights of {name!r} is none of {BACKBONE}, {POOL} and {NECK}: "
            "see `keys` and `ignore` of the embedder"
        )
    own = _part(named, BACKBONE)
    if stage.source == "timm":
        backbone, extract = _timm(stage, own, name)
    else:
        assert config is not None  # one of the stage's files
        backbone, extract = _transformers(stage, own, config, name)
    pool = fit_weights(_pool(stage), _part(named, POOL), f"{name}, pooling")
    neck = fit_weights(_neck(stage, named, name), _part(named, NECK), f"{name}, neck")
    return EmbeddingNetwork(backbone, extract, pool, neck)


def renamed(weights: Weights, stage: Embedder, name: str) -> dict[str, torch.Tensor]:
    """The weights under our names: the longest beginning that `keys` has is replaced.

    Raises UnusableWeights for two weights of one name, and for a beginning that none has.
    """
    prefixes = sorted(stage.keys, key=len, reverse=True)
    unused = set(stage.keys)
    named: dict[str, torch.Tensor] = {}
    for key, tensor in weights.items():
        if key.startswith(stage.ignore):
            continue
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), None)
        new = key
        if prefix is not None:
            unused.discard(prefix)
            new = stage.keys[prefix] + key.removeprefix(prefix)
        if new in named:
            raise UnusableWeights(f"two weights of {name!r} would be called {new}")
        named[new] = tensor
    if unused:
        raise UnusableWeights(f"no weight of {name!r} begins with {min(unused)!r}, as `keys` says")
    return named


def _timm(stage: Embedder, weights: Weights, name: str) -> tuple[nn.Module, Extract]:
    architecture = stage.architecture or ""
    wanted: dict[str, Any] = {"img_size": stage.height_width} if stage.pass_size else {}
    if stage.stages:
        wanted |= {"features_only": True, "out_indices": stage.stages}
    else:
        wanted["num_classes"] = 0
        if stage.pooling != "model":
            wanted["global_pool"] = ""
    try:
        backbone: nn.Module = timm.create_model(architecture, pretrained=False, **wanted)
    except Exception as error:  # whatever an architecture leads timm to
        raise UnusableWeights(f"timm cannot build {architecture!r} as asked: {error}") from error
    fitted = fit_weights(backbone, weights, name)
    if stage.pooling == "model":
        return fitted, lambda found: [found]
    channels_last = str(getattr(backbone, "output_fmt", "NCHW")).endswith("NHWC")

    def extract(found: Any) -> Sequence[torch.Tensor]:
        maps = [found] if isinstance(found, torch.Tensor) else found
        return [_checked(one.permute(0, 3, 1, 2) if channels_last else one) for one in maps]

    return fitted, extract


def _transformers(
    stage: Embedder, weights: Weights, config_file: Path, name: str
) -> tuple[nn.Module, Extract]:
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    told = json.loads(config_file.read_text("utf-8"))
    kind = told.get("model_type")
    # By name only: what a folder brings as code of its own is never looked at.
    if kind not in CONFIG_MAPPING:
        raise UnusableWeights(f"{name!r} is a model of type {kind!r}, which transformers lacks")
    config = CONFIG_MAPPING[kind].from_dict(told)
    network: Any = MODEL_MAPPING[type(config)]
    backbone: nn.Module = fit_pretrained(network, config, weights, name)

    def extract(found: Any) -> Sequence[torch.Tensor]:
        if stage.pooling == "model":
            return [found.pooler_output.flatten(1)]
        if stage.pooling == "cls":
            return [found.last_hidden_state[:, 0]]
        return [_checked(found.last_hidden_state)]

    return backbone, extract


def _pool(stage: Embedder) -> nn.ModuleList:
    count = max(1, len(stage.stages))
    if stage.pooling == "average":
        return nn.ModuleList(Average() for _ in range(count))
    if stage.pooling == "gem":
        power = None if stage.gem_power == "learned" else stage.gem_power
        return nn.ModuleList(GeneralizedMean(power, stage.gem_epsilon) for _ in range(count))
    return nn.ModuleList([nn.Identity()])


def _neck(stage: Embedder, named: Weights, name: str) -> nn.Sequential:
    """Layers of the size that the weights have."""
    layers: list[nn.Module] = []
    for index, kind in enumerate(stage.neck):
        weight = named.get(f"{NECK}{index}.weight")
        if weight is None or weight.dim() != (2 if kind == "linear" else 1):
            raise UnusableWeights(
                f"{NECK}{index}.weight of {name!r} is missing, or not that of a {kind} layer"
            )
        if kind == "linear":
            bias = f"{NECK}{index}.bias" in named
            layers.append(nn.Linear(weight.shape[1], weight.shape[0], bias=bias))
        else:
            layers.append(nn.BatchNorm1d(weight.shape[0]))
    return nn.Sequential(*layers)


def _part(named: Weights, prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): t for k, t in named.items() if k.startswith(prefix)}


def _checked(maps: torch.Tensor) -> torch.Tensor:
    if maps.dim() != 4:
        raise UnusableWeights("this architecture gives no feature maps: set pooling to 'model'")
    return maps
