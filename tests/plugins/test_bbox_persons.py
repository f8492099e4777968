"""The finder of persons: the choice among what its detector gives, and the way there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import get_data_path
from PIL import Image

from opsin import Item, Params, Picture, Region
from opsin.core.errors import OperationUnavailable
from opsin.core.models.store import ModelStore
from opsin.plugins.bbox.detectors import DEFAULT_DETECTOR, DETECTORS, DetectorOptions
from opsin.plugins.bbox.plugin import PersonFinder
from opsin.plugins.bbox.runner.detector import PreparedPicture
from opsin.plugins.bbox.runner.persons import PersonRunner
from opsin.plugins.bbox.runner.regions import prominent_person
from tests.plugins.detector_weights import context_of, made_weights, reference

# Seconds on a machine of their own; minutes where other processes want the same cores.
pytestmark = pytest.mark.timeout(600)

WIDE, HIGH, FLAT = (0.0, 0.0, 50.0, 20.0), (0.0, 0.0, 20.0, 70.0), (5.0, 5.0, 5.5, 9.0)


DEFAULT = DETECTORS[DEFAULT_DETECTOR]


def prepared(finder: PersonRunner, picture: Picture) -> PreparedPicture:
    picture.flags.writeable = False  # as the engine hands it over
    return finder.prepare(Item(picture, Params()))


def find(finder: PersonRunner, *pictures: Picture) -> list[Region | None]:
    """What the runner finds in a batch of pictures."""
    batch = [prepared(finder, picture) for picture in pictures]
    assert len({finder.batch_key(picture) for picture in batch}) == 1
    return list(finder.run(batch))


def person_runner(path: Path, threshold: float = 0.05, device: str = "cpu") -> PersonRunner:
    finder = PersonFinder(DetectorOptions(DEFAULT, threshold))
    loaded = finder.load(context_of(path, DEFAULT, device))
    assert isinstance(loaded, PersonRunner)
    return loaded


@pytest.fixture(scope="module")
def portrait() -> Picture:
    """The middle of Grace Hopper's portrait: 100 x 600 pixels, to spare the processor."""
    with Image.open(Path(get_data_path(), "sample_data", "grace_hopper.jpg")) as image:
        return np.array(image.convert("RGB"))[:, 200:300].copy()


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
    region = prominent_person(boxes, labels, scores, 100, 80)
    assert (region and tuple(region.box.model_dump().values())) == expected


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    made_weights(DEFAULT, folder / "checkpoints")
    return folder


@pytest.fixture(scope="module")
def weights(hub: Path) -> Path:
    return hub / "checkpoints" / DEFAULT.file


@pytest.fixture(scope="module")
def persons(weights: Path) -> Iterator[PersonRunner]:
    loaded = person_runner(weights)
    yield loaded
    loaded.close()


def test_the_person_is_that_of_torchvision(
    persons: PersonRunner, hub: Path, portrait: Picture
) -> None:
    image = torch.from_numpy(portrait.copy()).permute(2, 0, 1) / 255
    with torch.no_grad():
        (expected,) = reference(DEFAULT, hub)([image])
    boxes, labels, scores = (expected[key].tolist() for key in ("boxes", "labels", "scores"))
    (region,) = find(persons, portrait.copy())
    assert region is not None
    assert region == prominent_person(boxes, labels, scores, 100, 600)
    assert persons.memory_bytes() == pytest.approx(167e6, rel=0.01)


def test_a_batch_of_persons_finds_what_each_picture_alone_gives(
    persons: PersonRunner, portrait: Picture
) -> None:
    pictures = [portrait.copy(), portrait[:598].copy()]  # padded to the same size by the network
    together = find(persons, *pictures)
    for one, picture in zip(together, pictures, strict=True):
        (other,) = find(persons, picture)
        assert one is not None and other is not None
        assert one.box == other.box
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_the_threshold_is_above_what_the_network_drops(weights: Path, portrait: Picture) -> None:
    strict = person_runner(weights, 0.99)
    assert strict.detector.network.roi_heads.score_thresh == 0.05
    assert find(strict, portrait.copy()) == [None]
    assert person_runner(weights, 0.01).detector.network.roi_heads.score_thresh == 0.01


def test_missing_weights_come_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(OperationUnavailable, match="opsin models pull fasterrcnn_resnet50"):
        ModelStore(tmp_path).context(PersonFinder(), "cpu")
    chosen = PersonFinder(DetectorOptions(DETECTORS["fcos_resnet50_fpn"]))
    with pytest.raises(OperationUnavailable, match=r"opsin models pull fcos_resnet50_fpn_coco$"):
        ModelStore(tmp_path).context(chosen, "cpu")


@pytest.mark.gpu
def test_the_device_finds_what_the_processor_finds(
    persons: PersonRunner, weights: Path, portrait: Picture
) -> None:
    (expected,) = find(persons, portrait.copy())
    (found,) = find(person_runner(weights, device="cuda:0"), portrait.copy())
    assert expected is not None and found is not None
    assert found.score == pytest.approx(expected.score, abs=1e-2)
