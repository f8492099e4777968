"""The main job over the wire: a portrait in, a durable analysis out, read and followed."""

import asyncio
from typing import Any

from tests.conftest import LiveServer
from tests.pictures import portrait

ANALYZE = """
mutation($image: ID!, $tasks: [TaskInput!]!) {
  analyze(input: {imageId: $image, tasks: $tasks}) { id status operation parameters }
}"""

NESTED = """
query($id: ID!) { dataset(id: $id) { name images { totalCount nodes { filename width height
  analyses { totalCount nodes { operation status errorCode errorMessage provenance
    result { __typename ... on BoundingBox { label score note box { xMin yMin xMax yMax } } }
    annotations { nodes { annotationType className confidence data } } } } } } } }"""


async def dataset(live: LiveServer, name: str = "portraits") -> str:
    query = "mutation($name: String!) { createDataset(input: {name: $name}) { id } }"
    made = await live.data(query, name=name)
    return str(made["createDataset"]["id"])


async def uploaded(live: LiveServer, dataset_id: str) -> dict[str, Any]:
    answer = await live.upload(dataset_id, portrait(), "grace_hopper.jpg")
    assert "errors" not in answer, answer
    image: dict[str, Any] = answer["data"]["uploadImage"]
    return image


async def ended(live: LiveServer, analysis_id: str) -> dict[str, Any]:
    """The analysis once it has ended."""
    query = "query($id: ID!) { analysis(id: $id) { id status errorCode errorMessage } }"
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = (await live.data(query, id=analysis_id))["analysis"]
            if found["status"] not in ("QUEUED", "PROCESSING"):
                return found
            await asyncio.sleep(0.05)


async def test_a_portrait_becomes_a_face_box(live: LiveServer) -> None:
    dataset_id = await dataset(live)
    image = await uploaded(live, dataset_id)
    assert (image["width"], image["height"]) == (512, 600)
    asked = await live.data(
        ANALYZE,
        image=image["id"],
        tasks=[{"taskId": "face", "run": {"detectBoundingBox": {"target": "PROMINENT_FACE"}}}],
    )
    analysis = asked["analyze"][0]
    assert analysis["status"] == "QUEUED"
    assert (await ended(live, analysis["id"]))["status"] == "COMPLETED"
    nested = (await live.data(NESTED, id=dataset_id))["dataset"]
    found = nested["images"]["nodes"][0]["analyses"]["nodes"][0]
    box = found["result"]["box"]
    for side, expected in {"xMin": 174, "yMin": 120, "xMax": 356, "yMax": 340}.items():
        assert abs(box[side] - expected) <= 2
    assert found["result"]["score"] > 0.999
    annotation = found["annotations"]["nodes"][0]
    assert annotation["className"] == "face"
    x, y, width, height = annotation["data"]["bbox"]
    assert [x, y, x + width, y + height] == [box["xMin"], box["yMin"], box["xMax"], box["yMax"]]
