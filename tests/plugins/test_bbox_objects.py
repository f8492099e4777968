"""Detect objects: what is told of what the detector finds, and the way there through a server."""

import base64
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from opsin import Box, Item, Picture, Region, Target
from opsin.core.errors import OperationUnavailable
from opsin.core.models.store import ModelStore
from opsin.core.testing import run_operation
from opsin.plugins.bbox.coco import CLASSES
from opsin.plugins.bbox.detectors import DETECTORS, DetectorOptions
from opsin.plugins.bbox.objects import DetectedObjects, DetectObjects, DetectObjectsParams
from opsin.plugins.bbox.plugin import PersonFinder
from opsin.plugins.bbox.runner.detector import Detections, Detector, PreparedPicture
from opsin.plugins.bbox.runner.objects import ObjectsRunner
from opsin.settings import Settings
from tests.conftest import serve
from tests.pictures import encoded
from tests.plugins.detector_weights import context_of, made_weights

pytestmark = pytest.mark.timeout(600)

SMALL = DETECTORS["ssdlite320_mobilenet_v3_large"]
"""The quickest to run."""
OPTIONS = DetectorOptions(SMALL)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_weights(SMALL, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def picture() -> Picture:
    """Coloured squares, 240 x 160 pixels."""
    colours = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    made = np.kron(colours, np.ones((10, 10, 1), np.uint8))
    made.flags.writeable = False  # as the engine hands it over
    return made


def objects_runner(weights: Path) -> ObjectsRunner:
    loaded = DetectObjects(OPTIONS).load(context_of(weights, SMALL))
    assert isinstance(loaded, ObjectsRunner)
    return loaded


def detect(weights: Path, picture: Picture, **params: Any) -> DetectedObjects:
    context = context_of(weights, SMALL)
    return run_operation(DetectObjects(OPTIONS), picture, params, context=context)


def test_objects_are_what_the_detector_finds(weights: Path, picture: Picture) -> None:
    found = detect(weights, picture, score_threshold=0, max_objects=300)
    detector = objects_runner(weights).detector
    (all_of_it,) = detector.detect([detector.prepare(picture)])
    in_picture = {
        (label, score, *(int(side) for side in box))
        for box, label, score in zip(
            all_of_it.boxes, all_of_it.labels, all_of_it.scores, strict=True
        )
        if int(box[2]) > int(box[0]) and int(box[3]) > int(box[1])  # something is left of it
    }
    told = [(o.class_id, o.score, *o.box.model_dump().values()) for o in found.objects]
    assert set(told) == in_picture
    assert len(told) > 100
    assert [score for _, score, *_ in told] == sorted((s for _, s, *_ in told), reverse=True)
    for one in found.objects:
        assert one.label == CLASSES[one.class_id]
        assert one.box == one.box.clipped(240, 160)
        assert one.score > SMALL.floor


def test_the_caller_chooses_among_them(weights: Path, picture: Picture) -> None:
    every = detect(weights, picture, score_threshold=0, max_objects=300).objects
    middle = every[len(every) // 2].score
    assert 0 < sum(one.label == "dog" for one in every) < len(every)
    assert detect(weights, picture, score_threshold=middle, max_objects=300).objects == tuple(
        one for one in every if one.score >= middle
    )
    dogs = detect(weights, picture, score_threshold=0, max_objects=300, classes=["dog"]).objects
    assert dogs == tuple(one for one in every if one.label == "dog")
    assert detect(weights, picture, score_threshold=0, max_objects=7).objects == every[:7]
    assert detect(weights, picture, score_threshold=1).objects == ()
    assert detect(weights, picture, score_threshold=0, classes=["zebra", "tv"]).objects == ()


@pytest.mark.parametrize(
    "params",
    [
        {"score_threshold": -0.1},
        {"score_threshold": 1.1},
        {"max_objects": 0},
        {"max_objects": 301},
        {"classes": []},
        {"classes": ["person", "unicorn"]},
        {"classes": ["Person"]},
        {"classes": ["N/A"]},
        {"detector": "fcos_resnet50_fpn"},
    ],
)
def test_params_that_cannot_be_meant_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DetectObjectsParams.model_validate(params)


def test_boxes_in_a_crop_are_told_in_the_whole_picture(weights: Path, picture: Picture) -> None:
    box = Box(x_min=30, y_min=20, x_max=230, y_max=150)
    inside = detect(weights, picture[20:150, 30:230], score_threshold=0).objects
    runner = objects_runner(weights)
    item = Item(
        picture[20:150, 30:230],
        DetectObjectsParams(score_threshold=0),
        Target.PROMINENT_PERSON,
        Region(box, 1.0),
    )
    (found,) = runner.run([runner.prepare(item)])
    assert [one.box for one in found.objects] == [one.box.moved(30, 20) for one in inside]


def test_annotations_are_boxes_in_the_order_of_their_scores(
    weights: Path, picture: Picture
) -> None:
    found = detect(weights, picture, score_threshold=0, max_objects=3)
    for place, (one, told) in enumerate(zip(found.objects, found.annotations(), strict=True)):
        assert told.annotation_type == "bounding_box"
        assert told.data == {
            "bbox": [one.box.x_min, one.box.y_min, one.box.width, one.box.height],
            "format": "xywh",
        }
        assert (told.class_name, told.confidence) == (one.label, one.score)
        assert told.ordering == place
    assert DetectedObjects(objects=()).annotations() == []


def test_a_batch_finds_what_each_picture_alone_gives(weights: Path, picture: Picture) -> None:
    runner = objects_runner(weights)
    pictures = [picture, picture[::-1].copy(), picture[:, ::-1].copy(), picture]
    params = [DetectObjectsParams(score_threshold=0, max_objects=n) for n in (300, 300, 50, 2)]
    prepared = [runner.prepare(Item(p, q)) for p, q in zip(pictures, params, strict=True)]
    assert len({runner.batch_key(one) for one in prepared}) == 1
    lonely = objects_runner(weights)  # one that has seen nothing yet
    for together, one in zip(runner.run(prepared), prepared, strict=True):
        (alone,) = lonely.run([one])
        assert len(together.objects) == len(alone.objects)
        for here, there in zip(together.objects[:50], alone.objects[:50], strict=True):
            assert here.score == pytest.approx(there.score, rel=1e-4)


def test_missing_weights_come_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(OperationUnavailable, match=r"opsin models pull ssdlite320_\w+_coco$"):
        ModelStore(tmp_path).context(DetectObjects(OPTIONS), "cpu")
    assert DetectObjects().models == PersonFinder().models


ANALYZE = """mutation($picture: String!) { analyzeImage(input: {base64: $picture, tasks: [
  {taskId: "objects", run: {detectObjects: {scoreThreshold: 0.01, maxObjects: 4}}},
  {taskId: "dogs", run: {detectObjects: {scoreThreshold: 0.01, classes: ["dog"]}}},
  {taskId: "person", run: {detectBoundingBox: {}}}
]}) { outcomes { taskId status result {
  ... on DetectedObjects { objects { label classId score box { xMin yMin xMax yMax } } }
  ... on BoundingBox { label box { xMin } score } } } } }"""
AVAILABLE = """{ operations { name available unavailableReason } }"""


@pytest.fixture
def configured(settings: Settings, weights: Path, tmp_path: Path) -> Settings:
    """The small detector for everything, with the weights that were made."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    table = f'url = "https://models.example/{weights.name}"\nsha256 = "{digest}"\n'
    file = tmp_path / "models.toml"
    file.write_text(f"[detect_objects.detector]\n{table}[person_finder.detector]\n{table}")
    options = {"bbox": {"detector": SMALL.name}}
    return settings.model_copy(update={"models": file, "plugin_options": options})


async def test_objects_over_graphql(
    configured: Settings, weights: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    run = Detector._run

    def counted(self: Detector, batch: Sequence[PreparedPicture]) -> list[Detections]:
        looks.append(len(batch))
        return run(self, batch)

    monkeypatch.setattr(Detector, "_run", counted)
    png = base64.b64encode(encoded(Image.fromarray(picture), "PNG")).decode()
    async with serve(configured) as server:
        (state,) = [
            operation
            for operation in (await server.data(AVAILABLE))["operations"]
            if operation["name"] == "detect_objects"
        ]
        assert not state["available"]
        assert f"opsin models pull {weights.name}" in state["unavailableReason"]
        configured.models_dir.mkdir(parents=True)
        shutil.copy(weights, configured.models_dir)
        told = (await server.data(ANALYZE, picture=png))["analyzeImage"]["outcomes"]
    assert looks == [1]  # by three tasks
    objects, dogs, person = (outcome["result"] for outcome in told)
    expected = detect(weights, picture, score_threshold=0.01, max_objects=4).objects
    assert [
        (one["label"], one["classId"], one["box"]["xMin"], one["box"]["yMax"])
        for one in objects["objects"]
    ] == [(one.label, one.class_id, one.box.x_min, one.box.y_max) for one in expected]
    assert {one["label"] for one in dogs["objects"]} == {"dog"}
    assert person["label"] == "person"
