"""CLIP and DINO from end to end: listed, asked for over GraphQL, and answered as trained."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from opsin.assembly import assemble
from opsin.core.imaging import ImageLimits, decode
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.pictures import portrait
from tests.plugins.published import clip_folder, dino_v2_folder, dino_v3_folder
from tests.plugins.reference import clip_pictures, clip_texts
from tests.plugins.running import difference

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = """mutation($tasks: [TaskInput!]!, $picture: String!) {
  analyzeImage(input: {base64: $picture, tasks: $tasks}) { outcomes {
    taskId status errorCode errorMessage
    annotations { annotationType className confidence data }
    result { __typename
      ... on Embedding { dimensions normalized modelFingerprint vector
        region { xMin yMin xMax yMax } }
      ... on ZeroShotClassification { modelFingerprint labels { label probability similarity }
        region { xMin yMin xMax yMax } }
    } } } }"""
LIST = """{ operations { name available unavailableReason resultType
  models { role name licence } } }"""
OURS = (
    "embed_clip_vit_b_32",
    "classify_zero_shot",
    "embed_dino_v2",
    "embed_dino_v3",
    "embed_dino_v3_patch",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small checkpoint for each operation."""
    directory = tmp_path_factory.mktemp("checkpoints")
    clip, v2, v3 = (directory / name for name in ("clip", "dinov2", "dinov3"))
    made = (clip_folder(clip), clip, dino_v2_folder(v2), dino_v3_folder(v3), v3)
    return dict(zip(OURS, made, strict=True))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server with these checkpoints, on the CPU."""
    directory = tmp_path_factory.mktemp("house")
    models = directory / "models.toml"
    models.write_text("".join(f"[{name}.encoder]\nfolder = '{folders[name]}'\n" for name in OURS))
    settings = Settings(data_dir=directory, worker=False, device="cpu", models=models)
    async with serve(settings) as server:
        yield server


async def ask(live: LiveServer, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
    picture = base64.b64encode(portrait()).decode()
    found = await live.data(ASK, tasks=list(tasks), picture=picture)
    outcomes: list[dict[str, Any]] = found["analyzeImage"]["outcomes"]
    return outcomes


async def listed(live: LiveServer) -> dict[str, dict[str, Any]]:
    operations = (await live.data(LIST))["operations"]
    return {one["name"]: one for one in operations}


async def test_operations_with_weights_are_available(live: LiveServer) -> None:
    found = await listed(live)
    assert [found[name]["available"] for name in OURS] == [True] * 5
    assert {found[name]["resultType"] for name in OURS} == {"Embedding", "ZeroShotClassification"}


async def test_without_weights_they_are_listed_with_the_command_that_gets_them(
    tmp_path: Path,
) -> None:
    async with serve(Settings(data_dir=tmp_path, worker=False, device="cpu")) as bare:
        found = await listed(bare)
        for name, model in {
            "embed_clip_vit_b_32": "clip-vit-base-patch32",
            "classify_zero_shot": "clip-vit-base-patch32",
            "embed_dino_v2": "dinov2-base",
            "embed_dino_v3": "dinov3-vitl16-pretrain-lvd1689m",
            "embed_dino_v3_patch": "dinov3-vitl16-pretrain-lvd1689m",
        }.items():
            assert not found[name]["available"]
            assert f"opsin models pull {model}" in found[name]["unavailableReason"]
            assert [one["role"] for one in found[name]["models"]] == ["encoder"]
        (outcome,) = await ask(bare, {"operation": "embed_clip_vit_b_32"})
    assert (outcome["status"], outcome["errorCode"]) == ("ERROR", "OPERATION_UNAVAILABLE")
    assert "opsin models pull clip-vit-base-patch32" in outcome["errorMessage"]
    assert outcome["result"] is None


async def test_a_picture_becomes_a_vector(live: LiveServer, folders: dict[str, Path]) -> None:
    (outcome,) = await ask(live, {"run": {"embedClipVitB32": {}}})
    result = outcome["result"]
    assert result["__typename"] == "Embedding"
    assert (result["dimensions"], len(result["vector"]), result["normalized"]) == (16, 16, False)
    assert len(result["modelFingerprint"]) == 64
    pixels = decode(portrait(), ImageLimits()).pixels
    expected = clip_pictures(folders["embed_clip_vit_b_32"], [pixels])
    assert difference([result["vector"]], expected) < 1e-4


async def test_every_model_has_its_own_space(live: LiveServer) -> None:
    names = [name for name in OURS if name.startswith("embed")]
    found = await ask(live, *({"operation": name, "params": {"normalize": True}} for name in names))
    assert [outcome["status"] for outcome in found] == ["SUCCESS"] * 4, found
    fingerprints = [outcome["result"]["modelFingerprint"] for outcome in found]
    assert fingerprints[2] == fingerprints[3]
    assert len(set(fingerprints)) == 3
    for outcome in found:
        assert np.linalg.norm(outcome["result"]["vector"]) == pytest.approx(1)
    assert found[2]["result"]["vector"] != found[3]["result"]["vector"]


async def test_a_face_is_embedded_and_classified_alone(live: LiveServer) -> None:
    face = {"target": "prominent_face", "face_context": "whole_image"}
    labels = {"labels": ["a portrait", "two dogs", "whales"], **face}
    embedded, whole, classified = await ask(
        live,
        {"operation": "embed_clip_vit_b_32", "params": face},
        {"operation": "embed_clip_vit_b_32"},
        {"operation": "classify_zero_shot", "params": labels},
    )
    box = {"xMin": 174, "yMin": 119, "xMax": 355, "yMax": 340}
    assert embedded["result"]["region"] == classified["result"]["region"] == box
    assert whole["result"]["region"] is None
    assert difference(embedded["result"]["vector"], whole["result"]["vector"]) > 1e-3
    scores = classified["result"]["labels"]
    assert {score["label"] for score in scores} == set(labels["labels"])
    assert sum(score["probability"] for score in scores) == pytest.approx(1)
    assert classified["result"]["modelFingerprint"] == embedded["result"]["modelFingerprint"]
    (annotation,) = classified["annotations"]
    assert annotation["annotationType"] == "classification"
    assert annotation["className"] == scores[0]["label"]
    assert annotation["data"]["scores"][scores[1]["label"]] == scores[1]["probability"]


async def test_labels_that_cannot_be_used_are_refused(live: LiveServer) -> None:
    task = {"operation": "classify_zero_shot", "params": {"labels": ["cat", "cat"]}}
    answer = await live.graphql(ASK, tasks=[task], picture="")
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_PARAMS"
    assert "the labels must be different" in error["message"]


async def test_texts_come_into_the_space_of_the_pictures(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    models = tmp_path / "models.toml"
    folder = folders["embed_clip_vit_b_32"]
    models.write_text(f"[embed_clip_vit_b_32.encoder]\nfolder = '{folder}'\n")
    parts = assemble(Settings(data_dir=tmp_path, worker=False, device="cpu", models=models))
    async with parts.running():
        engine = parts.use_cases.engine
        found = await engine.embed_texts("embed_clip_vit_b_32", ["a cat", "two dogs in the sea"])
    expected = clip_texts(folder, ["a cat", "two dogs in the sea"])
    assert difference([one.vector for one in found], expected) < 1e-4
