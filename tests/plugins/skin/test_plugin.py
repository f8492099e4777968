"""The plugin through the door: with MTCNN's landmarks, in batches, and what it refuses."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from opsin import (
    Item,
    LoadContext,
    NotShown,
    Operation,
    OperationFailed,
    Params,
    Picture,
    Region,
    Target,
)
from opsin.core.conformance import Verdict, check_plugin
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost, PluginSource
from opsin.core.testing import run_operation
from opsin.graphql.schema import reserved_type_names
from opsin.graphql.trial import check_types
from opsin.plugins.bbox.plugin import FaceFinder
from opsin.plugins.skin.geometry import AREAS, FACE, FaceFrame
from opsin.plugins.skin.plugin import MEASURES, FindFaceAreas, opsin_operations
from opsin.plugins.skin.results import FaceAreas, SkinMeasures
from tests.core.given_plugins import given
from tests.pictures import portrait
from tests.plugins.running import heavy_imports
from tests.plugins.skin.faces import PaintedFace, area_of, measured, metric_of, scaled

SKIN = PluginSource("skin", "opsin.plugins.skin.plugin", "opsin")
OPERATIONS: list[Operation[Any, Any]] = list(opsin_operations())
DOCS = (Path(__file__).parents[3] / "docs" / "skin.md").read_text("utf-8")

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)


@pytest.fixture(scope="module")
def person() -> Picture:
    """Grace Hopper, 1024 x 1200, so that every measure has pixels enough."""
    with Image.open(io.BytesIO(portrait())) as image:
        return np.array(image.convert("RGB").resize((1024, 1200), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def found(person: Picture, tmp_path_factory: pytest.TempPathFactory) -> Region:
    """What MTCNN itself finds in the portrait."""
    finder = FaceFinder()
    store = ModelStore(tmp_path_factory.mktemp("models"))
    runner = finder.load(store.context(finder, "cpu"))
    picture = person.copy()
    picture.flags.writeable = False
    (region,) = runner.run([runner.prepare(Item(picture, Params()))])
    runner.close()
    assert isinstance(region, Region)
    return region


def test_the_plugin_comes_through_the_door() -> None:
    host = PluginHost.discover(
        [SKIN],
        entry_points=False,
        reserved_type_names=reserved_type_names(),
        strict=True,
        check_types=check_types,
    )
    assert host.failures == ()
    assert list(host.operations) == [operation.name for operation in OPERATIONS]


@every_operation
def test_no_promise_of_the_contract_is_broken(
    tmp_path: Path, operation: Operation[Any, Any]
) -> None:
    """The trial's pictures show no skin: what cannot be tried on them is skipped, and says so."""
    plugin = given(operation)
    host = PluginHost.discover([plugin], entry_points=False, strict=True)
    found = check_plugin(host, ModelStore(tmp_path), plugin.name)
    assert [one for one in found if one.verdict is Verdict.FAILED] == []
    skipped = {one.text for one in found if one.verdict is Verdict.SKIPPED}
    assert all("no skin" in text or "are needed" in text for text in skipped)
    assert len(found) == 8


def test_the_plugin_is_light() -> None:
    assert heavy_imports("import opsin.plugins.skin.plugin") == []


@every_operation
def test_operations_look_at_the_face_and_need_no_model(operation: Operation[Any, Any]) -> None:
    assert operation.targets == (Target.PROMINENT_FACE,)
    assert (operation.requires, operation.models, operation.crop) == ((), (), False)
    assert not operation.load(LoadContext("cpu")).uses_device


# --- a real face ----------------------------------------------------------------------------------


def test_the_landmarks_of_the_portrait(found: Region) -> None:
    """As MTCNN places them in the picture of half the size, 88 pixels between the eyes."""
    half = [(221.7, 192.2), (309.8, 186.1), (269.4, 239.2), (232.7, 279.6), (306.6, 275.9)]
    for (x, y), (u, v) in zip(found.landmarks, half, strict=True):
        assert (x / 2, y / 2) == pytest.approx((u, v), abs=5)


@every_operation
def test_a_real_face_is_measured_and_its_answer_can_be_stored(
    operation: Operation[Any, Any], person: Picture, found: Region
) -> None:
    result = run_operation(operation, person, region=found)
    read = operation.result.model_validate(json.loads(result.model_dump_json()))
    assert read.model_dump() == result.model_dump()
    assert read.artifacts() == ()
    annotations = [annotation.model_dump(mode="json") for annotation in result.annotations()]
    assert annotations and json.loads(json.dumps(annotations)) == annotations
    assert {a["annotation_type"] for a in annotations} <= set(result.annotation_types)
    if isinstance(result, SkinMeasures):
        assert result.areas[0].area == FACE
        assert {area.area for area in result.areas} <= {*AREAS, "left_eye_area", "right_eye_area"}
        for area in result.areas:
            assert 0 < area.skin_share <= 1
        for shape in result.shapes:
            assert len(shape.coordinates) % 2 == 0
            assert max(shape.coordinates[::2]) <= 1024 and max(shape.coordinates[1::2]) <= 1200
            assert len(shape.coordinates) >= (6 if shape.is_outline else 2)


def test_the_areas_of_the_portrait(person: Picture, found: Region) -> None:
    result: FaceAreas = run_operation(FindFaceAreas(), person, region=found)
    assert {area.name for area in result.areas} == set(AREAS)
    assert result.is_frontal and result.is_whole
    assert result.roll == pytest.approx(-4, abs=2)
    shares = {area.name: area.skin_share for area in result.areas}
    for name in ("nose", "left_cheek", "right_cheek", "chin"):
        assert shares[name] > 0.9
    # She wears a hat, and glasses with dark rims.
    assert shares["forehead"] < 0.95 and shares["left_eye_corner"] < 0.9
    assert result.skin


@every_operation
def test_a_batch_gives_what_each_face_alone_gives(
    operation: Operation[Any, Any], person: Picture, found: Region
) -> None:
    painted = PaintedFace(200)
    faces = [(person, found), (painted.picture, painted.region)]
    alone = [run_operation(operation, picture, region=region) for picture, region in faces]
    runner = operation.load(LoadContext("cpu"))
    target = Target.PROMINENT_FACE
    items = [Item(picture, Params(), target, region) for picture, region in faces]
    prepared = [runner.prepare(item) for item in items]
    assert len({runner.batch_key(one) for one in prepared}) == 1
    assert [runner.encode(output) for output in runner.run(prepared)] == alone


# --- refusals -------------------------------------------------------------------------------------


@every_operation
def test_a_face_without_landmarks_is_refused(operation: Operation[Any, Any]) -> None:
    face = PaintedFace(120)
    with pytest.raises(OperationFailed, match="landmarks"):
        run_operation(operation, face.picture, region=Region(face.region.box, 0.9))


@every_operation
def test_a_face_from_the_side_is_not_shown(operation: Operation[Any, Any]) -> None:
    face = PaintedFace(120)
    left, _, *others = face.region.landmarks
    beside = (left, (left[0] + 2, left[1] + 110), *others)
    with pytest.raises(NotShown, match="front"):
        run_operation(operation, face.picture, region=Region(face.region.box, 0.9, beside))


@pytest.mark.parametrize(
    ("name", "needed"),
    [("skin_redness", 40), ("skin_wrinkles", 80), ("skin_lines", 150), ("skin_pores", 150)],
)
def test_too_few_pixels_are_refused_and_not_guessed_at(name: str, needed: int) -> None:
    (operation,) = (one for one in OPERATIONS if one.name == name)
    small, enough = PaintedFace(needed - 5), PaintedFace(needed + 1)
    with pytest.raises(NotShown, match=f"{needed} are needed"):
        run_operation(operation, small.picture, region=small.region)
    assert run_operation(operation, enough.picture, region=enough.region).areas


@pytest.mark.parametrize("colour", [(128, 128, 128), (90, 150, 90), (60, 80, 160)])
def test_what_has_no_colour_of_skin_is_refused(colour: tuple[int, int, int]) -> None:
    face = PaintedFace(100, skin=colour)
    for operation in OPERATIONS:
        if operation.name not in ("face_areas", "skin_image_quality", "skin_lines", "skin_pores"):
            with pytest.raises(NotShown, match="no skin"):
                run_operation(operation, face.picture, region=face.region)
    areas: FaceAreas = run_operation(FindFaceAreas(), face.picture, region=face.region)
    assert areas.skin == () and all(area.skin_share == 0 for area in areas.areas)


def test_an_area_out_of_the_picture_is_left_out() -> None:
    face = PaintedFace(120)
    edge = round(face.frame.to_picture((0.34, 0.0))[0])
    cut = face.picture[:, :edge].copy()
    landmarks = face.region.landmarks
    region = Region(face.region.box.clipped(edge, cut.shape[0]), 0.9, landmarks)
    (operation,) = (one for one in OPERATIONS if one.name == "skin_redness")
    names = {area.area for area in run_operation(operation, cut, region=region).areas}
    assert "right_cheek" in names and "left_cheek" not in names
    areas: FaceAreas = run_operation(FindFaceAreas(), cut, region=region)
    shares = {area.name: area.visible_share for area in areas.areas}
    assert shares["left_cheek"] == 0
    assert shares["right_cheek"] == pytest.approx(1, abs=0.01)
    assert not areas.is_whole


def test_hair_and_covers_are_no_skin_and_a_mole_is() -> None:
    face = PaintedFace(150)
    face.fill(face.t < -0.5, (50, 35, 28))
    face.disc(0.6, 0.6, 5.0, (70, 45, 35))
    result: FaceAreas = run_operation(FindFaceAreas(), face.picture, region=face.region)
    shares = {area.name: area.skin_share for area in result.areas}
    assert shares["forehead"] < 0.55
    assert shares["left_cheek"] == pytest.approx(1, abs=0.01)
    assert metric_of(measured("pigmentation", face), "spots", "left_cheek").value == 1


# --- quality --------------------------------------------------------------------------------------


def textured(eye_distance: float = 200) -> PaintedFace:
    return PaintedFace(eye_distance, noise=12)


def test_a_good_picture_has_nothing_to_mend() -> None:
    result = measured("image_quality", textured())
    assert result.feedback == ()
    score = area_of(result).main.score
    assert score is not None and score > 80


def test_each_fault_lowers_its_own_score_and_is_told() -> None:
    small = textured(60)
    blurred = textured()
    image = Image.fromarray(blurred.picture).resize((80, 80), Image.Resampling.BOX)
    blurred.light[:] = np.asarray(image.resize(blurred.light.shape[:2], Image.Resampling.BICUBIC))
    dark, bright, lopsided = textured(), textured(), textured()
    dark.light *= 0.12
    bright.light += 90
    lopsided.light[lopsided.s > 0] *= 0.6
    turned = textured()
    turned.frame = FaceFrame(turned.frame.eyes, turned.frame.across, turned.frame.along, (0.4, 0.5))
    for name, face, words in (
        ("eye_distance", small, "come closer"),
        ("sharpness", blurred, "hold the camera still"),
        ("underexposed", dark, "use more light"),
        ("overexposed", bright, "use less light"),
        ("light_symmetry", lopsided, "light both sides"),
        ("nose_offset", turned, "look straight"),
    ):
        result = measured("image_quality", face)
        good = metric_of(measured("image_quality", textured()), name).score
        score = metric_of(result, name).score
        assert good is not None and score is not None and score < 50 < good, name
        assert any(advice.startswith(words) for advice in result.feedback), name


def test_sharpness_does_not_depend_on_the_size_of_the_picture() -> None:
    face = textured(300)
    picture, region = scaled(face.picture, face.region, 0.6)
    (operation,) = (one for one in OPERATIONS if one.name == "skin_image_quality")
    smaller = run_operation(operation, picture, region=region)
    one, other = (
        metric_of(r, "sharpness").value for r in (measured("image_quality", face), smaller)
    )
    assert other == pytest.approx(one, rel=0.15)


# --- the documentation ----------------------------------------------------------------------------


@every_operation
def test_every_operation_has_its_section(operation: Operation[Any, Any]) -> None:
    assert re.search(rf"^## `{operation.name}`$", DOCS, re.M)


def test_every_metric_area_and_source_is_documented() -> None:
    names = set(AREAS)
    for one in MEASURES:
        face = PaintedFace(200, noise=2)
        names |= {
            metric.name
            for area in measured(one.measure, face).areas
            for metric in (area.main, *area.details)
        }
        for surname in re.findall(r"[A-Z]\. ([A-Z][a-z]{3,})", one.source):
            assert surname in DOCS, surname
    assert sorted(name for name in names if f"`{name}`" not in DOCS) == []
