"""The plugin in a server: its operation is listed, and answers with a type of its own."""

import base64
import io
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from opsin.app import create_app
from opsin.settings import load_settings

QUERY = """
mutation Measure($picture: String!) {
  analyzeImage(input: {
    base64: $picture
    tasks: [{taskId: "light", run: {measureBrightness: {darkBelow: 0.5}}}]
  }) {
    outcomes { taskId status result { __typename ... on Brightness { mean isDark } } }
  }
}
"""


async def ask(folder: Path, query: str, **variables: Any) -> Any:
    app = create_app(load_settings(data_dir=folder, worker=False))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.post("/graphql", json={"query": query, "variables": variables})
    document = answer.json()
    assert "errors" not in document, document
    return document["data"]


async def test_the_operation_is_listed_with_its_result_type(tmp_path: Path) -> None:
    data = await ask(tmp_path, "{ operations { name available resultType plugin { name } } }")
    assert {
        "name": "measure_brightness",
        "available": True,
        "resultType": "Brightness",
        "plugin": {"name": "brightness"},
    } in data["operations"]


async def test_a_picture_is_answered_with_the_typed_result(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (51, 51, 51)).save(file, "PNG")
    data = await ask(tmp_path, QUERY, picture=base64.b64encode(file.getvalue()).decode())
    (outcome,) = data["analyzeImage"]["outcomes"]
    assert outcome["taskId"] == "light"
    assert outcome["result"] == {"__typename": "Brightness", "mean": 0.2, "isDark": True}
