"""The bounding box plugin: its operation, and its finders against the libraries' own calls."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from matplotlib import get_data_path
from PIL import Image

from opsin import Box, Item, LoadContext, Params, Picture, Region, Target
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost, PluginSource
from opsin.plugins.bbox.plugin import BoundingBox, DetectBoundingBox, FaceFinder, PersonFinder
from opsin.plugins.bbox.runner import faces as face_module
from opsin.plugins.bbox.runner.faces import FaceRunner
from opsin.plugins.bbox.runner.regions import prominent_face, region_of

# Tests run side by side: with a thread for every core in each, they would wait for one another.
torch.set_num_threads(2)

# Seconds on a machine of their own; minutes where other processes want the same cores.
pytestmark = pytest.mark.timeout(600)

BBOX = PluginSource("bbox", "opsin.plugins.bbox.plugin", "opsin")
FACE = Box(x_min=174, y_min=119, x_max=355, y_max=340)


def discover(**options: Any) -> PluginHost:
    return PluginHost.discover([BBOX], entry_points=False, options={"bbox": options})


def item(picture: Picture, **more: Any) -> Item[Params]:
    picture.flags.writeable = False  # as the engine hands it over
    return Item(picture, Params(), **more)


def find(finder: Any, *pictures: Picture) -> list[Region | None]:
    """What a runner finds in a batch of pictures."""
    prepared = [finder.prepare(item(picture)) for picture in pictures]
    assert len({finder.batch_key(p) for p in prepared}) == 1
    return list(finder.run(prepared))


@pytest.fixture(scope="module")
def portrait() -> Picture:
    """Grace Hopper, 512 x 600 pixels."""
    with Image.open(Path(get_data_path(), "sample_data", "grace_hopper.jpg")) as image:
        return np.array(image.convert("RGB"))


# --- the plugin -----------------------------------------------------------------------------------


def test_the_plugin_is_light() -> None:
    code = "import sys, opsin.plugins.bbox.plugin; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_plugin_comes_through_the_door() -> None:
    host = discover()
    assert host.failures == ()
    assert list(host.operations) == ["detect_bounding_box", "detect_objects"]
    assert set(host.finders) == {Target.PROMINENT_PERSON, Target.PROMINENT_FACE}


def person_finder(**options: Any) -> PersonFinder:
    finder = discover(**options).finders[Target.PROMINENT_PERSON].finder
    assert isinstance(finder, PersonFinder)
    return finder


def test_the_score_threshold_is_an_option() -> None:
    finder = person_finder(person_score_threshold=1)
    assert finder.options.person_score_threshold == 1.0
    assert finder.version == "1+score_threshold=1"
    assert person_finder().options.person_score_threshold == 0.05
    assert person_finder().version == "1"


def test_the_detector_is_an_option() -> None:
    name = "ssdlite320_mobilenet_v3_large"
    host = discover(detector=name, person_score_threshold=0.3)
    finder = host.finders[Target.PROMINENT_PERSON].finder
    objects = host.operations["detect_objects"].operation
    assert finder.version == f"1+detector={name}+score_threshold=0.3"
    assert objects.version == f"1+detector={name}"
    assert finder.models == objects.models
    assert finder.models[0].name == f"{name}_coco"
    assert PersonFinder().models != finder.models


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({"person_score_threshold": value}, "person_score_threshold must be a number from 0 to")
            for value in ("0.5", None, True, -0.1, 1.1, float("nan"), [0.5])
        ),
        *(
            ({"detector": value}, "detector must be one of fasterrcnn_resnet50_fpn, ")
            for value in ("maskrcnn_resnet50_fpn", None, 3, ["fcos_resnet50_fpn"])
        ),
        ({"threshold": 0.5}, "no option 'threshold'; it has 'detector' and 'person_score_thresh"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options: Any, message: str) -> None:
    host = discover(**options)
    assert not host.operations and not host.finders
    stages = {failure.stage for failure in host.failures}
    assert stages == {"hook:opsin_operations", "hook:opsin_region_finders"}
    assert all(message in failure.message for failure in host.failures)


@pytest.mark.parametrize(
    ("target", "label"),
    [(Target.PROMINENT_PERSON, "person"), (Target.PROMINENT_FACE, "face")],
)
def test_the_operation_says_what_the_finder_found(
    portrait: Picture, target: Target, label: str
) -> None:
    operation = DetectBoundingBox()
    loaded = operation.load(LoadContext("cpu"))
    assert not loaded.uses_device and not operation.crop
    region = Region(FACE, 0.75)
    items = [item(portrait, target=target, region=region), item(portrait, target=target)]
    found, nothing = loaded.run([loaded.prepare(i) for i in items])
    assert found == BoundingBox(label=label, box=FACE, score=0.75)
    assert nothing == BoundingBox(label=label)
    assert nothing.annotations() == ()
    (annotation,) = found.annotations()
    assert annotation.annotation_type == "bounding_box"
    assert annotation.data == {"bbox": [174, 119, 181, 221], "format": "xywh"}
    assert (annotation.class_name, annotation.confidence) == (label, 0.75)


# --- the choice among what a detector gives -------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ((1.9, 2.9, 50.99, 60.5), (100, 80), (1, 2, 50, 60)),
        ((-3.2, -1.1, 150.7, 90.2), (100, 80), (0, 0, 100, 80)),
        ((-0.9, -0.9, 0.9, 5.0), (100, 80), None),
        ((5.1, 5.1, 5.9, 9.0), (100, 80), None),
        ((9.0, 9.0, 5.0, 12.0), (100, 80), None),
        ((-9.0, 1.0, -2.0, 5.0), (100, 80), None),
        ((120.0, 1.0, 140.0, 5.0), (100, 80), None),
    ],
)
def test_boxes_are_truncated_toward_zero_then_clipped(
    box: tuple[float, ...], size: tuple[int, int], expected: tuple[int, ...] | None
) -> None:
    region = region_of(box, 0.5, *size)
    if expected is None:
        assert region is None
    else:
        assert region is not None
        assert tuple(region.box.model_dump().values()) == expected


WIDE, HIGH, FLAT = (0.0, 0.0, 50.0, 20.0), (0.0, 0.0, 20.0, 70.0), (5.0, 5.0, 5.5, 9.0)


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        ([], None),
        ([(*WIDE, 0.8), (*HIGH, 0.9)], HIGH),
        ([(*WIDE, 0.9), (*HIGH, 0.8)], WIDE),
        ([(*WIDE, 0.9), (*HIGH, 0.9)], HIGH),
        ([(*FLAT, 0.9), (*HIGH, 0.8)], None),
    ],
    ids=["nothing", "the surest", "not the largest", "else the largest", "no second candidate"],
)
def test_the_prominent_face(faces: list[Any], expected: Any) -> None:
    region = prominent_face(faces, 100, 80)
    assert (region and tuple(region.box.model_dump().values())) == expected


# --- faces ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceRunner]:
    context = ModelStore(tmp_path_factory.mktemp("models")).context(FaceFinder(), "cpu")
    assert len(context.models["detector"].fingerprint) == 64
    loaded = FaceFinder().load(context)
    assert isinstance(loaded, FaceRunner)
    yield loaded
    loaded.close()


def variants(portrait: Picture) -> list[Picture]:
    """Pictures of one size with one face, two or none."""
    halves = np.concatenate([portrait[::2, ::2], portrait[::2, ::2]], axis=1)
    two = np.concatenate([halves, halves], axis=0)[: portrait.shape[0], : portrait.shape[1]]
    return [
        portrait.copy(),
        portrait[:, ::-1].copy(),
        (portrait // 2).astype(np.uint8),
        two,
        np.zeros_like(portrait),
        np.roll(portrait, -120, axis=0),
        portrait[::-1].copy(),
    ]


def test_the_face_of_the_portrait(faces: FaceRunner, portrait: Picture) -> None:
    (region,) = find(faces, portrait.copy())
    assert region is not None
    assert region.box == FACE
    assert region.score == pytest.approx(0.9998, abs=1e-4)


def test_the_landmarks_of_the_portrait(faces: FaceRunner, portrait: Picture) -> None:
    """Eyes, nose and corners of the mouth, what is on the left of the picture first."""
    (region,) = find(faces, portrait.copy())
    assert region is not None
    left_eye, right_eye, nose, left_corner, right_corner = region.landmarks
    assert left_eye == pytest.approx((222, 192), abs=2)
    assert right_eye == pytest.approx((310, 186), abs=2)
    assert nose == pytest.approx((269, 239), abs=2)
    assert left_corner == pytest.approx((233, 280), abs=2)
    assert right_corner == pytest.approx((307, 276), abs=2)


def test_the_landmarks_are_those_of_the_face_that_was_chosen() -> None:
    near, far = [[float(n)] * 2 for n in range(5)], [[float(n)] * 2 for n in range(5, 10)]
    region = prominent_face([(*WIDE, 0.8), (*HIGH, 0.9)], 100, 80, [near, far])
    assert region is not None
    assert region.landmarks == ((5, 5), (6, 6), (7, 7), (8, 8), (9, 9))


def test_faces_are_those_of_the_library(faces: FaceRunner, portrait: Picture) -> None:
    library = MTCNN(keep_all=True)
    for picture in variants(portrait):
        boxes, probabilities, points = library.detect(picture, landmarks=True)
        (region,) = find(faces, picture)
        if boxes is None:
            assert region is None
            continue
        best = int(np.argmax(probabilities))  # the library gives the largest first
        expected = region_of(boxes[best], probabilities[best], 512, 600)
        assert region is not None and expected is not None
        assert (region.box, region.score) == (expected.box, expected.score)
        assert np.allclose(region.landmarks, points[best].astype(float), atol=1e-3)


def test_a_batch_finds_what_each_picture_alone_gives(
    faces: FaceRunner, portrait: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = variants(portrait)
    alone = [find(faces, picture)[0] for picture in pictures]
    assert sum(region is None for region in alone) < len(alone)
    for at_once in (face_module.PIXELS_AT_ONCE, 2 * 512 * 600, 1):
        monkeypatch.setattr(face_module, "PIXELS_AT_ONCE", at_once)
        together = find(faces, *pictures)
        assert [region and region.box for region in together] == [
            region and region.box for region in alone
        ]
        for one, other in zip(together, alone, strict=True):
            if one is not None and other is not None:
                assert one.score == pytest.approx(other.score, abs=1e-5)


def test_pictures_of_different_sizes_do_not_share_a_batch(faces: FaceRunner) -> None:
    keys = {
        faces.batch_key(faces.prepare(item(np.zeros((*size, 3), np.uint8))))
        for size in ((30, 40), (40, 30), (30, 40))
    }
    assert len(keys) == 2


@pytest.mark.parametrize("size", [(1, 1), (10, 10), (19, 400), (20, 20), (20, 900), (900, 20)])
def test_a_tiny_picture_has_no_face(faces: FaceRunner, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert find(faces, noise, noise.copy()) == [None, None]


def test_a_face_at_the_edge_is_clipped_to_the_picture(faces: FaceRunner, portrait: Picture) -> None:
    (region,) = find(faces, portrait[125:335, 180:350].copy())
    assert region is not None
    assert region.box == region.box.clipped(170, 210)
    assert 0 in (region.box.x_min, region.box.y_min) or region.box.y_max == 210


@pytest.mark.gpu
def test_the_device_finds_what_the_processor_finds(
    faces: FaceRunner, tmp_path: Path, portrait: Picture
) -> None:
    context = ModelStore(tmp_path).context(FaceFinder(), "cuda:0")
    (region,) = find(FaceFinder().load(context), portrait.copy())
    assert region is not None
    assert region.score == pytest.approx(0.9998, abs=1e-3)
    for side, expected in FACE.model_dump().items():
        assert getattr(region.box, side) == pytest.approx(expected, abs=1)
