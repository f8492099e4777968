"""The one detector in memory: what it finds in pictures, looked for once in each."""

import math
import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from opsin import LoadContext, Picture
from opsin.core.neural import memory_of
from opsin.plugins.bbox.detectors import ROLE, DetectorOptions
from opsin.plugins.bbox.runner.networks import build_network, place_network


@dataclass(frozen=True, slots=True)
class Detections:
    """What is in one picture: boxes x_min, y_min, x_max, y_max in its pixels, the surest first."""

    boxes: list[list[float]]
    labels: list[int]
    scores: list[float]


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """A picture, its pixels writable as PyTorch demands, and the size its input will have."""

    picture: Picture
    pixels: Picture
    input_size: tuple[int, int]


NOTHING = Detections([], [], [])


class Detector:
    """A network of torchvision; `detect` is for the device's thread, `prepare` for any."""

    def __init__(self, network: Any, device: str) -> None:
        self.network = network
        self.device = device
        # A request's person search and its `detect_objects` see the same pixels.
        self._seen: dict[Hashable, tuple[weakref.ref[Picture], Detections]] = {}

    def prepare(self, picture: Picture) -> PreparedPicture:
        return PreparedPicture(picture, picture.copy(), self._input_size(*picture.shape[:2]))

    @torch.inference_mode()
    def detect(self, batch: Sequence[PreparedPicture]) -> list[Detections]:
        """What is in each picture; those of one batch have equal input sizes.

        Pictures of other sizes would be padded to the largest, and padding changes the numbers.
        """
        keys = [_place_of(item.picture) for item in batch]
        new = {key: item for key, item in zip(keys, batch, strict=True) if key not in self._seen}
        if new:
            for key, found in zip(new, self._run(list(new.values())), strict=True):
                self._remember(key, new[key].picture, found)
        return [self._seen[key][1] for key in keys]

    def memory_bytes(self) -> int:
        return memory_of(self.network)

    def _run(self, batch: Sequence[PreparedPicture]) -> list[Detections]:
        if min(batch[0].input_size) == 0:
            # A strip so thin that nothing is left of it at this scale.
            return [NOTHING] * len(batch)
        images = [
            torch.from_numpy(item.pixels)
            .to(self.device, non_blocking=True)
            .permute(2, 0, 1)
            .to(torch.float32, memory_format=torch.contiguous_format)
            .div_(255)
            for item in batch
        ]
        return [
            Detections(found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist())
            for found in self.network(images)
        ]

    def _remember(self, key: Hashable, picture: Picture, found: Detections) -> None:
        """As long as the pixels live, which is as long as somebody may ask again."""
        while isinstance(picture.base, np.ndarray):
            picture = picture.base
        seen = self._seen
        seen[key] = weakref.ref(picture, lambda _: seen.pop(key, None)), found

    def _input_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the network's input: scaled, then padded, as torchvision does it."""
        transform = self.network.transform
        if transform.fixed_size is not None:
            columns, rows = transform.fixed_size
            return rows, columns
        # In float32 as there: a double would round to another row now and then.
        scale = float(
            min(
                np.float32(transform.min_size[-1]) / np.float32(min(height, width)),
                np.float32(transform.max_size) / np.float32(max(height, width)),
            )
        )
        step = transform.size_divisible
        rows, columns = (
            math.ceil(math.floor(side * scale) / step) * step for side in (height, width)
        )
        return rows, columns


def _place_of(picture: Picture) -> Hashable:
    """Where in memory the pixels are: equal for the same pixels, as long as they live."""
    return picture.__array_interface__["data"][0], picture.shape, picture.strides


def shared_detector(context: LoadContext, options: DetectorOptions) -> Detector:
    """The detector that the operator chose, once in memory for all that use it."""
    return context.share(ROLE, partial(_load, context, options))


def _load(context: LoadContext, options: DetectorOptions) -> Detector:
    (path,) = context.models[ROLE].paths
    network = build_network(options.detector.name, path, options.floor)
    return Detector(place_network(network, context), context.device)
