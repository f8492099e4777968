"""The detector: where in a picture the animal is, by a detection network of torchvision."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from opsin import Box, LoadContext, LocatedModel, Picture, Region
from opsin.core.neural import UnusableWeights, fit_weights, memory_of, read_weights
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.stages import Detector

ROLE = "detector"


class AnimalDetector:
    """Finds one box a picture; always in float32, for its boxes decide what is embedded."""

    def __init__(self, stage: Detector, model: LocatedModel, device: str) -> None:
        self._stage = stage
        self._device = device
        self._labels = frozenset(stage.classes.index(name) for name in stage.keep)
        weights = read_weights(*model.paths)
        network = _built(stage, weights, model.requirement.name)
        self.network: Any = network.requires_grad_(False).eval().to(device)

    @torch.inference_mode()
    def find(self, pictures: Sequence[Picture]) -> list[Region | None]:
        """The chosen box of each picture, with its margin, clipped; None where there is none.

        Pictures go one by one: in a batch they are padded to the largest, which changes boxes.
        """
        return [self._find(picture) for picture in pictures]

    def memory_bytes(self) -> int:
        return memory_of(self.network)

    def _find(self, picture: Picture) -> Region | None:
        if self._vanishes(*picture.shape[:2]):
            return None
        image = torch.from_numpy(picture.copy()).to(self._device).permute(2, 0, 1)
        (found,) = self.network([image.to(torch.float32).div_(255).contiguous()])
        return chosen(
            found["boxes"].tolist(),
            found["labels"].tolist(),
            found["scores"].tolist(),
            self._labels,
            self._stage,
            picture,
        )

    def _vanishes(self, height: int, width: int) -> bool:
        """Whether nothing is left of so thin a strip when the network scales it."""
        transform = self.network.transform
        if transform.fixed_size is not None:
            return False
        shorter, longer = min(height, width), max(height, width)
        scale: float = min(transform.min_size[-1] / shorter, transform.max_size / longer)
        return math.floor(shorter * scale) < 1


def chosen(
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
    scores: Sequence[float],
    wanted: frozenset[int],
    stage: Detector,
    picture: Picture,
) -> Region | None:
    """The box that the stage asks for; of equal ones the first.

    Boxes are x_min, y_min, x_max, y_max in pixels.
    """
    height, width = picture.shape[:2]
    found = [
        (score, (box[2] - box[0]) * (box[3] - box[1]), box)
        for box, label, score in zip(boxes, labels, scores, strict=True)
        if label in wanted and score >= stage.min_score
    ]
    if not found:
        return None
    if stage.choose == "score":
        score, _, box = max(found, key=lambda one: one[0])
    else:
        score, _, box = max(found, key=lambda one: one[1])
    across, down = (stage.margin * (box[axis + 2] - box[axis]) for axis in (0, 1))
    widened = Box(
        x_min=math.floor(box[0] - across),
        y_min=math.floor(box[1] - down),
        x_max=math.ceil(box[2] + across),
        y_max=math.ceil(box[3] + down),
    ).clipped(width, height)
    return None if widened.is_empty else Region(widened, min(float(score), 1.0))


def load_detector(pipeline: Pipeline, context: LoadContext) -> AnimalDetector | None:
    """The manifest's detector, one for all operations; None when it has none."""
    stage = pipeline.manifest.detector
    if stage is None:
        return None
    model = context.models[ROLE]

    def build() -> AnimalDetector:
        return AnimalDetector(stage, model, context.device)

    return context.share(ROLE, build)


def _built(stage: Detector, weights: dict[str, torch.Tensor], name: str) -> Any:
    known = torchvision.models.list_models(module=torchvision.models.detection)
    if stage.architecture not in known:
        raise UnusableWeights(
            f"torchvision has no detector {stage.architecture!r}; it has {', '.join(known)}"
        )
    sizes = {"min_size": stage.min_size, "max_size": stage.max_size}
    given = {key: value for key, value in sizes.items() if value is not None}
    try:
        network: nn.Module = torchvision.models.get_model(
            stage.architecture,
            weights=None,
            weights_backbone=None,
            num_classes=len(stage.classes),
            **given,
        )
    except TypeError as error:
        raise UnusableWeights(
            f"torchvision's {stage.architecture} takes no min_size and max_size"
        ) from error
    if not any(key.endswith("num_batches_tracked") for key in weights):
        _freeze_batch_norms(network)
    if stage.batch_norm_epsilon is not None:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
                module.eps = stage.batch_norm_epsilon
    return fit_weights(network, weights, name)


def _freeze_batch_norms(network: nn.Module) -> None:
    """As torchvision builds what starts from pretrained weights; such weights have no counters."""
    for module in list(network.modules()):
        for key, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, key, FrozenBatchNorm2d(child.num_features, eps=child.eps))
