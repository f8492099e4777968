"""The detector: torchvision's own boxes, the one that is chosen, and what becomes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from opsin import Box, EmbeddingParams, Item, OperationFailed, Picture
from opsin.core.contract import SharedKey
from opsin.core.neural import UnusableWeights
from opsin.plugins.cetacean.results import EMBED, IDENTIFY, CetaceanRejection
from opsin.plugins.cetacean.runner.detector import chosen
from opsin.plugins.cetacean.stages import Detector
from tests.plugins.cetacean.making import (
    asked,
    load,
    manifest,
    pictures,
    randomized,
    save_embedder,
)
from tests.plugins.running import Shared, difference, embeddings, results

pytestmark = pytest.mark.timeout(600)

ARCHITECTURE = "ssdlite320_mobilenet_v3_large"
CLASSES = ("background", "whale", "boat", "dolphin")
BOX = Box(x_min=20, y_min=30, x_max=90, y_max=80)


def table(**more: Any) -> dict[str, Any]:
    return {
        "architecture": ARCHITECTURE,
        "model": {"folder": "."},
        "classes": CLASSES,
        "keep": ["whale", "dolphin"],
        "min_score": 0.2,
        **more,
    }


def network() -> Any:
    """With scores above any threshold: the weights are random."""
    made = torchvision.models.get_model(
        ARCHITECTURE, weights=None, weights_backbone=None, num_classes=len(CLASSES)
    )
    return randomized(made, seed=3)


def stage(**more: Any) -> Detector:
    return Detector.model_validate({**table(), "keep": ("whale",), **more})


# --- the choice -----------------------------------------------------------------------------------

PICTURE = np.zeros((100, 120, 3), np.uint8)
SMALL, LARGE, OUTSIDE = (10.0, 10.0, 30.0, 20.0), (5.5, 5.5, 60.2, 70.9), (100.0, 90.0, 130.0, 99.0)


@pytest.mark.parametrize(
    ("more", "found", "expected"),
    [
        ({}, [(SMALL, 1, 0.9), (LARGE, 1, 0.8)], (10, 10, 30, 20)),
        ({"choose": "area"}, [(SMALL, 1, 0.9), (LARGE, 1, 0.8)], (5, 5, 61, 71)),
        ({"choose": "area"}, [(SMALL, 1, 0.9), (LARGE, 2, 0.8)], (10, 10, 30, 20)),
        ({"keep": ("boat",)}, [(SMALL, 1, 0.9), (LARGE, 2, 0.8)], (5, 5, 61, 71)),
        ({"min_score": 0.85}, [(SMALL, 1, 0.9), (LARGE, 1, 0.8)], (10, 10, 30, 20)),
        ({"min_score": 0.95}, [(SMALL, 1, 0.9), (LARGE, 1, 0.8)], None),
        ({}, [], None),
        ({"margin": 0.5}, [(SMALL, 1, 0.9)], (0, 5, 40, 25)),
        ({}, [(OUTSIDE, 1, 0.9)], (100, 90, 120, 99)),
    ],
    ids=["surest", "largest", "largest kept", "class", "sure", "none", "empty", "margin", "edge"],
)
def test_the_box_that_is_chosen(
    more: dict[str, Any], found: list[Any], expected: tuple[int, ...] | None
) -> None:
    asked_for = stage(**more)
    labels = frozenset(CLASSES.index(name) for name in asked_for.keep)
    boxes, numbers, scores = zip(*found, strict=True) if found else ((), (), ())
    region = chosen(boxes, numbers, scores, labels, asked_for, PICTURE)
    assert (region and tuple(region.box.model_dump().values())) == expected


# --- the network ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(network().state_dict(), tmp_path / "detector.safetensors")
    save_embedder(tmp_path)
    return tmp_path


def plain_region(picture: Picture) -> Any:
    with torch.inference_mode():
        (found,) = network()([torch.from_numpy(picture).permute(2, 0, 1).float() / 255])
    kept = frozenset((1, 3))
    told = (found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist())
    return chosen(*told, kept, stage(), picture)


def test_the_box_is_embedded(folder: Path) -> None:
    shared = Shared()
    with_detector = load(manifest(folder, detector=table()), EMBED, shared)
    given = pictures(4, seed=5)
    regions = [plain_region(picture) for picture in given]
    assert any(regions), "nothing was detected"
    found = results(with_detector, [Item(p, EmbeddingParams()) for p in given])
    without = load(manifest(folder), EMBED)
    for picture, region, one in zip(given, regions, found, strict=True):
        assert one.region == (region.box if region else None)
        assert one.note == (None if region else "no animal was detected, the whole image was used")
        box = region.box if region else Box(x_min=0, y_min=0, x_max=10**6, y_max=10**6)
        part = picture[box.y_min : box.y_max, box.x_min : box.x_max].copy()
        assert difference([one.vector], embeddings(without, [part])) < 1e-4
    keys = [key for key in shared.models if isinstance(key, SharedKey)]
    assert len(keys) == 2
    assert found[0].model_fingerprint not in [key.fingerprint for key in keys], "it is of both"


def test_nothing_detected_is_rejected_if_the_manifest_says_so(folder: Path) -> None:
    weights = network().state_dict()
    for key, tensor in weights.items():
        if "classification_head" in key and tensor.is_floating_point():
            tensor.zero_()  # all classes are equally likely
    save_file(weights, folder / "detector.safetensors")
    never = table(min_score=0.5, otherwise="reject")
    (picture,) = pictures(1)
    runner = load(manifest(folder, detector=never), IDENTIFY)
    (found,) = results(runner, [Item(picture, asked())])
    assert found.rejected and found.rejection_reason is CetaceanRejection.NOT_A_MARINE_MAMMAL
    assert (found.box, found.individual, found.candidates) == (None, None, ())
    assert (found.is_cetacean, found.cetacean_score) == (False, None)
    embedding = load(manifest(folder, detector=never), EMBED)
    with pytest.raises(OperationFailed, match="no animal was detected"):
        embeddings(embedding, [picture])


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (3, 5000)])
def test_strips_and_single_pixels(folder: Path, shape: tuple[int, int]) -> None:
    runner = load(manifest(folder, detector=table()), EMBED)
    good = pictures(1)[0]
    strip = np.full((*shape, 3), 90, np.uint8)
    (alone,) = embeddings(runner, [good])
    together = embeddings(runner, [good, strip, good])
    assert difference([together[0], together[2]], [alone, alone]) < 1e-5


def test_weights_with_frozen_batch_norms(folder: Path) -> None:
    """What was trained on from pretrained weights has no counters of batches."""
    weights = {k: t for k, t in network().state_dict().items() if "num_batches" not in k}
    given = pictures(3, seed=5)
    before = embeddings(load(manifest(folder, detector=table()), EMBED), given)
    save_file(weights, folder / "detector.safetensors")
    after = embeddings(load(manifest(folder, detector=table()), EMBED), given)
    assert difference(after, before) < 1e-4
    changed = table(batch_norm_epsilon=0.3)
    other = embeddings(load(manifest(folder, detector=changed), EMBED), given)
    assert difference(other, before) > 1e-3


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"architecture": "yolo_v5"}, "torchvision has no detector 'yolo_v5'; it has "),
        ({"min_size": 320, "max_size": 320}, "takes no min_size and max_size"),
        ({"classes": CLASSES[:2], "keep": ["whale"]}, "do not fit SSD"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UnusableWeights, match=complaint):
        load(manifest(folder, detector=table(**more)), EMBED)
