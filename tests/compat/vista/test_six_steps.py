"""The documented workflow, from the first step to the last, in both dialects and everywhere."""

import asyncio
import json
from typing import Any

import pytest

from tests.compat.vista.conftest import Vista
from tests.compat.vista.documented_client import MLPipelineClient, run_ml_analysis
from tests.compat.vista.pipelines import SECRET, timestamped
from tests.graphql.sockets import started_socket
from tests.node import CLIENTS, find_node
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOXES = [
    {
        "annotation_type": "bounding_box",
        "class_name": "person",
        "confidence": 0.95,
        "data": {"bbox": [100, 150, 50, 100], "format": "xywh"},
    },
    {
        "annotation_type": "bounding_box",
        "class_name": "voiture à l'arrêt",
        "confidence": 0.87,
        "data": {"x_min": 1, "y_min": 2, "x_max": 3.5, "y_max": 4},
    },
]
LIST_FORM = {"artifacts": [{"artifact_name": "heatmap.png", "content_type": "image/png"}]}
SINGLE_FORM = {"artifact_type": "heatmap", "filename": "heatmap.png"}
ROW_KEYS = {
    "id",
    "analysis_id",
    "annotation_type",
    "class_name",
    "confidence",
    "data",
    "storage_path",
    "ordering",
    "created_at",
}


@pytest.mark.parametrize("prefix", ["/api", "/api-key"])
@pytest.mark.parametrize("dialect", ["documented", "timestamped"])
async def test_six_steps(any_vista: Vista, dialect: str, prefix: str) -> None:
    pipeline = any_vista.pipeline(dialect, prefix)
    image_id = await any_vista.image()
    created = await pipeline.create(image_id, description="Object detection")
    assert created.status_code == 201, created.text
    analysis: dict[str, Any] = created.json()
    assert analysis["status"] == "queued"
    assert analysis["image_id"] == image_id
    assert analysis["annotations"] == []
    assert analysis["updated_at"] is None
    identity = analysis["id"]

    begun = await pipeline.status(identity, "processing")
    assert begun.status_code == 200, begun.text
    assert begun.json()["status"] == "processing"
    assert begun.json()["started_at"]

    form = LIST_FORM if dialect == "documented" else SINGLE_FORM
    presigned = await pipeline.presign(identity, form)
    assert presigned.status_code == 200, presigned.text
    answer = presigned.json()
    address = answer["presigned_urls"][0] if dialect == "documented" else answer
    path = f"ml_outputs/{identity}/heatmap.png"
    assert address["storage_path"] == path
    assert address["expires_in"] == 3600
    picture = solid_png(8, 8)
    headers = {"Content-Type": "image/png"}
    put = await any_vista.client.put(address["upload_url"], content=picture, headers=headers)
    assert put.status_code == 200, put.text

    heatmap = {"annotation_type": "heatmap", "data": {}, "storage_path": path}
    added = await pipeline.bulk(identity, [*BOXES, heatmap])
    assert added.status_code == (201 if dialect == "documented" else 200), added.text
    rows = added.json()
    assert rows["created_count"] == rows["total"] == len(rows["annotations"]) == 3
    assert [set(row) for row in rows["annotations"]] == [ROW_KEYS] * 3
    assert rows["annotations"][0]["data"] == BOXES[0]["data"]

    summary = {"total_detections": 2}
    ended = await pipeline.finalize(identity, status="completed", summary=summary)
    assert ended.status_code == 200, ended.text
    assert ended.json()["status"] == "completed"
    assert ended.json()["completed_at"]
    assert ended.json()["annotations"] == rows["annotations"]

    seen = await any_vista.client.get(
        f"{prefix}/ml/artifacts/content", params={"path": path}, headers=any_vista.user
    )
    assert seen.status_code == 200, seen.text
    assert seen.content == picture
    assert seen.headers["content-type"] == "image/png"


async def test_what_a_pipeline_tells_is_at_once_in_graphql(any_vista: Vista) -> None:
    pipeline = any_vista.pipeline()
    identity = (await pipeline.create(await any_vista.image())).json()["id"]
    presigned = (await pipeline.presign(identity, LIST_FORM)).json()["presigned_urls"][0]
    await any_vista.client.put(
        presigned["upload_url"], content=b"png", headers={"Content-Type": "image/png"}
    )
    await pipeline.bulk(identity, BOXES)
    await pipeline.finalize(identity, status="failed", error_message="out of film")
    query = """query($id: ID!) { analysis(id: $id) { status errorMessage external modelName
      annotations { nodes { annotationType className confidence data } }
      artifacts { name contentType sizeBytes sha256 storagePath } } }"""
    answer = await any_vista.client.post(
        "/graphql", json={"query": query, "variables": {"id": identity}}, headers=any_vista.user
    )
    found = answer.json()["data"]["analysis"]
    assert found["status"] == "FAILED"
    assert found["errorMessage"] == "out of film"
    assert [node["className"] for node in found["annotations"]["nodes"]] == [
        box["class_name"] for box in BOXES
    ]
    assert found["artifacts"][0]["name"] == "heatmap.png"
    assert found["artifacts"][0]["sizeBytes"] == 3


async def test_what_a_pipeline_tells_is_at_once_in_a_subscription(any_vista: Vista) -> None:
    pipeline, image_id = any_vista.pipeline(), await any_vista.image()
    query = """subscription($image: ID!) { analysisEvents(imageId: $image, after: "0") {
      kind artifactName analysis { id artifacts { name sizeBytes } } } }"""
    credentials = {"Authorization": f"Bearer {any_vista.key}"}
    async with started_socket(any_vista.live, credentials) as socket:
        await socket.subscribe("1", query, image=image_id)

        async def told() -> dict[str, Any]:
            async with asyncio.timeout(30):
                event: dict[str, Any] = (await socket.next())["data"]["analysisEvents"]
            return event

        identity = (await pipeline.create(image_id)).json()["id"]
        begun = await told()
        assert begun["analysis"]["id"] == identity
        assert begun["kind"] == "QUEUED"
        await pipeline.status(identity, "processing")
        assert (await told())["kind"] == "PROCESSING"
        url = (await pipeline.presign(identity, LIST_FORM)).json()["presigned_urls"][0]
        picture = {"Content-Type": "image/png"}
        await any_vista.client.put(url["upload_url"], content=b"heat", headers=picture)
        stored = await told()
        assert (stored["kind"], stored["artifactName"]) == ("ARTIFACT_STORED", "heatmap.png")
        assert stored["analysis"]["artifacts"] == [{"name": "heatmap.png", "sizeBytes": 4}]
        await pipeline.bulk(identity, BOXES)
        assert (await told())["kind"] == "ANNOTATED"
        await pipeline.finalize(identity, status="completed")
        assert (await told())["kind"] == "COMPLETED"


async def test_everything_is_signed_on_api_ml(any_vista: Vista) -> None:
    image_id = await any_vista.image()
    url = f"/api-ml/images/{image_id}/analyses"
    body = json.dumps({"model_name": "yolo_v8", "model_version": "1"}).encode()
    key = {"Authorization": f"Bearer {any_vista.key}"}
    client = any_vista.client
    assert (await client.post(url, content=body, headers=timestamped(body))).json() == {
        "detail": "API key required."
    }
    unsigned = await client.post(url, content=body, headers=key)
    assert unsigned.status_code == 401
    assert unsigned.json() == {"detail": "Invalid or missing HMAC signature."}
    made = await client.post(url, content=body, headers=key | timestamped(body))
    assert made.status_code == 201, made.text
    listed = await client.get(url, headers=key | timestamped(b""))
    assert listed.json()["total"] == 1
    assert (await client.get(url, headers=key)).status_code == 401


async def test_the_documented_client(any_vista: Vista) -> None:
    client = MLPipelineClient(any_vista.live.url, SECRET, any_vista.key)
    image_id = await any_vista.image()
    identity = await asyncio.to_thread(run_ml_analysis, client, image_id, solid_png(8, 8))
    read = await any_vista.client.get(f"/api/analyses/{identity}", headers=any_vista.user)
    assert read.json()["status"] == "completed"
    assert read.json()["summary"] == {"total_detections": 1}
    assert len(read.json()["annotations"]) == 1


async def test_a_node_client(vista: Vista) -> None:
    script = str(CLIENTS / "vista.mjs")
    command = [*find_node().node, script, vista.live.url, await vista.image(), SECRET, vista.key]
    run = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await run.communicate()
    assert run.returncode == 0
    told = json.loads(output)
    assert (told["added"], told["status"]) == (1, "completed")
    read = await vista.client.get(f"/api/analyses/{told['id']}", headers=vista.user)
    assert read.json()["annotations"][0]["class_name"] == "Größe 鯨 🐋"
