"""Recording over HTTP: calls of every API become images, in GraphQL and in the viewer."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import expect

from tests.compat.world import PICTURE, World
from tests.web.browser import visit

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

TASKS = [{"operation_id": "mine", "type": "detect_bounding_box"}]
ANALYZE_IMAGE = """mutation($file: Upload!) { analyzeImage(input: {file: $file, tasks: [
    {taskId: "sharp", operation: "image_quality"}, {operation: "dominant_colors"}]}) {
    outcomes { status } } }"""
RECORDED = """{ datasets(first: 50) { nodes { id name images(first: 50) { nodes {
    filename contentType width height
    analyses(first: 50) { nodes { operation status taskId: id external } } } } } } }"""


async def datasets(everything: World) -> dict[str, list[Any]]:
    """The recorded images by the dataset's name."""
    data = await everything.live.data(RECORDED)
    return {
        one["name"]: one["images"]["nodes"]
        for one in data["datasets"]["nodes"]
        if one["name"].startswith("Recorded from ")
    }


async def test_every_api_has_a_dataset_of_what_it_answered(everything: World) -> None:
    client = everything.live.client
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/analyze_image", {"content": PICTURE}),
        ("/analyze_raw_image?width=4&height=2", {"content": bytes(range(24))}),
        (
            "/analyze_image_upload/",
            {
                "files": {"image_file": ("portrait.png", PICTURE, "image/png")},
                "data": {"tasks_json": json.dumps(TASKS)},
            },
        ),
        ("/analyze_image", {"json": {"image_url": everything.picture_url, "tasks": TASKS}}),
        ("/v1/predict-single", {"files": {"file": ("whale.png", PICTURE, "image/png")}}),
        (
            "/graphql",
            {
                "files": {"0": ("leaf.png", PICTURE, "image/png")},
                "data": {
                    "operations": json.dumps({"query": ANALYZE_IMAGE, "variables": {"file": None}}),
                    "map": '{"0": ["variables.file"]}',
                },
            },
        ),
    ]
    for path, request in calls:
        answer = await client.post(path, **request)
        assert answer.status_code == 200, (path, answer.text)
    expected = {"PEKAT VISION": 2, "image_embed": 2, "whales": 1, "GraphQL": 1}
    while True:  # until pytest-timeout
        found = await datasets(everything)
        counts = {name.removeprefix("Recorded from "): len(found[name]) for name in found}
        if counts == expected:
            break
        await asyncio.sleep(0.05)
    pekat = found["Recorded from PEKAT VISION"]
    assert {(one["contentType"], one["width"], one["height"]) for one in pekat} == {
        ("image/png", 40, 30),
        ("image/png", 4, 2),
    }
    for image in pekat:
        done = [(one["operation"], one["status"]) for one in image["analyses"]["nodes"]]
        assert sorted(done) == [("heat_of_luma", "COMPLETED"), ("judge_tone", "COMPLETED")]
    names = {one["filename"] for one in found["Recorded from image_embed"]}
    assert len(names) == 2
    [leaf] = found["Recorded from GraphQL"]
    assert leaf["filename"] == "leaf.png"
    assert {one["operation"] for one in leaf["analyses"]["nodes"]} == {
        "image_quality",
        "dominant_colors",
    }
    [whale] = found["Recorded from whales"]
    assert whale["filename"] == "whale.png"
    assert whale["analyses"]["nodes"], whale


async def test_the_viewer_shows_them(everything: World) -> None:
    await everything.live.client.post("/analyze_image", content=PICTURE)
    async with visit(everything.live) as window:
        await window.go("#/")
        await window.page.get_by_role("link", name="Recorded from PEKAT VISION").first.click()
        await window.page.get_by_role("link", name="2 completed").first.click()
        await expect(window.page.get_by_text("Judge tone").first).to_be_visible()


async def test_what_is_recorded_is_counted(everything: World) -> None:
    metrics = (await everything.live.client.get("/metrics")).text
    lines = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[:1] not in ("#", ""))
    assert float(lines['opsin_recorded_calls_total{outcome="recorded"}']) >= 6
    assert float(lines['opsin_recorded_calls_total{outcome="dropped"}']) == 0
    assert float(lines['opsin_recorded_calls_total{outcome="failed"}']) == 0
    assert "opsin_calls_to_record" in lines
