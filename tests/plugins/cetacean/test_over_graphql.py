"""From end to end: a server with a small manifest, individuals enrolled, found and removed."""

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from PIL import Image

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql.asking import ADD_MEMBERS, CREATE_COLLECTION, dataset, image
from tests.plugins.cetacean.making import (
    gate,
    manifest,
    pictures,
    prototypes,
    save_embedder,
    save_gate,
    save_prototypes,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

FOUND = """taskId status errorCode errorMessage annotations { annotationType className }
  result { __typename
    ... on CetaceanScreening { passed: isCetacean score: cetaceanScore threshold }
    ... on CetaceanIdentification { isCetacean cetaceanScore rejected rejectionReason individual
      species cosine newIndividual matchedBy manifest
      candidates { rank individual species probability cosine } } }"""
ASK = f"""mutation($image: ID!, $tasks: [TaskInput!]!) {{
  analyzeImage(input: {{imageId: $image, tasks: $tasks}}) {{ outcomes {{ {FOUND} }} }} }}"""
REMOVE = """mutation($label: String!) {
  removeCollectionMembers(input: {collection: "pod", labels: [$label]}) { removedCount } }"""
NAMES = ("0a1e", "12e5")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    folder: Path = tmp_path_factory.mktemp("whales")
    save_gate(folder)
    save_embedder(folder)
    torch.manual_seed(5)
    save_prototypes(folder, NAMES, torch.randn(2, 32), {"0a1e": "beluga"})
    file = manifest(
        folder,
        gate=gate(threshold=0.0),
        prototypes=prototypes(),
        gallery={"open_set": {"min_cosine": 0.999}},
    )
    settings = Settings(
        data_dir=folder / "data",
        worker=False,
        device="cpu",
        plugin_options={"cetacean": {"manifest": str(file)}},
    )
    async with serve(settings) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def images(live: LiveServer) -> list[str]:
    """Four pictures, of which the first two are of Ivory and the third is of Ebony."""
    dataset_id = await dataset(live, "whales")
    stored = []
    for number, picture in enumerate(pictures(4)):
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, "PNG")
        told = {"base64": base64.b64encode(encoded.getvalue()).decode()}
        stored.append(await image(live, dataset_id, filename=f"{number}.png", **told))
    await live.data(CREATE_COLLECTION, key="pod", operation="embed_cetacean")
    for label, ids, attributes in (
        ("Ivory", stored[:2], {"species": "beluga"}),
        ("Ebony", stored[2:3], {}),
    ):
        given = {
            "collection": "pod",
            "imageIds": ids,
            "label": label,
            "attributes": attributes,
        }
        done = await live.data(ADD_MEMBERS, input=given)
        assert done["addCollectionMembers"]["addedCount"] == len(ids)
    return stored


async def ask(live: LiveServer, image_id: str, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
    found = await live.data(ASK, image=image_id, tasks=list(tasks))
    outcomes: list[dict[str, Any]] = found["analyzeImage"]["outcomes"]
    return outcomes


def identify(**params: Any) -> dict[str, Any]:
    return {"run": {"identifyCetacean": params}}


async def test_enrolled_individuals_are_found(live: LiveServer, images: list[str]) -> None:
    expected = [("Ivory", "beluga", False), ("Ivory", "beluga", False), ("Ebony", None, False)]
    for image_id, (individual, species, new) in zip(images, expected, strict=False):
        (outcome,) = await ask(live, image_id, identify(gallery="pod", candidates=2))
        found = outcome["result"]
        assert (found["individual"], found["species"], found["newIndividual"]) == (
            individual, species, new
        ), outcome  # fmt: skip
        assert found["cosine"] == pytest.approx(1, abs=1e-5)
        assert (found["matchedBy"], found["rejected"], found["isCetacean"]) == (
            "GALLERY", False, True
        )  # fmt: skip
        assert {one["individual"] for one in found["candidates"]} == {"Ivory", "Ebony"}
    (outcome,) = await ask(live, images[3], identify(gallery="pod"))
    assert outcome["result"]["newIndividual"] is True
    assert outcome["result"]["rejectionReason"] == "LOW_CONFIDENCE"


async def test_prototypes_need_no_gallery(live: LiveServer, images: list[str]) -> None:
    screened, outcome = await ask(live, images[0], {"operation": "screen_cetacean"}, identify())
    assert screened["result"]["passed"] is True
    assert outcome["result"]["cetaceanScore"] == pytest.approx(screened["result"]["score"])
    assert outcome["result"]["individual"] in NAMES
    assert outcome["result"]["matchedBy"] == "PROTOTYPES"
    kinds = [annotation["className"] for annotation in outcome["annotations"]]
    assert kinds == ["cetacean", outcome["result"]["individual"]]


async def test_a_gallery_that_is_not_there(live: LiveServer, images: list[str]) -> None:
    (outcome,) = await ask(live, images[0], identify(gallery="herd"))
    assert (outcome["status"], outcome["errorCode"]) == ("ERROR", "NOT_FOUND")


async def test_whoever_is_removed_is_not_found_again(live: LiveServer, images: list[str]) -> None:
    given = {"collection": "pod", "imageIds": [images[3]], "label": "Coral"}
    (before,) = await ask(live, images[3], identify(gallery="pod"))
    await live.data(ADD_MEMBERS, input=given)
    (during,) = await ask(live, images[3], identify(gallery="pod"))
    await live.data(REMOVE, label="Coral")
    (after,) = await ask(live, images[3], identify(gallery="pod"))
    individuals = [one["result"]["individual"] for one in (before, during, after)]
    assert individuals[1] == "Coral" and individuals[0] == individuals[2] != "Coral"
