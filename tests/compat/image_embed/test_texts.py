"""Skipped or error, with the documented words; one task never changes another."""

from typing import Any

import pytest

from tests.compat.image_embed.conftest import CLIP, results, task
from tests.conftest import LiveServer
from tests.pictures import portrait, solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

TARGETS = "['whole_image', 'prominent_person', 'prominent_face']"
INT = "int() argument must be a string, a bytes-like object or a real number, not"
INTERNAL = "Internal error processing task: "

ROWS: list[tuple[str, dict[str, Any], str, str]] = [
    ("nope", {}, "skipped", "Unsupported operation type: 'nope'"),
    ("nope", {"target": "nowhere"}, "skipped", "Unsupported operation type: 'nope'"),
    (
        "detect_bounding_box",
        {"target": "whole_image"},
        "skipped",
        "Unsupported target 'whole_image' for 'detect_bounding_box'. "
        "Allowed: ['prominent_person', 'prominent_face']",
    ),
    (CLIP, {"target": ""}, "skipped", f"Unsupported target '' for '{CLIP}'. Allowed: {TARGETS}"),
    (CLIP, {"target": 5}, "skipped", f"Unsupported target '5' for '{CLIP}'. Allowed: {TARGETS}"),
    (
        CLIP,
        {"target": ["whole_image"]},
        "skipped",
        f"Unsupported target '['whole_image']' for '{CLIP}'. Allowed: {TARGETS}",
    ),
    (
        "classify",
        {"target": "x"},
        "skipped",
        f"Unsupported target 'x' for 'classify'. Allowed: {TARGETS}",
    ),
    *(
        (
            kind,
            {"target": "prominent_face"},
            "skipped",
            "No prominent face found for operation 'asked'.",
        )
        for kind in (CLIP, "embed_dino_v2", "embed_dino_v3", "describe_image")
    ),
    (
        "classify",
        {"collection_id": 5},
        "skipped",
        "No face detected for collection 5 with face target",
    ),
    ("classify", {}, "skipped", "'collection_id' param is required for 'classify' operation."),
    (
        "classify",
        {"collection_id": None},
        "skipped",
        "'collection_id' param is required for 'classify' operation.",
    ),
    ("classify", {"collection_id": 99}, "skipped", "Classifier not found for collection_id 99."),
    (
        "classify",
        {"collection_id": " 99"},
        "skipped",
        "Classifier not found for collection_id  99.",
    ),
    (
        "classify",
        {"collection_id": "abc"},
        "skipped",
        "invalid literal for int() with base 10: 'abc'",
    ),
    ("classify", {"collection_id": ""}, "skipped", "invalid literal for int() with base 10: ''"),
    ("classify", {"collection_id": True}, "skipped", "'collection_id' must be an integer."),
    ("classify", {"collection_id": 1.9}, "skipped", "'collection_id' must be an integer."),
    ("classify", {"collection_id": [5]}, "error", f"{INTERNAL}{INT} 'list'"),
    ("classify", {"collection_id": {"a": 1}}, "error", f"{INTERNAL}{INT} 'dict'"),
]


@pytest.mark.parametrize(("kind", "params", "status", "message"), ROWS)
async def test_each_has_its_words_and_the_others_go_on(
    live: LiveServer, kind: str, params: dict[str, Any], status: str, message: str
) -> None:
    found = await results(
        live, solid_png(64, 48), task("asked", kind, **params), task("fine", CLIP)
    )
    assert found["asked"] == {
        "status": status,
        "data": None,
        "cropped_image_bbox": None,
        "cropped_image_base64": None,
        "error_message": message,
    }
    assert found["fine"]["status"] == "success"


async def test_a_classifier_of_other_weights_is_an_error(live: LiveServer) -> None:
    found = await results(live, portrait(), task("asked", "classify", collection_id=8))
    assert found["asked"]["status"] == "error"
    start = f"{INTERNAL}Failed to classify embedding for collection 8: "
    assert found["asked"]["error_message"].startswith(start)


async def test_params_that_are_none_are_skipped(live: LiveServer) -> None:
    found = await results(live, portrait(), task("asked", "describe_image", max_length="long"))
    assert found["asked"]["status"] == "skipped"
    assert "max_length" in found["asked"]["error_message"]


async def test_every_task_is_run_and_of_one_name_the_last_counts(live: LiveServer) -> None:
    found = await results(
        live,
        portrait(),
        task("a", CLIP),
        task("b", "detect_bounding_box"),
        task("a", "detect_bounding_box"),
        task("", CLIP),
    )
    assert list(found) == ["a", "b", ""]
    assert found["a"] == found["b"]


async def test_null_params_are_none(live: LiveServer) -> None:
    asked = {"operation_id": "a", "type": CLIP, "params": None, "more": 1}
    found = await results(live, portrait(), asked, {"operation_id": "b", "type": CLIP})
    assert found["a"] == found["b"] and found["a"]["status"] == "success"
