"""Each detector against the one that torchvision builds for its own COCO weights, at full size."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import detection, get_model, get_model_weights, list_models

from opsin import Acceleration, Download, Picture, Precision
from opsin.core.neural import UnusableWeights, read_weights
from opsin.plugins.bbox.coco import CLASSES
from opsin.plugins.bbox.detectors import (
    DEFAULT_DETECTOR,
    DETECTORS,
    Architecture,
    DetectorOptions,
)
from opsin.plugins.bbox.runner.detector import Detector, shared_detector
from opsin.plugins.bbox.runner.networks import build_network
from tests.plugins.detector_weights import context_of, made_weights, reference

# Seconds on a machine of their own; minutes where other processes want the same cores.
pytestmark = pytest.mark.timeout(600)

DEFAULT = DETECTORS[DEFAULT_DETECTOR]


@pytest.fixture(scope="module")
def patches() -> Picture:
    """Coloured squares: small, to spare the processor, with edges for a detector to see."""
    colours = np.random.default_rng(0).integers(0, 256, (4, 24, 3), dtype=np.uint8)
    return np.kron(colours, np.ones((10, 10, 1), np.uint8))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default detector's."""
    return made_weights(DEFAULT, tmp_path_factory.mktemp("models"))


def load(path: Path, architecture: Architecture, **context: Any) -> Detector:
    return shared_detector(context_of(path, architecture, **context), DetectorOptions(architecture))


# --- the choice -----------------------------------------------------------------------------------


def test_every_detector_of_boxes_that_torchvision_has_can_be_chosen() -> None:
    others = {"maskrcnn", "keypointrcnn"}
    names = list_models(module=detection)
    assert set(DETECTORS) == {name for name in names if name.partition("_")[0] not in others}


@pytest.mark.parametrize("architecture", DETECTORS.values(), ids=lambda chosen: chosen.name)
def test_weights_are_those_that_torchvision_publishes(architecture: Architecture) -> None:
    published = get_model_weights(architecture.name)["COCO_V1"]
    origin = architecture.requirement.origin
    assert isinstance(origin, Download)
    assert origin.url == published.url
    assert published.url.endswith(f"/{origin.file}")
    assert origin.file.endswith(f"-{origin.sha256_prefix}.pth")
    size = architecture.requirement.size_bytes
    assert size is not None
    assert size / 2**20 == pytest.approx(published.meta["_file_size"], abs=1e-3)
    names = dict(enumerate(published.meta["categories"]))
    del names[0]  # the background
    assert {number: name for number, name in names.items() if name != "N/A"} == CLASSES


def test_no_two_weights_have_one_name() -> None:
    names = {architecture.requirement.name for architecture in DETECTORS.values()}
    assert len(names) == len(DETECTORS)
    assert DEFAULT.requirement.name == "fasterrcnn_resnet50_fpn_coco"


# --- the same as torchvision's --------------------------------------------------------------------


@pytest.mark.parametrize("architecture", DETECTORS.values(), ids=lambda chosen: chosen.name)
def test_a_detector_finds_what_torchvision_finds(
    architecture: Architecture, patches: Picture, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").mkdir()
    path = made_weights(architecture, tmp_path / "checkpoints")
    image = torch.from_numpy(patches).permute(2, 0, 1) / 255
    with torch.no_grad():
        (expected,) = reference(architecture, tmp_path)([image])
    detector = load(path, architecture)
    (found,) = detector.detect([detector.prepare(patches.copy())])
    assert len(found.scores) > 20
    assert min(found.scores) > architecture.floor
    assert found.labels == expected["labels"].tolist()
    np.testing.assert_allclose(found.boxes, expected["boxes"].numpy(), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected["scores"].numpy(), rtol=1e-4)


@pytest.mark.parametrize("architecture", DETECTORS.values(), ids=lambda chosen: chosen.name)
def test_the_input_size_is_that_of_torchvision(architecture: Architecture, tmp_path: Path) -> None:
    """Pictures share a batch by this size, and no padding may differ inside a batch."""
    network = get_model(architecture.name, weights=None, weights_backbone=None)
    detector = Detector(network, "cpu")
    sizes = np.random.default_rng(1).integers(1, 400, (40, 2)).tolist()
    for height, width in [(600, 512), (598, 512), (1, 1), (33, 900), (900, 33), *sizes]:
        key = detector.prepare(np.zeros((height, width, 3), np.uint8)).input_size
        if min(key) > 0:
            images, _ = network.transform([torch.zeros(3, height, width)])
            assert key == tuple(images.tensors.shape[-2:])


def test_a_lower_floor_only_adds_weaker_boxes(weights: Path, patches: Picture) -> None:
    options = DetectorOptions(DEFAULT, person_score_threshold=0.01)
    lower = shared_detector(context_of(weights, DEFAULT), options)
    plain = load(weights, DEFAULT)
    (more,) = lower.detect([lower.prepare(patches)])
    (found,) = plain.detect([plain.prepare(patches)])
    assert lower.network.roi_heads.score_thresh == 0.01
    kept = [score for score in more.scores if score > DEFAULT.floor]
    assert kept == found.scores
    assert more.boxes[: len(kept)] == found.boxes


# --- one forward for all who ask ------------------------------------------------------------------


def test_a_picture_is_looked_at_once_as_long_as_it_lives(weights: Path, patches: Picture) -> None:
    detector = load(weights, DEFAULT)
    sizes: list[int] = []
    detector.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    one, other = patches.copy(), patches[:, ::-1].copy()
    first = detector.detect([detector.prepare(one), detector.prepare(one)])
    again = detector.detect([detector.prepare(other), detector.prepare(one[:, :])])  # a view of it
    assert sizes == [1, 1]
    assert first[0] == first[1] == again[1] != again[0]
    del one
    detector.detect([detector.prepare(other[:, 40:]), detector.prepare(other[:, :200])])
    assert sizes == [1, 1, 2]
    del other
    assert detector._seen == {}


def test_a_strip_too_thin_for_the_network_shows_nothing(weights: Path) -> None:
    detector = load(weights, DEFAULT)
    (found,) = detector.detect([detector.prepare(np.zeros((1, 3000, 3), np.uint8))])
    assert (found.boxes, found.labels, found.scores) == ([], [], [])


# --- acceleration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acceleration", "cosine"),
    [
        (Acceleration(channels_last=True), 1 - 1e-6),
        (Acceleration(precision=Precision.BFLOAT16, channels_last=True), 0.999),
    ],
    ids=["channels_last", "bfloat16"],
)
def test_an_accelerated_backbone_sees_the_same(
    weights: Path, patches: Picture, acceleration: Acceleration, cosine: float
) -> None:
    plain, faster = (
        load(weights, DEFAULT, acceleration=how) for how in (Acceleration(), acceleration)
    )
    assert faster.memory_bytes() <= plain.memory_bytes()
    image = torch.from_numpy(patches).permute(2, 0, 1)[None] / 255 - 0.5
    with torch.inference_mode():
        expected, found = plain.network.backbone(image), faster.network.backbone(image)
    for name, feature in expected.items():
        assert found[name].dtype is torch.float32
        assert torch.cosine_similarity(found[name].flatten(), feature.flatten(), 0) > cosine
    (there,) = plain.detect([plain.prepare(patches)])
    (here,) = faster.detect([faster.prepare(patches)])
    assert here.scores[0] == pytest.approx(there.scores[0], abs=0.02)


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_weights_that_do_not_fit_are_refused(weights: Path, tmp_path: Path, change: str) -> None:
    state = read_weights(weights)
    if change == "missing":
        del state["rpn.head.cls_logits.bias"]
    elif change == "unexpected":
        state["rpn.head.more.bias"] = torch.zeros(1)
    else:
        state["rpn.head.cls_logits.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(UnusableWeights, match=r"odd\.pth' do not fit FasterRCNN"):
        build_network(DEFAULT_DETECTOR, tmp_path / "odd.pth", 0.05)


def test_weights_of_another_detector_are_refused(weights: Path) -> None:
    with pytest.raises(UnusableWeights, match="do not fit RetinaNet"):
        build_network("retinanet_resnet50_fpn", weights, 0.05)


def test_both_formats_of_weights_are_read(weights: Path, tmp_path: Path) -> None:
    old = read_weights(weights)
    assert not zipfile.is_zipfile(weights)
    torch.save(old, tmp_path / "new.pth")
    new = read_weights(tmp_path / "new.pth")
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in list(old)[::20])


class Exploit:
    """What a hostile pickle would do."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("exploited"),))


@pytest.mark.parametrize("kind", ["pickle", "torch", "torch-old", "junk", "empty", "list"])
def test_a_weights_file_is_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "odd.pth"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Exploit()))
    elif kind.startswith("torch"):
        torch.save({"x": Exploit()}, path, _use_new_zipfile_serialization=kind == "torch")
    elif kind == "list":
        torch.save([1], path)
    else:
        path.write_bytes(b"junk" * 100 if kind == "junk" else b"")
    with pytest.raises(UnusableWeights, match=r"^odd\.pth "):
        read_weights(path)
    assert not Path("exploited").exists()
