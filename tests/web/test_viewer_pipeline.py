"""The documented pipeline at its six steps, seen on an image's page that nobody reloads."""

import asyncio
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import Page, expect

from opsin.settings import Settings
from tests.compat.vista.documented_client import MLPipelineClient, run_ml_analysis
from tests.compat.vista.pipelines import SECRET
from tests.conftest import LiveServer, serve
from tests.pictures import portrait
from tests.web.browser import visit
from tests.web.seeing import new_image

pytestmark = pytest.mark.timeout(180)

WIDTH, HEIGHT = 512, 600  # pixels of the portrait
FACE = [180.0, 125.0, 150.0, 170.0]

# Keeps every status that the page shows of each analysis, however short it is shown.
_REMEMBER = """() => {
  window.reloaded = false;
  window.statuses = [];
  const look = () => document.querySelectorAll('[data-analysis]').forEach((line) => {
    const seen = `${line.dataset.analysis} ${line.dataset.status}`;
    if (!statuses.includes(seen)) statuses.push(seen);
  });
  new MutationObserver(look).observe(document.querySelector('.panel'),
    {subtree: true, childList: true, attributes: true});
}"""

# How opaque the overlay is at most in a part of the picture: x, y, width, height, picture's width.
_INK = """([x, y, width, height, wide]) => {
  const canvas = document.querySelector('.stage-overlay:not(.next)');
  const picture = document.querySelector('.stage-picture').getBoundingClientRect();
  const own = canvas.getBoundingClientRect();
  const [scale, ratio] = [picture.width / wide, canvas.width / own.width];
  const place = [(picture.left - own.left + x * scale) * ratio,
    (picture.top - own.top + y * scale) * ratio, width * scale * ratio, height * scale * ratio];
  const {data} = canvas.getContext('2d').getImageData(...place);
  return Math.max(...data.filter((_, at) => at % 4 === 3));
}"""


def heatmap() -> bytes:
    """A grey PNG, bright around the face."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    middle = FACE[0] + FACE[2] / 2, FACE[1] + FACE[3] / 2
    far = ((across - middle[0]) / 110) ** 2 + ((down - middle[1]) / 130) ** 2
    file = io.BytesIO()
    Image.fromarray((255 * np.exp(-far)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


async def keep(page: Page, name: str) -> None:
    """Stores what is seen under the folder that VIEWER_SCREENSHOTS names, for people to look at."""
    if folder := os.environ.get("VIEWER_SCREENSHOTS"):
        path = Path(folder) / f"{name}.png"
        # A file of a test; nothing else waits on this loop meanwhile.
        path.parent.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=path)


async def has_ink(page: Page, part: list[float]) -> None:
    await page.wait_for_function(f"(part) => ({_INK})(part) > 60", arg=[*part, WIDTH])


async def step(call: Any, *given: Any, **named: Any) -> Any:
    """A step of the documented client, which waits, on a thread of its own."""
    return await asyncio.to_thread(call, *given, **named)


@pytest.fixture
def documented(settings: Settings) -> Settings:
    return settings.model_copy(update={"vista_hmac_secret": SECRET})


async def portrait_on(live: LiveServer) -> str:
    dataset, _ = await new_image(live)
    stored = await live.upload(dataset, portrait(), "portrait.jpg")
    image: str = stored["data"]["uploadImage"]["id"]
    return image


@pytest.mark.parametrize("dark", [False, True])
async def test_six_steps_are_seen_as_they_happen(documented: Settings, dark: bool) -> None:
    async with serve(documented) as live, visit(live, dark=dark) as seen:
        image = await portrait_on(live)
        client = MLPipelineClient(live.url, SECRET)
        page, shade = seen.page, "dark" if dark else "light"
        await seen.go(f"#/images/{image}")
        await page.evaluate(_REMEMBER)
        await expect(page.locator(".stage-frame > .live")).to_have_text("Live")
        await expect(page.locator(".analyses")).to_contain_text("No analysis yet")
        await keep(page, f"0-open-{shade}")

        made = await step(client.create_analysis, image, "yolo_v8", "v8.0.0")
        line = page.locator(f"[data-analysis='{made['id']}']")
        await expect(line).to_have_attribute("data-status", "QUEUED")
        await keep(page, f"1-queued-{shade}")

        await step(client.update_status, made["id"], "processing")
        await expect(line).to_have_attribute("data-status", "PROCESSING")
        await keep(page, f"2-processing-{shade}")

        wanted = [{"artifact_name": "heatmap.png", "content_type": "image/png"}]
        presigned = await step(client.request_presigned_urls, made["id"], wanted)
        (place,) = presigned["presigned_urls"]
        await step(client.upload_artifact, place["upload_url"], heatmap(), "image/png")
        reading = page.locator(".reading")
        await expect(reading.get_by_role("link", name="heatmap.png")).to_be_visible()
        await keep(page, f"4-artifact-{shade}")

        box = {"bbox": FACE, "format": "xywh"}
        found = [
            {
                "annotation_type": "heatmap",
                "data": {"width": WIDTH, "height": HEIGHT},
                "storage_path": place["storage_path"],
            },
            {
                "annotation_type": "bounding_box",
                "class_name": "face",
                "confidence": 0.97,
                "data": box,
            },
        ]
        await step(client.submit_annotations, made["id"], found)
        await expect(line).to_contain_text("2 found")
        await expect(page.locator(".finding").filter(has_text="face")).to_contain_text("97.0%")
        await has_ink(page, [FACE[0] - 1, FACE[1] + 40, 3, 3])  # the box's left side
        await has_ink(page, [FACE[0] + 60, FACE[1] + 80, 3, 3])  # the heat in its middle
        await keep(page, f"5-annotations-{shade}")

        await step(client.finalize_analysis, made["id"], summary={"total_detections": 1})
        await expect(line).to_have_attribute("data-status", "COMPLETED")
        await expect(reading).to_contain_text("Total detections")
        await keep(page, f"6-completed-{shade}")
        shown = [f"{made['id']} {one}" for one in ("QUEUED", "PROCESSING", "COMPLETED")]
        assert await page.evaluate("window.statuses") == shown
        assert await page.evaluate("window.reloaded") is False


async def test_the_whole_documented_workflow_is_seen(documented: Settings) -> None:
    async with serve(documented) as live, visit(live) as seen:
        image = await portrait_on(live)
        await seen.go(f"#/images/{image}")
        await seen.page.evaluate(_REMEMBER)
        client = MLPipelineClient(live.url, SECRET)
        made = await step(run_ml_analysis, client, image, heatmap())
        line = seen.page.locator(f"[data-analysis='{made}']")
        await expect(line).to_have_attribute("data-status", "COMPLETED")
        await expect(line).to_contain_text("yolo_v8")
        await expect(line).to_contain_text("1 found")
        await expect(seen.page.get_by_role("link", name="detections.png")).to_be_visible()
        await has_ink(seen.page, [99, 190, 3, 3])
        assert await seen.page.evaluate("window.reloaded") is False
