"""Artifacts over the wire: a heatmap made by a worker, fetched by its link, or sent at once."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from opsin.core.testing import run_operation
from opsin.plugins.saliency.plugin import FindSaliency
from tests.conftest import LiveServer
from tests.graphql.test_main_job import ANALYZE, dataset, ended, uploaded
from tests.pictures import portrait

STORED = """query($id: ID!) { analysis(id: $id) {
  result { ... on Saliency { entropy } }
  annotations { nodes { annotationType storagePath url } }
  artifacts { id name contentType storagePath sizeBytes sha256 url } } }"""
NOW = """mutation($id: ID!) { analyzeImage(input: {imageId: $id, tasks: [{run: {saliency: {}}}]}) {
  outcomes { status annotations { annotationType storagePath }
    artifacts { name contentType sizeBytes base64 } } } }"""


@pytest.fixture(scope="module")
def heatmap() -> bytes:
    """What the runner itself makes of the portrait."""
    with Image.open(io.BytesIO(portrait())) as image:
        picture = np.array(image.convert("RGB"))
    (artifact,) = run_operation(FindSaliency(), picture).artifacts()
    return artifact.content


async def analyzed(live: LiveServer) -> dict[str, Any]:
    image = await uploaded(live, await dataset(live))
    asked = await live.data(ANALYZE, image=image["id"], tasks=[{"run": {"saliency": {}}}])
    assert (await ended(live, asked["analyze"][0]["id"]))["status"] == "COMPLETED"
    identity = asked["analyze"][0]["id"]
    found: dict[str, Any] = (await live.data(STORED, id=identity))["analysis"]
    return found | {"id": identity, "image": image["id"]}


async def test_a_heatmap_is_fetched_by_its_link(live: LiveServer, heatmap: bytes) -> None:
    analysis = await analyzed(live)
    (artifact,) = analysis["artifacts"]
    assert (artifact["name"], artifact["contentType"]) == ("saliency.png", "image/png")
    assert artifact["storagePath"] == f"ml_outputs/{analysis['id']}/saliency.png"
    assert artifact["sizeBytes"] == len(heatmap)
    answer = await live.client.get(artifact["url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == heatmap
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.size, image.mode) == ((512, 600), "L")
        brightest = np.unravel_index(int(np.array(image).argmax()), (600, 512))
    # The badge of the cap, where the result says that the peak is.
    assert np.hypot(brightest[0] - 60, brightest[1] - 200) < 12
    (annotation,) = analysis["annotations"]["nodes"]
    assert annotation == {
        "annotationType": "heatmap",
        "storagePath": artifact["storagePath"],
        "url": artifact["url"],
    }


async def test_an_artifact_is_a_node_and_goes_with_the_image(live: LiveServer) -> None:
    analysis = await analyzed(live)
    (artifact,) = analysis["artifacts"]
    node = "query($id: ID!) { node(id: $id) { ... on Artifact { name url } } }"
    found = await live.data(node, id=artifact["id"])
    assert found["node"] == {"name": "saliency.png", "url": artifact["url"]}
    delete = "mutation($id: ID!) { deleteImage(id: $id) { deletedId } }"
    await live.data(delete, id=analysis["image"])
    assert await live.data(node, id=artifact["id"]) == {"node": None}
    assert (await live.client.get(artifact["url"])).status_code == 404


async def test_an_immediate_result_carries_its_files(live: LiveServer, heatmap: bytes) -> None:
    image = await uploaded(live, await dataset(live))
    (outcome,) = (await live.data(NOW, id=image["id"]))["analyzeImage"]["outcomes"]
    assert outcome["status"] == "SUCCESS"
    (artifact,) = outcome["artifacts"]
    assert base64.b64decode(artifact["base64"], validate=True) == heatmap
    assert artifact["sizeBytes"] == len(heatmap)
    assert outcome["annotations"] == [
        {"annotationType": "heatmap", "storagePath": artifact["name"]}
    ]


async def test_an_operation_without_files_has_none(live: LiveServer) -> None:
    image = await uploaded(live, await dataset(live))
    query = NOW.replace("saliency", "perceptualHash")
    (outcome,) = (await live.data(query, id=image["id"]))["analyzeImage"]["outcomes"]
    assert (outcome["status"], outcome["artifacts"]) == ("SUCCESS", [])
    asked = await live.data(ANALYZE, image=image["id"], tasks=[{"run": {"imageQuality": {}}}])
    await ended(live, asked["analyze"][0]["id"])
    found = (await live.data(STORED, id=asked["analyze"][0]["id"]))["analysis"]
    assert found["artifacts"] == []
    assert {a["url"] for a in found["annotations"]["nodes"]} == {None}


async def test_an_answer_that_is_reused_has_its_files_too(live: LiveServer, heatmap: bytes) -> None:
    image = await uploaded(live, await dataset(live))
    found = []
    for _ in range(2):
        asked = await live.data(ANALYZE, image=image["id"], tasks=[{"run": {"saliency": {}}}])
        assert (await ended(live, asked["analyze"][0]["id"]))["status"] == "COMPLETED"
        found.append((await live.data(STORED, id=asked["analyze"][0]["id"]))["analysis"])
    (first,), (second,) = (analysis["artifacts"] for analysis in found)
    assert first["sha256"] == second["sha256"] and first["storagePath"] != second["storagePath"]
    assert (await live.client.get(second["url"])).content == heatmap
    (outcome,) = (await live.data(NOW, id=image["id"]))["analyzeImage"]["outcomes"]
    assert base64.b64decode(outcome["artifacts"][0]["base64"]) == heatmap
