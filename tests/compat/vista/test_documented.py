"""The clients of the API's documentation, taken out of it, against a real `opsin serve`.

`documented/guide.txt` is VISTA's guide for pipelines (sandialabs/VISTA, MIT licence) as a web page
gave it, which keeps the lines and loses the indentation; `documented/client.txt` is the Python
client in it with its indentation put back.  Nothing is changed but URL, ids, key and secret.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.cli.command import opsin as run_opsin
from tests.compat.vista.pipelines import SECRET
from tests.node import find_node
from tests.pictures import solid_png
from tests.processes import Marks, opsin

FOLDER = Path(__file__).parent / "documented"
GUIDE = (FOLDER / "guide.txt").read_text("utf-8")
CLIENT = (FOLDER / "client.txt").read_text("utf-8")
PICTURE = solid_png(64, 48)
MODES = pytest.mark.parametrize("auth", ["dev", "keys"])


@dataclass(frozen=True, slots=True)
class Served:
    """A server process, an image on it, and the key with which everything is asked for."""

    url: str
    image_id: str
    key: str
    client: httpx.AsyncClient
    folder: Path

    async def run(self, *command: str, environment: dict[str, str] | None = None) -> str:
        """What a program prints that must succeed."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors.decode()
        return output.decode()


@asynccontextmanager
async def served(folder: Path, auth: str) -> AsyncIterator[Served]:
    key = "your-api-key"  # dev mode lets everybody in, also with what stands in the guide
    if auth == "keys":
        made = run_opsin("keys", "create", "pipeline", "--data-dir", "data", "--json", cwd=folder)
        key = made.json()["key"]
    marks = Marks(folder, 0)
    marks.environment |= {
        "ML_ANALYSIS_ENABLED": "true",
        "ML_CALLBACK_HMAC_SECRET": SECRET,
        "ML_ALLOWED_MODELS": "yolo_v8,test_model",
    }
    serve = ("serve", "--port", "0", "--auth", auth)
    with opsin(folder, *serve, marks=marks, data_dir=folder / "data") as process:
        url = (await process.prints("GraphQL")).split()[-1].removesuffix("/graphql")
        headers = {"X-API-Key": key} if auth == "keys" else {}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
            body = {"name": "p", "meta_group_id": "local"}
            project = (await client.post("/api/projects", json=body)).json()["id"]
            file = {"file": ("a.png", PICTURE, "image/png")}
            image = await client.post(f"/api/projects/{project}/images", files=file)
            yield Served(url, image.json()["id"], key, client, folder)


def between(start: str, end: str) -> str:
    """The text of the guide from the one start to the end after it, with the start."""
    assert GUIDE.count(start) == 1
    return start + GUIDE.partition(start)[2].partition(end)[0]


def replaced(text: str, **changes: str) -> str:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


async def test_the_client_is_that_of_the_guide() -> None:
    told = between("import requests\nimport hmac\n", "The repository includes a test script")
    assert [line.strip() for line in CLIENT.splitlines() if line.strip()] == told.splitlines()


@MODES
async def test_the_python_client(tmp_path: Path, auth: str) -> None:
    async with served(tmp_path, auth) as server:
        (tmp_path / "detections.png").write_bytes(PICTURE)
        changes = {
            "http://localhost:8000": server.url,
            "your-hmac-secret": SECRET,
            "your-api-key": server.key,
            "your-image-id": server.image_id,
        }
        (tmp_path / "client.py").write_text(replaced(CLIENT, **changes))
        told = await server.run(sys.executable, "client.py")
        assert told.splitlines()[-1] == "Analysis complete!"
        identity = told.split("Analysis created: ")[1].splitlines()[0]
        found = (await server.client.get(f"/api/analyses/{identity}")).json()
        assert (found["status"], found["image_id"]) == ("completed", server.image_id)
        assert found["summary"] == {"total_detections": 1}
        assert found["parameters"] == {"confidence_threshold": 0.5}
        (box,) = found["annotations"]
        assert box["data"] == {"bbox": [100, 150, 50, 100], "format": "xywh"}
        assert found["created_at"] <= found["started_at"] <= found["completed_at"]
        path = {"path": f"ml_outputs/{identity}/detections.png"}
        seen = await server.client.get("/api/ml/artifacts/content", params=path)
        assert (seen.content, seen.headers["content-type"]) == (PICTURE, "image/png")


# What the guide leaves to its reader: an axios, a URL and a payload for each of its six steps.
NODE_STEPS = """
const axios = require("axios");
const [base, imageId, apiKey] = process.argv.slice(2);
const user = { headers: { "X-API-Key": apiKey } };
(async () => {
  const model = { model_version: "v8.0.0", model_name: "yolo_v8", parameters: { z: 1, a: 0.5 } };
  const made = await axios.post(`${base}/api/images/${imageId}/analyses`, model, user);
  const analysis = `${base}/api/analyses/${made.data.id}`;
  await patch(`${analysis}/status`, { status: "processing" });
  const artifacts = [{ content_type: "image/png", artifact_name: "boxes.png" }];
  const presigned = await post(`${analysis}/artifacts/presign`, { artifacts });
  const file = require("fs").readFileSync("boxes.png");
  const type = { headers: { "Content-Type": "image/png" } };
  await axios.put(presigned.data.presigned_urls[0].upload_url, file, type);
  const data = { bbox: [100, 150, 50, 1e2], format: "xywh" };
  const one = { data, annotation_type: "bounding_box", class_name: "Größe 鯨 🐋", confidence: 1.0 };
  const added = await post(`${analysis}/annotations:bulk`, { annotations: [one] });
  const ended = await post(`${analysis}/finalize`, { status: "completed", summary: { n: 1 } });
  const told = { id: made.data.id, created: added.data.created_count, status: ended.data.status };
  console.log(JSON.stringify({ ...told, statuses: [made.status, added.status, ended.status] }));
})();
"""


@MODES
async def test_the_node_version(tmp_path: Path, auth: str, node_clients: Path) -> None:
    told = between("const crypto = require('crypto');\n", "Security Notes:")
    functions, usage = told.split("// Usage\n")
    sending = [
        f"async function {name}(url, payload) {{\n{step}\nreturn response;\n}}"
        for name, step in (
            ("post", usage),
            ("patch", replaced(usage, **{"axios.post": "axios.patch"})),
        )
    ]
    (tmp_path / "program.cjs").write_text("\n".join([functions, *sending, NODE_STEPS]))
    (tmp_path / "boxes.png").write_bytes(PICTURE)
    async with served(tmp_path, auth) as server:
        output = await server.run(
            *(*find_node().node, "program.cjs", server.url, server.image_id, server.key),
            environment={
                "ML_CALLBACK_HMAC_SECRET": SECRET,
                "NODE_PATH": str(node_clients / "node_modules"),
            },
        )
        answer = json.loads(output)
        assert (answer["created"], answer["status"]) == (1, "completed")
        assert answer["statuses"] == [201, 201, 200]
        found = (await server.client.get(f"/api/analyses/{answer['id']}")).json()
        assert found["annotations"][0]["class_name"] == "Größe 鯨 🐋"
        path = {"path": f"ml_outputs/{answer['id']}/boxes.png"}
        seen = await server.client.get("/api/ml/artifacts/content", params=path)
        assert seen.content == PICTURE


@MODES
async def test_the_curl_lines(tmp_path: Path, auth: str) -> None:
    shell = shutil.which("bash"), shutil.which("curl")
    assert all(shell), "this test needs bash and curl on the PATH"
    bash = str(shell[0])
    async with served(tmp_path, auth) as server:
        create = between("curl -X POST ", "Update status (with HMAC):")
        changes = {"http://localhost:8000": server.url, "your-api-key": server.key}
        create = replaced(create, **changes, **{"{image_id}": server.image_id})
        made = json.loads(await server.run(bash, "-c", create))
        assert (made["model_name"], made["status"]) == ("test_model", "queued")
        commented = between('# python -c "import hmac', "curl -X PATCH")
        generate = "\n".join(line.removeprefix("# ") for line in commented.splitlines())
        generate = replaced(generate, **{"python -c": f"{sys.executable} -c", "secret": SECRET})
        signature = (await server.run(bash, "-c", generate)).strip()
        update = between("curl -X PATCH ", "Always implement robust error handling")
        changes = {"http://localhost:8000": server.url, "{analysis_id}": made["id"]}
        update = replaced(update, **changes, **{"<generated_signature>": signature})
        begun = json.loads(await server.run(bash, "-c", update))
        assert (begun["id"], begun["status"]) == (made["id"], "processing")
        assert begun["updated_at"]
