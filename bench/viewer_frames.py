"""The viewer in a real Chromium: first paint, and frames of what a hand does with much to show."""

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from bench.server import running_server
from bench.viewer_images import copy_image, dataset_of, image_with
from bench.viewer_trace import traced

FIRST, MANY = 1_000, 10_000  # boxes
IMAGES = 100_000
WINDOW = {"width": 1400, "height": 860}
HAND_MS = 3_000  # how long a hand is at it
BETWEEN = 0.008  # seconds between two of its moves

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


def main(runs: int = 10) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="opsin-bench-") as name,
        running_server(Path(name)) as client,
    ):
        few, many = (image_with(client, count) for count in (FIRST, MANY))
        dataset = dataset_of(client, few)
        copy_image(Path(name) / "opsin.sqlite3", few, IMAGES - 1)
        url = str(client.base_url).rstrip("/")
        result = asyncio.run(_measure(url, few, many, dataset, runs))
    print(json.dumps(result, indent=1), flush=True)
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


async def _measure(url: str, few: str, many: str, dataset: str, runs: int) -> dict[str, Any]:
    """Every case once a run, one after the other, so that none has a quieter machine."""
    async with _browser() as launched:
        paints = [await _first_paint(launched, f"{url}/#/images/{few}") for _ in range(runs)]
        picture = await _opened(launched, f"{url}/#/images/{many}")
        await picture.wait_for_function(
            f"() => [...document.querySelectorAll('.section-note')].some((one) => "
            f"one.textContent === '{MANY:,}')"
        )
        grid = await _opened(launched, f"{url}/#/datasets/{dataset}")
        await grid.wait_for_function(
            f"() => document.querySelector('.tally')?.textContent.startsWith('{IMAGES:,}')"
        )
        cases: dict[str, tuple[Page, str, Callable[[Page, int], Awaitable[None]]]] = {
            "panning_all_in_view": (picture, "0", _drag),
            "panning_at_full_size": (picture, "z", _drag),
            "zooming": (picture, "0", _wheel),
            "filtering_by_confidence": (picture, "0", _slide),
            "scrolling_the_grid": (grid, "", _scroll),
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        jumps = []
        for _ in range(runs):
            for name, (page, key, hand) in cases.items():
                await page.bring_to_front()
                if key:
                    await page.locator(".stage").press(key)
                await page.wait_for_timeout(500)
                found[name].append(await _frames(page, hand))
            jumps.append(await _jump(grid))
    return {
        "first_paint_ms": _spread(paints),
        "boxes": {"first_paint": FIRST, "others": MANY},
        "images": IMAGES,
        **{name: _summary(frames) for name, frames in found.items()},
        "far_tiles_ms": _spread(jumps),
    }


async def _opened(launched: Browser, address: str) -> Page:
    context = await launched.new_context(viewport=WINDOW)  # type: ignore[arg-type]  # a TypedDict
    await context.add_init_script(_OBSERVE)
    page = await context.new_page()
    await page.goto(address)
    return page


async def _first_paint(launched: Browser, address: str) -> float:
    """Milliseconds from an empty cache to the picture with its boxes."""
    context = await launched.new_context(viewport=WINDOW)  # type: ignore[arg-type]  # a TypedDict
    page = await context.new_page()
    await page.goto(address, wait_until="commit")
    painted: float = await page.evaluate(_PAINTED)
    await context.close()
    return painted


async def _frames(page: Page, hand: Callable[[Page, int], Awaitable[None]]) -> dict[str, float]:
    """What the page's main thread and its frames were like while a hand did something."""
    box = await page.locator(".stage, .scroller").bounding_box()
    assert box is not None
    await page.evaluate("() => { longTasks.length = 0; }")
    tracing = await traced(page)
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    frames = asyncio.create_task(page.evaluate(_FRAMES % HAND_MS))
    step = 0
    while not frames.done():
        step += 1
        await hand(page, step)
        await asyncio.sleep(BETWEEN)
    times: list[float] = await frames
    await page.mouse.up()
    longest_of_processor = await tracing.longest_task()
    gaps = sorted(after - before for before, after in pairwise(times))
    long_tasks: list[float] = await page.evaluate("longTasks")
    return {
        "a_second": 1000 / statistics.mean(gaps),
        "p95": gaps[int(len(gaps) * 0.95)],
        "longest": gaps[-1],
        "long_tasks": len(long_tasks),
        "longest_task": max(long_tasks, default=0),
        "longest_of_processor": longest_of_processor,
    }


async def _drag(page: Page, step: int) -> None:
    """The picture, round and round."""
    if step == 1:
        await page.mouse.down()
    across, down = 120 * ((step // 20) % 2 * 2 - 1), 80 * ((step // 10) % 2 * 2 - 1)
    x, y = WINDOW["width"] * 0.37, WINDOW["height"] * 0.55
    await page.mouse.move(x + across * (step % 20) / 20, y + down * (step % 10) / 10)


async def _wheel(page: Page, step: int) -> None:
    await page.mouse.wheel(0, -60 if step // 40 % 2 == 0 else 60)


async def _slide(page: Page, step: int) -> None:
    """The slider of the least confidence, up and down."""
    value = abs(step % 160 - 80)
    await page.evaluate(
        """(value) => { const slider = document.querySelector('.confidence input');
          slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }""",
        value,
    )


async def _scroll(page: Page, step: int) -> None:
    """Down quickly, as with a trackpad; every now and then back up."""
    await page.mouse.wheel(0, 240 if step // 60 % 3 else -120)


async def _jump(page: Page) -> float:
    """Milliseconds from dragging the bar to a place never seen until its tiles are there."""
    elapsed: float = await page.evaluate(
        """async (share) => {
          const scroller = document.querySelector('.scroller');
          const before = performance.now();
          scroller.scrollTop = share * scroller.scrollHeight;
          await new Promise((resolve) => {
            const look = () => {
              const tiles = document.querySelectorAll('a.tile').length;
              const pending = document.querySelectorAll('.tile.pending').length;
              const near = document.querySelector('.virtual-tile')?.getBoundingClientRect().top;
              if (tiles && !pending && Math.abs(near) < 2000) resolve();
              else requestAnimationFrame(look);
            };
            requestAnimationFrame(() => requestAnimationFrame(look));
          });
          return performance.now() - before;
        }""",
        random.random(),
    )
    return elapsed


def _spread(values: list[float]) -> dict[str, int]:
    return {
        "median": round(statistics.median(values)),
        "least": round(min(values)),
        "most": round(max(values)),
    }


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Over all runs; times in milliseconds."""
    return {
        "frames_a_second_median": round(statistics.median(run["a_second"] for run in runs), 1),
        "frames_a_second_least": round(min(run["a_second"] for run in runs), 1),
        "frame_p95_median": round(statistics.median(run["p95"] for run in runs), 1),
        "longest_frame": round(max(run["longest"] for run in runs), 1),
        "runs_with_long_tasks": sum(run["long_tasks"] > 0 for run in runs),
        "longest_task": max(run["longest_task"] for run in runs),
        "longest_task_of_processor": round(max(run["longest_of_processor"] for run in runs), 1),
        "runs": len(runs),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    main(parser.parse_args().runs)
