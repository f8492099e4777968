"""Weights for torchvision's detectors: seeded, of full size, in the published files' format."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torchvision.models import get_model, get_model_weights

from opsin import Acceleration, LoadContext, LocatedModel
from opsin.plugins.bbox.detectors import ROLE, Architecture

# Tests run side by side: with a thread for every core in each, they would wait for one another.
torch.set_num_threads(2)

PERSON, DOG = 1, 18
CLASSES = 91
PLAIN = Acceleration()


def made_weights(architecture: Architecture, folder: Path) -> Path:
    """A file under its published name, so calm that persons and dogs are found everywhere.

    The variances of the normalisations go down to the size of an epsilon, so that a wrong epsilon
    shows; weights undo that, so that the activations stay of one size.
    """
    torch.manual_seed(0)
    state = get_model(architecture.name, weights=None, weights_backbone=None).state_dict()
    for key in list(state):
        stem, _, kind = key.rpartition(".")
        if kind == "running_var":
            state[key].uniform_(-9, 0).exp_()
            state[f"{stem}.weight"].copy_(state[key].sqrt())
        elif kind == "running_mean":
            state[key].normal_(0, 0.1)
    for key, value in state.items():
        if key.startswith("roi_heads.box_predictor.") and key.endswith("weight"):
            value *= 0.03  # or a thousand proposals would be as many opinions
        if value.dim() == 1 and value.shape[0] % CLASSES == 0:  # biases of scores by class
            for label in (PERSON, DOG):
                value[label::CLASSES] += 4
    path = folder / architecture.file
    torch.save(_published(architecture.name, state), path, _use_new_zipfile_serialization=False)
    return path


def _published(name: str, state: dict[str, torch.Tensor]) -> "OrderedDict[str, torch.Tensor]":
    """The weights under the names of their file; the oldest knows no Sequential around a layer."""
    if name != "fasterrcnn_resnet50_fpn":
        return OrderedDict(state)
    layers = re.compile(r"(fpn\.\w+_blocks\.\d)\.0\.|(rpn\.head\.conv)\.0\.0\.")
    return OrderedDict(
        (layers.sub(lambda found: f"{found[1] or found[2]}.", key), value)
        for key, value in state.items()
    )


@contextmanager
def hub_of(folder: Path) -> Iterator[None]:
    """torchvision finds its weights in `folder`/checkpoints instead of downloading them."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(folder))
    try:
        yield
    finally:
        torch.hub.set_dir(before)


def reference(architecture: Architecture, hub: Path) -> Any:
    """What torchvision itself builds for its COCO weights."""
    with hub_of(hub):
        weights = get_model_weights(architecture.name)["COCO_V1"]
        return get_model(architecture.name, weights=weights).eval()


def context_of(
    path: Path,
    architecture: Architecture,
    device: str = "cpu",
    acceleration: Acceleration = PLAIN,
) -> LoadContext:
    """What a runner is loaded with when the architecture's file is there."""
    located = LocatedModel(architecture.requirement, (path,), "0" * 64)
    return LoadContext(device, {ROLE: located}, acceleration)
