"""Items of results: the documented keys and shapes, from what the operations on skin really say."""

import json
from typing import Any

import pytest

from opsin import NotShown, OperationFailed
from opsin.compat.haut.catalogue import CATALOGUE
from opsin.compat.haut.measures import whole
from opsin.core.errors import OpsinError, RegionNotFound
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import StoredAnnotation
from opsin.plugins.skin.geometry import AREAS
from opsin.plugins.skin.plugin import MEASURES
from opsin.plugins.skin.runner import face as face_texts
from tests.compat.haut.measuring import AT, DETECTOR, OPERATIONS, V1, ended, found_in, items
from tests.plugins.skin.faces import PaintedFace

KEYS = (
    "id is_ok result image_id image_type creation_time application_id application_name "
    "application_run_id application_description algorithm_version_id algorithm_family_tech_name"
)
METRIC = {"name", "value", "tech_name", "widget_type", "widget_meta"}
MAIN = {
    "skin_redness": ("redness", "redness_score", "bad_good_line"),
    "skin_uniformness": ("uniformness", "uniformness_score", "bad_good_line"),
    "skin_eye_area": ("eye_bags", "eye_area_condition", "bad_good_line"),
    "skin_wrinkles": ("wrinkles", "wrinkles_score", "bad_good_line"),
    "skin_pores": ("pores", "Pores_score", "bad_good_line"),
    "skin_pigmentation": ("pigmentation", "pigmentation_score", "bad_good_line"),
    "skin_tone": ("skin_tone", "ita_score", "ITA"),
    "skin_image_quality": ("quality", "image_quality_score", "bad_good_line"),
    "skin_lines": ("lines", "lines_score", "bad_good_line"),
    "skin_shine": ("shine", "shine_score", "bad_good_line"),
}
SUB = {
    "skin_redness": {"redness_local_score", "redness_global_score"},
    "skin_eye_area": {"dark_circles_score", "eye_bags_score"},
    "skin_pores": {"pores_number", "pores_density"},
    "skin_tone": {"skintone_l_channel", "skintone_a_channel", "skintone_b_channel"},
}
"""Those that clients are known to read."""

every_measure = pytest.mark.parametrize("operation", [one.name for one in MEASURES])


@pytest.fixture(scope="module")
def painted() -> PaintedFace:
    """A face with something of everything, whose head is held at an angle."""
    face = PaintedFace(noise=3, roll=12)
    face.disc(-0.6, 0.7, 30, (230, 120, 110))
    face.disc(0.55, 0.6, 3, (120, 80, 60))
    face.line((-0.3, -0.55), (0.3, -0.52), 1.5, (150, 105, 85))
    for place in range(12):
        face.disc(-0.12 + 0.02 * place, 0.45, 0.8, (150, 110, 90))
    return face


def result_of(painted: PaintedFace, operation: str) -> dict[str, Any]:
    measured, _ = items(found_in(painted, operation), found_in(painted, DETECTOR))
    assert measured["is_ok"], measured
    found: dict[str, Any] = measured["result"]
    return found


# --- what is in the catalogue ---------------------------------------------------------------------


def test_every_measure_has_names_and_nothing_else_has() -> None:
    assert {one.operation for one in CATALOGUE.algorithms} == {one.name for one in MEASURES}
    assert {*MAIN} == {one.name for one in MEASURES}
    assert CATALOGUE.detector.operation in OPERATIONS
    numbers = {one.operation: one.number for one in CATALOGUE.algorithms}
    assert numbers == {
        "skin_redness": 30,
        "skin_uniformness": 32,
        "skin_eye_area": 33,
        "skin_wrinkles": 34,
        "skin_pores": 35,
        "skin_pigmentation": 39,
        "skin_tone": 42,
        "skin_image_quality": 43,
        "skin_lines": 69,
        "skin_shine": None,
    }
    assert CATALOGUE.detector.number == 40


def test_the_texts_of_a_face_that_is_cut_or_turned_are_the_operations_own() -> None:
    assert face_texts.NOT_FRONTAL in CATALOGUE.failures.cut_or_turned
    assert "the face lies outside the picture" in CATALOGUE.failures.cut_or_turned


def test_areas_with_another_name_are_areas() -> None:
    assert set(CATALOGUE.areas) <= set(AREAS)
    files = {one.artifact.removesuffix(".jpg") for one in CATALOGUE.aux_image_types}
    assert files == {"aligned_face", *AREAS} - {"face"}
    assert len({one.id for one in CATALOGUE.aux_image_types}) == len(files)


# --- measures -------------------------------------------------------------------------------------


@every_measure
def test_the_documented_keys(operation: str, painted: PaintedFace) -> None:
    one, _ = items(found_in(painted, operation), found_in(painted, DETECTOR))
    assert list(one) == KEYS.split()
    assert one["creation_time"] == "2026-03-01 12:30:05" == f"{AT:%Y-%m-%d %H:%M:%S}"
    assert (one["image_type"], one["application_name"]) == ("selfie", "Face Skin Metrics 2.0")
    tech_name, main, widget = MAIN[operation]
    assert one["algorithm_family_tech_name"] == f"selfie_v2.{tech_name}"
    result = one["result"]
    assert result["algorithm_tech_name"] == tech_name
    first = result["area_results"][0]
    assert first["area_name"] == "face"
    assert (first["main_metric"]["tech_name"], first["main_metric"]["widget_type"]) == (
        main,
        widget,
    )
    assert json.loads(json.dumps(one)) == one


@every_measure
def test_main_metrics_are_whole_scores_and_sub_metrics_what_clients_read(
    operation: str, painted: PaintedFace
) -> None:
    stored = found_in(painted, operation).analysis.result
    assert stored is not None
    for given, area in zip(
        stored["areas"], result_of(painted, operation)["area_results"], strict=True
    ):
        main = area["main_metric"]
        assert set(main) == METRIC and main["widget_meta"] is None
        number = given["main"]["score" if main["widget_type"] != "ITA" else "value"]
        assert type(main["value"]) is int and main["value"] == whole(number)
        assert -90 <= main["value"] <= 90 if main["widget_type"] == "ITA" else main["value"] >= 0
        subs = area["sub_metrics"]
        if operation == "skin_image_quality":
            assert set(subs) == set(area["debug_metrics"]) == {d["name"] for d in given["details"]}
            assert all(type(value) is int and 0 <= value <= 100 for value in subs.values())
            continue
        assert all(set(one) == METRIC and one["value"] is not None for one in subs)
        assert SUB.get(operation, set()) <= {one["tech_name"] for one in subs}
        scores = [one["value"] for one in subs if one["widget_type"] == "bad_good_line"]
        assert all(type(value) is int and 0 <= value <= 100 for value in scores)


def test_numbers_of_pores(painted: PaintedFace) -> None:
    """Their number and how dense they are, as the operation counted them."""
    stored = found_in(painted, "skin_pores").analysis.result
    assert stored is not None
    subs = result_of(painted, "skin_pores")["area_results"][0]["sub_metrics"]
    shown = {one["tech_name"]: one["value"] for one in subs}
    (counted,) = (d for d in stored["areas"][0]["details"] if d["name"] == "pores_number")
    assert shown["pores_number"] == counted["value"] > 0
    assert type(shown["pores_number"]) is int
    assert shown["pores_density"] == pytest.approx(stored["areas"][0]["main"]["value"], abs=1e-3)


def test_the_class_of_a_tone_is_a_category(painted: PaintedFace) -> None:
    subs = result_of(painted, "skin_tone")["area_results"][0]["sub_metrics"]
    (tone,) = (one for one in subs if one["widget_type"] == "category")
    assert isinstance(tone["value"], str) and tone["value"]


def test_quality_advises(painted: PaintedFace) -> None:
    dark = PaintedFace(skin=(26, 14, 8))
    feedback = result_of(dark, "skin_image_quality")["feedback"]
    assert "use more light" in feedback["tooltip"]["negative"]
    assert feedback["overlay"] == feedback["tooltip"]["negative"][0]
    assert set(feedback["tooltip"]) == {"warn", "negative", "positive"}


# --- masks ----------------------------------------------------------------------------------------


def points_of(mask: dict[str, Any]) -> list[list[int]]:
    found: list[list[int]] = []
    for feature in mask["features"]:
        for part in feature["geometry"]["coordinates"]:
            found += part[0] if mask["mask_type"] == "polygon_mask" else [part]
    return found


@pytest.mark.parametrize(
    ("operation", "mask_type", "geometry"),
    [
        ("skin_redness", "polygon_mask", "MultiPolygon"),
        ("skin_pigmentation", "polygon_mask", "MultiPolygon"),
        ("skin_wrinkles", "polygon_mask", "MultiPolygon"),
        ("skin_pores", "point_mask", "MultiPoint"),
    ],
)
def test_masks_in_both_frames(
    operation: str, mask_type: str, geometry: str, painted: PaintedFace
) -> None:
    """In the picture where it was painted; in the square as the detector turns it upright."""
    measured, detected = found_in(painted, operation), found_in(painted, DETECTOR)
    one, _ = items(measured, detected)
    assert detected.analysis.result is not None
    aligned = detected.analysis.result["aligned"]
    (original,), (restored,) = one["result"]["masks_original"], one["result"]["masks_restored"]
    for mask in (original, restored):
        assert (mask["mask_type"], mask["type"]) == (mask_type, "FeatureCollection")
        assert {f["type"] for f in mask["features"]} == {"feature"}
        assert {f["geometry"]["type"] for f in mask["features"]} == {geometry}
        assert all(f["properties"]["intensity"] > 0 for f in mask["features"])
        assert all(type(number) is int for point in points_of(mask) for number in point)
        assert mask["fill"].startswith("#") and len(mask["fill"]) == 7
    side = painted.picture.shape[0]
    assert original["view_box"] == f"0 0 {side} {side}"
    assert restored["view_box"] == f"0 0 {aligned['size']} {aligned['size']}"
    a, b, c, d, e, f = aligned["matrix"]
    moved = [[round(a * x + b * y + c), round(d * x + e * y + f)] for x, y in points_of(original)]
    inside = [p for p in moved if all(0 <= number <= aligned["size"] for number in p)]
    assert points_of(restored) == (moved if mask_type == "polygon_mask" else inside)


def test_the_red_disc_is_where_it_was_painted(painted: PaintedFace) -> None:
    (mask,) = result_of(painted, "skin_redness")["masks_original"]
    x, y = painted.frame.to_picture((-0.6, 0.7))
    largest = max(mask["features"], key=lambda one: len(one["geometry"]["coordinates"][0][0]))
    ring = largest["geometry"]["coordinates"][0][0]
    assert ring[0] == ring[-1]
    across, down = [point[0] for point in ring], [point[1] for point in ring]
    assert min(across) < x < max(across) and min(down) < y < max(down)


def test_what_draws_nothing_has_no_masks(painted: PaintedFace) -> None:
    for operation in ("skin_tone", "skin_uniformness", "skin_image_quality"):
        result = result_of(painted, operation)
        assert (result["masks_original"], result["masks_restored"]) == (None, None)


def test_without_the_detectors_square_there_is_no_restored_mask(painted: PaintedFace) -> None:
    (one,) = items(found_in(painted, "skin_redness"))
    assert one["result"]["masks_original"] and one["result"]["masks_restored"] is None


# --- the detector ---------------------------------------------------------------------------------

DETECTED = "bbox mesh side light feedback detection_params transform_sequence"
DETECTION = "full_face yaw_angle roll_angle pitch_angle face_detected detection_confidence"


def test_the_detector_with_a_face(painted: PaintedFace) -> None:
    (one,) = items(found_in(painted, DETECTOR))
    assert one["is_ok"] and one["algorithm_family_tech_name"] == "selfie_v2.face_detector"
    result = one["result"]
    assert list(result) == DETECTED.split()
    assert list(result["detection_params"]) == DETECTION.split()
    assert result["detection_params"]["face_detected"] and result["detection_params"]["full_face"]
    assert result["detection_params"]["roll_angle"] == pytest.approx(12, abs=0.5)
    x, y, width, height = result["bbox"]
    assert 0 < x < x + width < 800 and 0 < y < y + height < 800
    assert len(result["mesh"]) == 5 and (result["side"], result["light"]) == ("front", "regular")
    assert [step["type"] for step in result["transform_sequence"]["sequence"]] == ["similarity"]


def test_the_detector_without_a_face_is_ok_and_the_rest_is_not() -> None:
    """The exact text that clients compare with."""
    found = [
        ended(name, None, error=RegionNotFound("face", name))
        for name in (DETECTOR, "skin_redness", "skin_tone")
    ]
    detector, *others = items(*found)
    assert detector["is_ok"] is True
    assert detector["result"] == {
        "bbox": None,
        "mesh": None,
        "side": "front",
        "light": "regular",
        "feedback": {
            "overlay": "No face detected",
            "tooltip": {"warn": [], "negative": ["No face detected"], "positive": []},
        },
        "detection_params": {
            "full_face": None,
            "yaw_angle": None,
            "roll_angle": None,
            "pitch_angle": None,
            "face_detected": False,
            "detection_confidence": 0.0,
        },
        "transform_sequence": {"sequence": []},
    }
    for one in others:
        assert (one["is_ok"], one["result"]) == (False, {"error": "No face detected"})


# --- failures -------------------------------------------------------------------------------------


def test_a_face_that_is_not_whole_is_told_where_it_cannot_be_measured(
    painted: PaintedFace,
) -> None:
    detected = found_in(painted, DETECTOR)
    assert detected.analysis.result is not None
    cut = ended(DETECTOR, {**detected.analysis.result, "is_whole": False})
    turned = ended(DETECTOR, {**detected.analysis.result, "is_frontal": False})
    failed = ended("skin_eye_area", None, error=NotShown("the skin under the eyes is not visible"))
    for face in (cut, turned):
        told, _ = items(failed, face)
        assert told["result"] == {"error": "Not full face"}
        measured, _ = items(found_in(painted, "skin_redness"), face)
        assert measured["is_ok"], "what could be measured is shown"
    told, _ = items(failed, detected)
    assert told["result"] == {"error": "the skin under the eyes is not visible"}


def test_a_face_from_the_side_is_not_full() -> None:
    profile = ended(DETECTOR, None, error=NotShown(face_texts.NOT_FRONTAL))
    measure = ended("skin_redness", None, error=NotShown(face_texts.NOT_FRONTAL))
    assert [one["result"] for one in items(profile, measure)] == [{"error": "Not full face"}] * 2
    assert not any(one["is_ok"] for one in items(profile, measure))


def test_a_small_face_is_told_in_our_own_words() -> None:
    small = PaintedFace(eye_distance=60)
    detector, lines = items(found_in(small, DETECTOR), found_in(small, "skin_lines"))
    assert detector["is_ok"]
    assert lines["result"] == {
        "error": "the face is too small: 60 pixels between the eyes, 150 are needed"
    }


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"error_code": "MISSING_PREREQUISITE"}, "An algorithm that this one needs is not enabled"),
        ({"error_code": "OPERATION_UNAVAILABLE"}, "The algorithm is not available on this server"),
        ({"status": AnalysisStatus.CANCELLED}, "The calculation was cancelled"),
        ({"error_code": "OPERATION_FAILED"}, "The calculation failed"),
        ({"error_code": "WORKER_LOST"}, "The calculation failed"),
        ({"error_code": None}, "The calculation failed"),
    ],
)
def test_what_went_wrong_inside_is_told_neutrally(changes: dict[str, Any], text: str) -> None:
    secret = OperationFailed("division by zero in /srv/secret.py")
    (one,) = items(ended("skin_redness", None, error=secret, **changes))
    assert (one["is_ok"], one["result"]) == (False, {"error": text})


# --- the deprecated application -------------------------------------------------------------------


def test_results_of_the_deprecated_application_are_bare_numbers(painted: PaintedFace) -> None:
    both = [
        (
            items(found_in(painted, name, application_id=V1))[0],
            result_of(painted, name)["area_results"][0]["main_metric"]["value"],
        )
        for name in MAIN
    ]
    for bare, value in both:
        assert (bare["is_ok"], bare["result"]) == (True, value)
        assert bare["application_name"] == "Face Skin Metrics 1.0"
    assert items(found_in(painted, DETECTOR, application_id=V1))[0]["result"] == 1
    absent: OpsinError = RegionNotFound("face", "x")
    (none,) = items(ended(DETECTOR, None, error=absent, application_id=V1))
    assert (none["is_ok"], none["result"]) == (True, 0)
    (failed,) = items(ended("skin_redness", None, error=absent, application_id=V1))
    assert failed["result"] == {"error": "No face detected"}


# --- other operations -----------------------------------------------------------------------------


def annotation(kind: str, data: dict[str, Any], **more: Any) -> StoredAnnotation:
    values: dict[str, Any] = dict.fromkeys(StoredAnnotation.__dataclass_fields__)
    return StoredAnnotation(**values | {"annotation_type": kind, "data": data} | more)


def test_metrics_and_classes_of_other_operations() -> None:
    found = [
        annotation("metric", {"name": "left.gloss", "value": 0.25, "unit": "share"}),
        annotation("metric", {"name": "face.gloss", "value": 3.5, "unit": "x", "score": 61.5}),
        annotation("metric", {"name": "face.dullness", "value": 2.0, "unit": "x"}),
        annotation("metric", {"name": "broken"}),
        annotation("classification", {}, class_name="dry", confidence=0.2),
        annotation("classification", {}, class_name="oily", confidence=0.8),
        annotation("bounding_box", {"bbox": [10, 20, 30, 40], "format": "xywh"}, class_name="eye"),
    ]
    one = ended("their_operation", {"anything": 1})
    (told,) = items(one, annotations={one.analysis.id: found})
    assert told["algorithm_family_tech_name"] == "their_operation"
    result = told["result"]
    areas = {area["area_name"]: area for area in result["area_results"]}
    assert list(areas) == ["face", "left", "image"]
    assert areas["face"]["main_metric"]["value"] == 62
    assert areas["face"]["main_metric"]["widget_type"] == "bad_good_line"
    assert [sub["value"] for sub in areas["face"]["sub_metrics"]] == [2]
    assert areas["left"]["main_metric"]["value"] == 0.25 and not areas["left"]["sub_metrics"]
    category = areas["image"]["main_metric"]
    assert (category["value"], category["widget_type"]) == ("oily", "category")
    assert {s["tech_name"]: s["value"] for s in areas["image"]["sub_metrics"]} == {
        "oily": 80,
        "dry": 20,
    }
    (mask,) = result["masks_original"]
    assert (mask["name"], mask["mask_type"]) == ("eye", "polygon_mask")
    assert mask["features"][0]["geometry"]["coordinates"] == [
        [[[10, 20], [40, 20], [40, 60], [10, 60], [10, 20]]]
    ]


def test_an_operation_that_finds_nothing_has_no_areas() -> None:
    (told,) = items(ended("their_operation", {}))
    assert told["is_ok"] and told["result"]["area_results"] == []
    assert told["result"]["masks_original"] is None
