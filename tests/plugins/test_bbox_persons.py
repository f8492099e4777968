"""The finder of persons against torchvision's own call, with weights of the published format."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import get_data_path
from PIL import Image
from torchvision.models.detection import FasterRCNN, fasterrcnn_resnet50_fpn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from opsin import Item, Params, Picture, Region
from opsin.core.contract import Download
from opsin.core.errors import OperationUnavailable
from opsin.core.model_files import sha256_of
from opsin.core.model_store import ModelStore
from opsin.core.neural import UnusableWeights, read_weights
from opsin.plugins.bbox import runner
from opsin.plugins.bbox.plugin import PersonFinder

# Seconds on a machine of their own; minutes where other processes want the same cores.
pytestmark = pytest.mark.timeout(600)

WIDE, HIGH, FLAT = (0.0, 0.0, 50.0, 20.0), (0.0, 0.0, 20.0, 70.0), (5.0, 5.0, 5.5, 9.0)


def prepared(finder: runner.PersonRunner, picture: Picture) -> runner.PreparedPerson:
    picture.flags.writeable = False  # as the engine hands it over
    return finder.prepare(Item(picture, Params()))


def find(finder: runner.PersonRunner, *pictures: Picture) -> list[Region | None]:
    """What the runner finds in a batch of pictures."""
    batch = [prepared(finder, picture) for picture in pictures]
    assert len({finder.batch_key(picture) for picture in batch}) == 1
    return list(finder.run(batch))


@pytest.fixture(scope="module")
def portrait() -> Picture:
    """The middle of Grace Hopper's portrait: 200 x 600 pixels, to spare the processor."""
    with Image.open(Path(get_data_path(), "sample_data", "grace_hopper.jpg")) as image:
        return np.array(image.convert("RGB"))[:, 150:350].copy()


@pytest.mark.parametrize(
    ("boxes", "labels", "scores", "expected"),
    [
        ([], [], [], None),
        ([WIDE, HIGH], [2, 3], [0.9, 0.8], None),
        ([WIDE, HIGH], [2, 1], [0.9, 0.06], HIGH),
        ([WIDE, HIGH], [1, 1], [0.5, 0.9], HIGH),
        ([WIDE, HIGH], [1, 1], [0.9, 0.9], WIDE),
        ([FLAT, HIGH], [1, 1], [0.9, 0.8], None),
    ],
    ids=["nothing", "no person", "a weak one", "the surest", "the first", "no second candidate"],
)
def test_the_prominent_person(
    boxes: list[Any], labels: list[int], scores: list[float], expected: Any
) -> None:
    region = runner.prominent_person(boxes, labels, scores, 100, 80)
    assert (region and tuple(region.box.model_dump().values())) == expected


def published(model: FasterRCNN) -> "OrderedDict[str, torch.Tensor]":
    """The model's weights as the file on download.pytorch.org names them."""
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for key, value in model.state_dict().items():
        if key.startswith(("backbone.fpn.", "rpn.head.conv.")):
            stem, _, kind = key.rpartition(".")
            stem = stem.removesuffix(".0.0") if "rpn" in key else stem.removesuffix(".0")
            key = f"{stem}.{kind}"
        state[key] = value
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the real size and format, random but calm enough to find persons."""
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    state = published(FasterRCNN(backbone, num_classes=91))
    for key, value in state.items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif key.endswith("running_mean"):
            value.normal_(0, 0.1)
    state["roi_heads.box_predictor.cls_score.weight"] *= 0.03
    state["roi_heads.box_predictor.cls_score.bias"][1] += 4
    state["roi_heads.box_predictor.bbox_pred.weight"] *= 0.02
    folder = tmp_path_factory.mktemp("hub") / "checkpoints"
    folder.mkdir()
    path = folder / "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def person_finder(path: Path) -> PersonFinder:
    """The finder, expecting the file that was made."""
    (requirement,) = PersonFinder.models
    assert isinstance(requirement.origin, Download)
    origin = replace(requirement.origin, file=path.name, sha256_prefix=sha256_of([path])[:8])

    class Made(PersonFinder):
        models = (replace(requirement, origin=origin),)

    return Made()


@pytest.fixture(scope="module")
def persons(weights: Path) -> Iterator[runner.PersonRunner]:
    finder = person_finder(weights)
    loaded = finder.load(ModelStore(weights.parent).context(finder, "cpu"))
    assert isinstance(loaded, runner.PersonRunner)
    yield loaded
    loaded.close()


def test_persons_are_those_of_torchvision(
    persons: runner.PersonRunner, weights: Path, portrait: Picture
) -> None:
    hub = torch.hub.get_dir()
    torch.hub.set_dir(str(weights.parents[1]))  # where torchvision would have downloaded it to
    try:
        plain = fasterrcnn_resnet50_fpn(weights="COCO_V1").eval()
    finally:
        torch.hub.set_dir(hub)
    image = torch.from_numpy(portrait.copy()).permute(2, 0, 1) / 255
    with torch.no_grad():
        (expected,) = plain([image])
        (found,) = persons.model([image])
    assert (expected["labels"] == runner.PERSON).any()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=1e-4, rtol=1e-4)
    (region,) = find(persons, portrait.copy())
    boxes, labels, scores = (expected[key].tolist() for key in ("boxes", "labels", "scores"))
    assert region == runner.prominent_person(boxes, labels, scores, 200, 600)
    assert region is not None


def test_a_batch_of_persons_finds_what_each_picture_alone_gives(
    persons: runner.PersonRunner, portrait: Picture
) -> None:
    pictures = [portrait.copy(), portrait[:598].copy()]  # padded to the same size by the network
    together = find(persons, *pictures)
    for one, picture in zip(together, pictures, strict=True):
        (other,) = find(persons, picture)
        assert one is not None and other is not None
        assert one.box == other.box
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_padding_never_differs_inside_a_batch(persons: runner.PersonRunner) -> None:
    for size in ((600, 512), (598, 512), (512, 600), (1, 1), (33, 2000), (4000, 3000)):
        picture = np.zeros((*size, 3), np.uint8)
        key = persons.batch_key(prepared(persons, picture))
        image = torch.zeros(3, *size)
        images, _ = persons.model.transform([image])
        assert key == tuple(images.tensors.shape[-2:])


def test_a_strip_too_thin_for_the_network_has_no_person(persons: runner.PersonRunner) -> None:
    assert find(persons, np.zeros((1, 3000, 3), np.uint8)) == [None]


def test_the_threshold_reaches_the_network(weights: Path, portrait: Picture) -> None:
    strict = runner.PersonRunner(weights, "cpu", 0.99)
    assert strict.model.roi_heads.score_thresh == 0.99
    assert find(strict, portrait.copy()) == [None]


def test_missing_weights_come_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(OperationUnavailable, match="opsin models pull fasterrcnn_resnet50"):
        ModelStore(tmp_path).context(PersonFinder(), "cpu")


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
        runner.person_detector(tmp_path / "odd.pth", "cpu", 0.05)


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


@pytest.mark.gpu
def test_the_device_finds_what_the_processor_finds(
    persons: runner.PersonRunner, weights: Path, portrait: Picture
) -> None:
    (expected,) = find(persons, portrait.copy())
    (found,) = find(runner.PersonRunner(weights, "cuda:0", 0.05), portrait.copy())
    assert expected is not None and found is not None
    assert found.score == pytest.approx(expected.score, abs=1e-2)
