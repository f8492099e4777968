"""What is answered where stages, weights or individuals are missing, or say no."""

import base64
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from opsin.settings import Settings
from tests.compat.whales.making import (
    INDIVIDUALS,
    archive,
    batch,
    manifest,
    picture,
    settings_of,
    single,
    size_of,
)
from tests.compat.whales.outline_plugin import SOURCE as OUTLINES
from tests.conftest import serve
from tests.graphql.asking import ADD_MEMBERS, CREATE_COLLECTION, dataset, image
from tests.plugins.cetacean.making import prototypes

PATH = "/v1/predict-single"


async def answered(settings: Settings, **more: Any) -> httpx.Response:
    async with serve(settings, **more) as live:
        return await live.client.post(PATH, **single(picture()))


async def test_the_gate_says_no(model: Path, tmp_path: Path) -> None:
    found = (await answered(settings_of(tmp_path, manifest(model, threshold=1.0)))).json()
    score = found.pop("cetacean_score")
    assert 0 < score < 1
    assert found == {
        "image_ind": "whale.png",
        "bbox": [0, 0, *size_of(picture())],
        "class_animal": "",
        "id_animal": "unknown",
        "probability": 0.0,
        "mask": None,
        "is_cetacean": False,
        "rejected": True,
        "rejection_reason": "not_a_marine_mammal",
        "model_version": "small",
        "candidates": [],
    }


async def test_low_confidence_keeps_who_it_may_be(model: Path, tmp_path: Path) -> None:
    doubtful = prototypes(open_set={"min_probability": 1.0})
    settings = settings_of(tmp_path, manifest(model, prototypes=doubtful), whales_candidates=2)
    found = (await answered(settings)).json()
    assert (found["rejected"], found["rejection_reason"]) == (True, "low_confidence")
    assert found["is_cetacean"] is True
    assert found["class_animal"] in INDIVIDUALS
    assert (len(found["candidates"]), found["mask"]) == (2, None)


async def test_without_a_gate_the_documented_defaults_hold(model: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, manifest(model, threshold=None), whales_candidates=0)
    async with serve(settings) as live:
        found = (await live.client.post(PATH, **single(picture()))).json()
        drift = (await live.client.get("/v1/drift-stats")).json()
    assert (found["is_cetacean"], found["cetacean_score"], found["rejected"]) == (True, 1.0, False)
    assert (found["candidates"], drift["n"]) == ([], 0)


async def test_without_weights_to_identify_with_the_gate_answers(
    model: Path, tmp_path: Path
) -> None:
    (model / "embedder.safetensors").unlink()
    found = (await answered(settings_of(tmp_path, manifest(model)))).json()
    assert (found["class_animal"], found["id_animal"]) == ("", "cetacean_unidentified")
    assert found["probability"] == found["cetacean_score"] > 0
    assert (found["is_cetacean"], found["rejected"], found["candidates"]) == (True, False, [])
    rejecting = tmp_path / "rejecting"
    found = (await answered(settings_of(rejecting, manifest(model, threshold=1.0)))).json()
    assert (found["id_animal"], found["rejection_reason"]) == ("unknown", "not_a_marine_mammal")


async def test_nobody_to_compare_with(model: Path, tmp_path: Path) -> None:
    found = (await answered(settings_of(tmp_path, manifest(model, prototypes=None)))).json()
    assert (found["class_animal"], found["id_animal"]) == ("", "cetacean_unidentified")
    assert found["probability"] == found["cetacean_score"]


@pytest.mark.parametrize("threshold", [0.0, None])
async def test_without_any_weights_it_is_503(
    model: Path, tmp_path: Path, threshold: float | None
) -> None:
    for name in ("embedder.safetensors", "gate"):
        (model / name).unlink()
    async with serve(settings_of(tmp_path, manifest(model, threshold))) as live:
        for path, form in (
            (PATH, single(picture())),
            ("/v1/predict-batch", batch(archive({"a.png": picture()}))),
        ):
            answer = await live.client.post(path, **form)
            assert (answer.status_code, list(answer.json())) == (503, ["detail"])
            assert "cetacean" in answer.json()["detail"]
        wrong = await live.client.post(PATH, **single(picture(), kind="text/plain"))
        assert wrong.status_code == 415


async def test_without_the_plugin_it_is_503(tmp_path: Path) -> None:
    answer = await answered(settings_of(tmp_path, None, disabled_plugins=("cetacean",)))
    assert (answer.status_code, "plugin" in answer.json()["detail"]) == (503, True)


async def test_a_gallery_of_the_servers_own(model: Path, tmp_path: Path) -> None:
    """Individuals are enrolled while the server runs."""
    settings = settings_of(tmp_path, manifest(model, prototypes=None), whales_gallery="pod")
    async with serve(settings) as live:
        answer = await live.client.post(PATH, **single(picture()))
        assert (answer.status_code, "pod" in answer.json()["detail"]) == (503, True)
        stored = await image(
            live,
            await dataset(live, "whales"),
            filename="0.png",
            base64=base64.b64encode(picture()).decode(),
        )
        await live.data(CREATE_COLLECTION, key="pod", operation="embed_cetacean")
        empty = await live.client.post(PATH, **single(picture()))
        assert (empty.status_code, "no members" in empty.json()["detail"]) == (503, True)
        given = {
            "collection": "pod",
            "imageIds": [stored],
            "label": "Ivory",
            "attributes": {"species": "beluga"},
        }
        await live.data(ADD_MEMBERS, input=given)
        found = (await live.client.post(PATH, **single(picture()))).json()
    assert (found["class_animal"], found["id_animal"]) == ("Ivory", "beluga")
    assert [one["class_animal"] for one in found["candidates"]] == ["Ivory"]


async def test_masks_are_cut_out_by_an_operation_that_outlines(model: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, manifest(model))
    async with serve(settings, more_plugins=[OUTLINES]) as live:
        found = (await live.client.post(PATH, **single(picture()))).json()
        many = await live.client.post("/v1/predict-batch", **batch(archive({"a.png": picture()})))
    assert many.json()[0]["mask"] is None
    cut = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["mask"], validate=True))))
    pixels = np.asarray(Image.open(io.BytesIO(picture())))
    assert cut.shape == (*pixels.shape[:2], 4)
    inside = cut[..., 3] == 255
    assert inside[10:30, 10:40].all()
    assert not inside[40:].any()
    assert (cut[inside][:, :3] == pixels[inside]).all()
    off = settings.model_copy(update={"whales_mask": "none", "data_dir": tmp_path / "off"})
    assert (await answered(off, more_plugins=[OUTLINES])).json()["mask"] is None


async def test_a_mask_that_fails_takes_nothing_from_the_answer(model: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, manifest(model), whales_mask="outline_nothing_well")
    found = (await answered(settings, more_plugins=[OUTLINES])).json()
    assert (found["mask"], found["rejected"]) == (None, False)
