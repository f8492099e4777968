"""The region finders' models: Faster R-CNN for persons, MTCNN for faces."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import detect_face
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d

from opsin import Box, Item, Params, Picture, Region, Runner
from opsin.core.neural import fit_weights, read_weights

PERSON = 1
"""The label of a person among the 91 of COCO, as torchvision numbers them."""
SHORT_SIDE, LONG_SIDE, SIDE_STEP = 800, 1333, 32
"""Pixels; Faster R-CNN scales a picture to the first or second, then pads it to the third."""
SMALLEST_FACE = 20
"""Pixels; MTCNN's pyramid has no level for a picture with a shorter side."""
FACE_THRESHOLDS = (0.6, 0.7, 0.7)
FACE_PYRAMID_FACTOR = 0.709
FACE_PIXELS_AT_ONCE = 8_000_000
"""MTCNN's first stage holds about 100 bytes a pixel; more pictures are taken in turns."""

Network = TypeVar("Network", bound=torch.nn.Module)


def region_of(box: Sequence[float], score: float, width: int, height: int) -> Region | None:
    """The region for a detector's box x_min, y_min, x_max, y_max: truncated toward zero, clipped.

    None when nothing is left; no second candidate is tried.
    """
    x_min, y_min, x_max, y_max = (int(side) for side in box)
    whole = Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
    clipped = whole.clipped(width, height)
    if whole.is_empty or clipped.is_empty:
        return None
    return Region(clipped, min(float(score), 1.0))


def prominent_person(
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
    scores: Sequence[float],
    width: int,
    height: int,
) -> Region | None:
    """The person with the highest score, the first of equal ones: certain, not large."""
    persons = [index for index, label in enumerate(labels) if label == PERSON]
    if not persons:
        return None
    best = max(persons, key=scores.__getitem__)
    return region_of(boxes[best], scores[best], width, height)


def prominent_face(faces: Sequence[Sequence[float]], width: int, height: int) -> Region | None:
    """The face (box and probability) of the highest probability, the largest of equal ones."""
    if not faces:
        return None
    x_min, y_min, x_max, y_max, probability = max(
        faces, key=lambda face: (face[4], (face[2] - face[0]) * (face[3] - face[1]))
    )
    return region_of((x_min, y_min, x_max, y_max), probability, width, height)


def _ready(network: Network, path: Path, device: str) -> Network:
    """The network with the weights of the file, ready to run on the device."""
    network = fit_weights(network, read_weights(path), path.name)
    return network.requires_grad_(False).eval().to(device)


def person_detector(path: Path, device: str, score_threshold: float) -> FasterRCNN:
    """torchvision's `fasterrcnn_resnet50_fpn` with weights COCO_V1, from our own file.

    Not built by that function: without its own download it takes a BatchNorm2d with another
    epsilon, and then computes something else with these same weights.
    """
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d
    )
    model = FasterRCNN(
        backbone,
        num_classes=91,
        min_size=SHORT_SIDE,
        max_size=LONG_SIDE,
        box_score_thresh=score_threshold,
    )
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return _ready(model, path, device)


@dataclass(frozen=True, slots=True)
class PreparedPerson:
    """A picture, writable as PyTorch demands, and the size its network input will have."""

    picture: Picture
    input_size: tuple[int, int]


class PersonRunner(Runner[Params, Region | None]):
    """Faster R-CNN on whole pictures."""

    max_batch = 8

    def __init__(self, path: Path, device: str, score_threshold: float) -> None:
        self.device = device
        self.model = person_detector(path, device, score_threshold)

    def prepare(self, item: Item[Params]) -> PreparedPerson:
        height, width = item.picture.shape[:2]
        scale = min(SHORT_SIDE / min(height, width), LONG_SIDE / max(height, width))
        rows, columns = (
            math.ceil(math.floor(side * scale) / SIDE_STEP) for side in (height, width)
        )
        input_size = (rows * SIDE_STEP, columns * SIDE_STEP)
        return PreparedPerson(item.picture.copy(), input_size)

    def batch_key(self, prepared: PreparedPerson) -> Hashable:
        # Pictures of other sizes would be padded to the largest, and padding changes the numbers.
        return prepared.input_size

    @torch.inference_mode()
    def run(self, batch: Sequence[PreparedPerson]) -> Sequence[Region | None]:
        if min(batch[0].input_size) == 0:
            return [None] * len(batch)  # a strip so thin that nothing is left of it at this scale
        images = [
            torch.from_numpy(prepared.picture)
            .to(self.device, non_blocking=True)
            .permute(2, 0, 1)
            .to(torch.float32, memory_format=torch.contiguous_format)
            .div_(255)
            for prepared in batch
        ]
        return [
            prominent_person(
                found["boxes"].tolist(),
                found["labels"].tolist(),
                found["scores"].tolist(),
                image.shape[2],
                image.shape[1],
            )
            for found, image in zip(self.model(images), images, strict=True)
        ]

    def close(self) -> None:
        del self.model


class FaceRunner(Runner[Params, Region | None]):
    """MTCNN on the searched part of a picture; the networks are those of facenet-pytorch."""

    max_batch = 16

    def __init__(self, paths: Sequence[Path], device: str) -> None:
        self.device = device
        networks = (PNet(pretrained=False), RNet(pretrained=False), ONet(pretrained=False))
        self.networks = [
            _ready(network, path, device) for network, path in zip(networks, paths, strict=True)
        ]

    def prepare(self, item: Item[Params]) -> Picture:
        return item.picture

    def batch_key(self, prepared: Picture) -> Hashable:
        return prepared.shape

    @torch.inference_mode()
    def run(self, batch: Sequence[Picture]) -> Sequence[Region | None]:
        height, width = batch[0].shape[:2]
        if min(height, width) < SMALLEST_FACE:
            return [None] * len(batch)
        return [
            prominent_face(faces.tolist(), width, height)
            for part in _turns(batch, FACE_PIXELS_AT_ONCE // (height * width))
            for faces in detect_face(
                torch.from_numpy(np.stack(part)),
                SMALLEST_FACE,
                *self.networks,
                FACE_THRESHOLDS,
                FACE_PYRAMID_FACTOR,
                self.device,
            )[0]
        ]

    def close(self) -> None:
        self.networks.clear()


def _turns(batch: Sequence[Picture], size: int) -> Iterator[Sequence[Picture]]:
    for start in range(0, len(batch), max(size, 1)):
        yield batch[start : start + max(size, 1)]
