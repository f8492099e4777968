"""torchvision's detectors built as torchvision builds them with its COCO weights, from our file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torchvision.models import detection
from torchvision.ops.misc import FrozenBatchNorm2d

from opsin import LoadContext, Precision
from opsin.core.neural import fit_weights, input_dtype, place, read_weights

# Without its own download torchvision leaves the BatchNorm2d of these unfrozen and with another
# epsilon, which computes something else with the same weights.
_FROZEN_EPSILON: Mapping[str, float] = MappingProxyType(
    {
        "fasterrcnn_resnet50_fpn": 0.0,
        "fasterrcnn_mobilenet_v3_large_fpn": 1e-5,
        "fasterrcnn_mobilenet_v3_large_320_fpn": 1e-5,
        "retinanet_resnet50_fpn": 0.0,
        "fcos_resnet50_fpn": 1e-5,
    }
)


def build_network(architecture: str, path: Path, floor: float) -> Any:
    """The network of that name with the weights of the file; drops scores up to `floor`.

    Raises UnusableWeights.
    """
    network = getattr(detection, architecture)(weights=None, weights_backbone=None)
    if architecture in _FROZEN_EPSILON:
        _freeze(network, _FROZEN_EPSILON[architecture])
    fit_weights(network, read_weights(path), path.name)
    scoring = network.roi_heads if hasattr(network, "roi_heads") else network
    scoring.score_thresh = floor
    return network


def place_network(network: Any, context: LoadContext) -> Any:
    """The network on the device; only its backbone computes in the precision that is asked for.

    Boxes are pixels, for which half precision is too coarse: beyond 256 bfloat16 knows even ones.
    """
    backbone = place(network.backbone, context)
    del network.backbone
    exact = replace(context.acceleration, precision=Precision.FLOAT32, compile=False)
    network = place(network, replace(context, acceleration=exact))
    network.backbone = _Backbone(backbone, input_dtype(context))
    return network


class _Backbone(torch.nn.Module):
    """A backbone of another precision: images in and features out are float32."""

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.network(images.to(self.dtype))
        return {name: feature.to(torch.float32) for name, feature in features.items()}


def _freeze(module: torch.nn.Module, epsilon: float) -> None:
    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=epsilon))
        else:
            _freeze(child, epsilon)
