"""Operations for timing the Ray engine: one that does nothing, one that waits, a real network."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opsin.core.contract import Item, LoadContext, Operation, Params, Result, Runner
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost, PluginInfo, RegisteredOperation

PLUGIN = PluginInfo("bench", "1", None, "bench.ray_operations", False, ())
DEVICE_SECONDS = 0.05
"""Of one batch of `wait`, whatever its size: a device that computes while the processor is free."""


class Number(Result):
    value: float


class _Timed(Operation[Params, Number]):
    version = "1"
    description = "Timed."
    result = Number
    deterministic = False

    def __init__(self, max_batch: int) -> None:
        self.max_batch = max_batch


class Nothing(_Timed):
    name = "nothing"

    def load(self, context: LoadContext) -> Runner[Params, Number]:
        return NothingRunner(self.max_batch)


class NothingRunner(Runner[Params, Number]):
    def __init__(self, max_batch: int) -> None:
        self.max_batch = max_batch

    def run(self, batch: Sequence[Item[Params]]) -> Sequence[Number]:
        return [Number(value=float(item.picture[0, 0, 0])) for item in batch]


class Wait(_Timed):
    name = "wait"

    def load(self, context: LoadContext) -> Runner[Params, Number]:
        return WaitRunner(self.max_batch)


class WaitRunner(NothingRunner):
    def run(self, batch: Sequence[Item[Params]]) -> Sequence[Number]:
        time.sleep(DEVICE_SECONDS)
        return super().run(batch)


class Network(_Timed):
    """torchvision's ResNet-18 with drawn weights, on one thread, at 224 pixels."""

    name = "network"
    requires = ("torch", "torchvision")

    def load(self, context: LoadContext) -> Runner[Params, Number]:
        import torch
        from torchvision.models import resnet18

        torch.set_num_threads(1)
        torch.manual_seed(0)
        return NetworkRunner(self.max_batch, resnet18(weights=None).eval().to(context.device))


class NetworkRunner(Runner[Params, Number]):
    def __init__(self, max_batch: int, network: Any) -> None:
        self.max_batch = max_batch
        self.network = network

    def prepare(self, item: Item[Params]) -> Any:
        import numpy as np
        import torch
        from PIL import Image

        small = np.asarray(Image.fromarray(item.picture).resize((224, 224)), np.float32)
        return torch.from_numpy(small / 255).permute(2, 0, 1)

    def run(self, batch: Sequence[Any]) -> Sequence[Number]:
        import torch

        with torch.inference_mode():
            found = self.network(torch.stack(list(batch)))
        return [Number(value=float(one[0])) for one in found]


def open_bench(folder: Path, max_batch: int) -> tuple[PluginHost, ModelStore]:
    """The plugin host of every process that takes part."""
    operations = [kind(max_batch) for kind in (Nothing, Wait, Network)]
    registered = {one.name: RegisteredOperation(PLUGIN, one) for one in operations}
    return PluginHost([PLUGIN], registered), ModelStore(folder)
