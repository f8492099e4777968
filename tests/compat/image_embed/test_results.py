"""What each operation answers: data, the region that was used, and its picture."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from opsin.core.imaging import ImageLimits, decode
from opsin.settings import Settings
from tests.compat.image_embed.conftest import CLIP, INTERCEPT, result, results, task
from tests.compat.image_embed.person_plugin import PERSON
from tests.conftest import LiveServer, serve
from tests.pictures import portrait, rotated_jpeg, solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON_BOX = [PERSON.x_min, PERSON.y_min, PERSON.x_max, PERSON.y_max]
DARK = solid_png(64, 48, (5, 5, 5))
SIZES = {CLIP: 16, "embed_dino_v2": 32, "embed_dino_v3": 32, "embed_dino_v3_patch": 32}
PARTS = ["prominent_person", "prominent_face"]
EVERYWHERE = ["whole_image", *PARTS]
LISTED = {
    "detect_bounding_box": (PARTS, "prominent_person"),
    CLIP: (EVERYWHERE, "whole_image"),
    "embed_dino_v2": (EVERYWHERE, "whole_image"),
    "embed_dino_v3": (EVERYWHERE, "whole_image"),
    "embed_dino_v3_patch": (EVERYWHERE, "whole_image"),
    "classify": (EVERYWHERE, "whole_image"),
    "describe_image": (EVERYWHERE, "whole_image"),
}
NOTHING = {"cropped_image_bbox": None, "cropped_image_base64": None, "error_message": None}
PROBABILITY = 1 / (1 + np.exp(-INTERCEPT))


def cropped(one: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The pixels of the crop, which are those of the box."""
    text = one["cropped_image_base64"]
    assert text.startswith("iVBOR")
    image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    assert (image.format, image.mode) == ("PNG", "RGB")
    return np.asarray(image)


def part(box: list[int]) -> np.ndarray[Any, Any]:
    pixels = decode(portrait(), ImageLimits()).pixels
    return np.asarray(pixels[box[1] : box[3], box[0] : box[2]])


async def test_boxes_are_detected_and_never_cropped(live: LiveServer) -> None:
    found = await results(
        live,
        portrait(),
        task("person", "detect_bounding_box", target="prominent_person"),
        task("default", "detect_bounding_box"),
        task("face", "detect_bounding_box", target="prominent_face"),
    )
    assert found["person"] == {"status": "success", "data": PERSON_BOX} | NOTHING
    assert found["default"] == found["person"]
    assert found["face"]["data"] == pytest.approx([174, 120, 356, 340], abs=12)
    assert {key: found["face"][key] for key in NOTHING} == NOTHING


@pytest.mark.parametrize("target", ["prominent_person", "prominent_face"])
async def test_nobody_there_is_a_success_without_a_box(live: LiveServer, target: str) -> None:
    found = await result(live, DARK, "detect_bounding_box", target=target)
    assert found == {"status": "success", "data": None} | NOTHING


@pytest.mark.parametrize(("kind", "size"), SIZES.items())
async def test_embeddings_are_those_of_the_part_that_is_shown(
    live: LiveServer, kind: str, size: int
) -> None:
    regions = ("whole_image", "prominent_person", "prominent_face")
    found = await results(
        live, portrait(), *(task(region, kind, target=region) for region in regions)
    )
    whole, person, face = (found[region] for region in regions)
    assert whole == {"status": "success", "data": whole["data"]} | NOTHING
    assert person["cropped_image_bbox"] == PERSON_BOX
    for one in (person, face):
        assert (cropped(one) == part(one["cropped_image_bbox"])).all()
    png = base64.b64decode(person["cropped_image_base64"])
    again = await result(live, png, kind)
    assert np.allclose(again["data"], person["data"], rtol=1e-4, atol=1e-5)
    lengths = [np.linalg.norm(one["data"]) for one in (whole, person, face)]
    assert {len(one["data"]) for one in (whole, person, face)} == {size}
    assert all(abs(length - 1) > 1e-3 for length in lengths)  # nothing is normalised here


async def test_without_a_person_the_whole_image_is_used(live: LiveServer) -> None:
    person = await result(live, DARK, CLIP, target="prominent_person")
    whole = await result(live, DARK, CLIP)
    assert person == whole == {"status": "success", "data": whole["data"]} | NOTHING


async def test_two_face_contexts_in_one_request_are_independent(live: LiveServer) -> None:
    """A part of the picture, so that the face is found at another place of what is searched."""
    contexts = {"a": "whole_image", "b": "prominent_person", "c": None, "d": "anything"}
    both = await results(
        live,
        portrait(),
        *(
            task(name, "detect_bounding_box", target="prominent_face", face_context=context)
            for name, context in contexts.items()
        ),
    )
    alone = [
        await result(
            live, portrait(), "detect_bounding_box", target="prominent_face", face_context=context
        )
        for context in contexts.values()
    ]
    assert list(both.values()) == alone
    assert both["a"] == both["c"] == both["d"] != both["b"]


async def test_captions(live: LiveServer) -> None:
    found = await results(
        live,
        portrait(),
        task("short", "describe_image", max_length=6),
        task("face", "describe_image", target="prominent_face", max_length=6),
        task("default", "describe_image"),
        task("null", "describe_image", max_length=None, prompt="ignored", num_beams=1),
        task("clamped", "describe_image", max_length=10**15),
    )
    assert all(one["status"] == "success" and one["data"] for one in found.values()), found
    assert len(found["short"]["data"]) < len(found["default"]["data"])
    assert found["null"] == found["default"]
    assert (cropped(found["face"]) == part(found["face"]["cropped_image_bbox"])).all()


@pytest.mark.parametrize(
    ("key", "params", "region"),
    [
        ("5", {"target": "whole_image"}, "prominent_face"),
        (6, {}, "prominent_person"),
        ("7", {"target": "prominent_face"}, "prominent_face"),
        (" 007", {"target": "whole_image"}, "whole_image"),
    ],
)
async def test_classifiers_decide_where_they_look(
    live: LiveServer, key: Any, params: dict[str, Any], region: str
) -> None:
    found = await results(
        live,
        portrait(),
        task("one", "classify", collection_id=key, **params),
        task("same", CLIP, target=region),
    )
    one, same = found["one"], found["same"]
    assert one["data"]["is_in_collection"] is True
    assert one["data"] == {"is_in_collection": True, "probability": pytest.approx(PROBABILITY)}
    for key in ("cropped_image_bbox", "cropped_image_base64"):
        assert one[key] == same[key]


async def test_orientation_is_ignored(live: LiveServer) -> None:
    """A picture that is shown lying is embedded as it is stored."""
    upright, turned = rotated_jpeg(1), rotated_jpeg(6)
    one, other = [await result(live, picture, CLIP) for picture in (upright, turned)]
    assert one == other


async def test_other_plugins_operations_are_there_too(live: LiveServer) -> None:
    found = await result(live, solid_png(60, 40), "image_quality")
    assert found["status"] == "success"
    assert isinstance(found["data"], dict) and "region" not in found["data"]
    refused = await result(live, solid_png(60, 40), "image_quality", nothing=1)
    assert refused["status"] == "skipped" and "nothing" in refused["error_message"]


async def test_operations_are_listed_in_the_documented_order(live: LiveServer) -> None:
    for path in ("/available_operations/", "/available_operations"):
        answered = await live.client.get(path, follow_redirects=False)
        assert answered.status_code == 200
        listed = answered.json()["operations"]
        assert list(listed)[: len(LISTED)] == list(LISTED)
        for name, (targets, default) in LISTED.items():
            one = listed[name]
            assert (one["allowed_targets"], one["default_target"]) == (targets, default)
            assert (one["available"], one["reason"]) == (True, None)
            assert one["description"]


async def test_what_has_no_weights_is_listed_and_is_an_error(
    clean: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = Settings(data_dir=tmp_path_factory.mktemp("bare"), worker=False, device="cpu")
    async with serve(settings) as bare:
        listed = (await bare.client.get("/available_operations/")).json()["operations"]
        assert list(listed)[: len(LISTED)] == list(LISTED)
        one = listed[CLIP]
        assert one["available"] is False
        assert "opsin models pull clip-vit-base-patch32" in one["reason"]
        assert listed["detect_bounding_box"]["available"]  # a face needs no weights of its own
        assert "person" in listed["detect_bounding_box"]["reason"]
        found = await results(
            bare,
            portrait(),
            task("clip", CLIP),
            task("face", "detect_bounding_box", target="prominent_face"),
        )
    assert found["clip"]["status"] == "error"
    assert found["clip"]["error_message"] == f"Internal error processing task: {one['reason']}"
    assert found["face"]["status"] == "success"
