"""The viewer in a real Chromium: an image page's first paint, frames while panning 10,000 boxes."""

import asyncio
import contextlib
import json
import random
import shutil
import statistics
import tempfile
from collections.abc import AsyncIterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from bench.server import data, new_image, running_server

WIDTH, HEIGHT = 3200, 2400  # pixels of the picture
FIRST, MANY = 1_000, 10_000  # boxes
ROUNDS = 5
PAN_MS = 4_000

# Told by the browser itself: long tasks of the page's main thread (50 ms and more).
_OBSERVE = """window.longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((one) => one.duration)))
  .observe({type: 'longtask', buffered: true});"""

# When the overlay first has ink, in ms since the navigation began.
_PAINTED = """new Promise((resolve) => {
  const look = () => {
    const rows = document.querySelectorAll('.finding').length;
    const picture = document.querySelector('.stage-picture');
    const drawn = rows && picture?.complete && picture.style.transform;
    if (drawn) requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
    else requestAnimationFrame(look);
  };
  look();
})"""

_FRAMES = """new Promise((resolve) => {
  const times = [];
  const look = (now) => {
    times.push(now);
    if (now - times[0] < %d) requestAnimationFrame(look);
    else resolve(times);
  };
  requestAnimationFrame(look);
})"""


def main() -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="opsin-bench-") as name,
        running_server(Path(name)) as client,
    ):
        few, many = (_image_with(client, count) for count in (FIRST, MANY))
        result = asyncio.run(_measure(str(client.base_url).rstrip("/"), few, many))
    print(json.dumps(result), flush=True)
    return result


@contextlib.asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise RuntimeError("no Chromium on the PATH: apt-get install -y chromium")
    async with async_playwright() as playwright:
        # In a container it runs as root, where its own sandbox cannot be.
        launched = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        await launched.close()


async def _measure(url: str, few: str, many: str) -> dict[str, Any]:
    async with _browser() as launched:
        paints = [await _first_paint(launched, f"{url}/#/images/{few}") for _ in range(ROUNDS)]
        context = await launched.new_context(viewport={"width": 1400, "height": 860})
        await context.add_init_script(_OBSERVE)
        page = await context.new_page()
        await page.goto(f"{url}/#/images/{many}")
        await page.wait_for_function(
            f"() => [...document.querySelectorAll('.section-note')].some((one) => "
            f"one.textContent === '{MANY:,}')"
        )
        await page.wait_for_timeout(1500)
        fitted = await _pan(page)
        await page.keyboard.press("Escape")
        await page.locator(".stage").press("1")
        close = await _pan(page)
    return {
        "first_paint_ms": round(statistics.median(paints)),
        "boxes_first": FIRST,
        "boxes_many": MANY,
        "panning_all_in_view": fitted,
        "panning_at_full_size": close,
    }


async def _first_paint(launched: Browser, address: str) -> float:
    """Milliseconds from an empty cache to the picture with its boxes."""
    context = await launched.new_context(viewport={"width": 1400, "height": 860})
    page = await context.new_page()
    await page.goto(address, wait_until="commit")
    painted: float = await page.evaluate(_PAINTED)
    await context.close()
    return painted


async def _pan(page: Page) -> dict[str, Any]:
    """Frames while the mouse drags the picture round and round."""
    box = await page.locator(".stage").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.evaluate("() => { longTasks.length = 0; }")
    await page.mouse.move(*middle)
    await page.mouse.down()
    frames = asyncio.create_task(page.evaluate(_FRAMES % PAN_MS))
    step = 0
    while not frames.done():
        step += 1
        across, down = 120 * ((step // 20) % 2 * 2 - 1), 80 * ((step // 10) % 2 * 2 - 1)
        await page.mouse.move(
            middle[0] + across * (step % 20) / 20, middle[1] + down * (step % 10) / 10
        )
        await asyncio.sleep(0.008)
    times: list[float] = await frames
    await page.mouse.up()
    gaps = sorted(after - before for before, after in pairwise(times))
    long_tasks: list[float] = await page.evaluate("longTasks")
    return {
        "frames_a_second": round(1000 / statistics.mean(gaps), 1),
        "frame_ms_median": round(statistics.median(gaps), 1),
        "frame_ms_p95": round(gaps[int(len(gaps) * 0.95)], 1),
        "long_tasks": len(long_tasks),
        "longest_task_ms": max(long_tasks, default=0),
    }


def _image_with(client: httpx.Client, count: int) -> str:
    """The id of an image in which an external model found so many boxes."""
    rng = random.Random(count)
    out = BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (90, 100, count % 255)).save(out, "JPEG")
    image = new_image(client, out.getvalue())
    made = data(
        client,
        "mutation($i: CreateAnalysisInput!) { createAnalysis(input: $i) { id } }",
        i={"imageId": image, "modelName": "crowd", "modelVersion": "1"},
    )
    analysis = made["createAnalysis"]["id"]
    found = [_box(rng) for _ in range(count)]
    for start in range(0, count, 1000):
        data(
            client,
            "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }",
            i={"analysisId": analysis, "annotations": found[start : start + 1000]},
        )
    data(
        client,
        "mutation($i: FinalizeAnalysisInput!) { finalizeAnalysis(input: $i) { id } }",
        i={"analysisId": analysis},
    )
    return image


def _box(rng: random.Random) -> dict[str, Any]:
    corner = [rng.uniform(0, WIDTH - 60), rng.uniform(0, HEIGHT - 60)]
    return {
        "annotationType": "bounding_box",
        "className": f"class {rng.randint(0, 11)}",
        "confidence": round(rng.random(), 3),
        "data": {"bbox": [*corner, rng.uniform(8, 60), rng.uniform(8, 60)], "format": "xywh"},
    }


if __name__ == "__main__":
    main()
