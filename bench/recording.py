"""What recording costs the callers: two servers, one of which records, asked in turns.

Every picture is another, so that nothing is known of it.  Calls come one at a time with pauses, as
from a camera; then without; then eight at once.  At the end it is counted what was recorded.
"""

import asyncio
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from bench.server import data, running_server

WIDTH, HEIGHT = 640, 480
FLOW = json.dumps([{"operation": "image_quality"}, {"operation": "dominant_colors"}])
WAYS = ((1, 0.15, 8), (1, 0.0, 24), (8, 0.0, 24))
"""Clients, the pause of each between its calls in seconds, calls a round."""
ROUNDS, WARM_UP = 12, 2
COUNT = """{ datasets(first: 9) { nodes { name images { totalCount } } } }"""
PATIENCE_SECONDS = 60


def main() -> list[dict[str, Any]]:
    asked = sum(calls * (ROUNDS + WARM_UP) for _, _, calls in WAYS)
    pictures = iter(_pictures(asked))
    with (
        tempfile.TemporaryDirectory(prefix="opsin-bench-") as folder,
        running_server(Path(folder) / "off", pekat_flow=FLOW) as off,
        running_server(Path(folder) / "on", pekat_flow=FLOW, record_stateless="true") as on,
    ):
        servers = {"off": str(off.base_url), "on": str(on.base_url)}
        results = []
        for clients, pause, calls in WAYS:
            rounds = [[next(pictures) for _ in range(calls)] for _ in range(ROUNDS + WARM_UP)]
            results.append(asyncio.run(_compared(clients, pause, servers, rounds)))
            print(results[-1], flush=True)
        counted = {"asked": asked, "recorded": _recorded(on, asked), "without": _recorded(off, 0)}
        print(counted, flush=True)
        return [*results, counted]


async def _compared(
    clients: int, pause: float, servers: dict[str, str], rounds: list[list[bytes]]
) -> dict[str, Any]:
    """Medians over the rounds, in each of which both servers get the same pictures."""
    times: dict[str, list[float]] = {name: [] for name in servers}
    walls: dict[str, list[float]] = {name: [] for name in servers}
    async with httpx.AsyncClient(timeout=60) as client:
        for number, pictures in enumerate(rounds):
            # Whoever comes second finds a warmer machine: they take turns.
            names = list(servers) if number % 2 else list(servers)[::-1]
            for name in names:
                begun = time.perf_counter()
                taken = await _burst(client, servers[name], clients, pause, pictures)
                if number >= WARM_UP:
                    walls[name].append(time.perf_counter() - begun)
                    times[name].append(statistics.median(taken))
    ratios = [on / off for on, off in zip(times["on"], times["off"], strict=True)]
    rates = [off / on for on, off in zip(walls["on"], walls["off"], strict=True)]
    return {
        "clients": clients,
        "pause_ms": round(pause * 1000),
        "off_ms": round(statistics.median(times["off"]) * 1000, 2),
        "on_ms": round(statistics.median(times["on"]) * 1000, 2),
        "latency_ratio": round(statistics.median(ratios), 3),
        "requests_per_second_ratio": round(statistics.median(rates), 3),
    }


async def _burst(
    client: httpx.AsyncClient, url: str, clients: int, pause: float, pictures: list[bytes]
) -> list[float]:
    """Seconds of each call, so many of them under way at once."""
    waiting, taken = iter(pictures), []

    async def work() -> None:
        for picture in waiting:
            begun = time.perf_counter()
            answer = await client.post(f"{url}/analyze_image", content=picture)
            taken.append(time.perf_counter() - begun)
            if answer.status_code != 200 or answer.json()["error"]:
                raise AssertionError(answer.text)
            await asyncio.sleep(pause)

    await asyncio.gather(*[work() for _ in range(clients)])
    return taken


def _recorded(client: httpx.Client, expected: int) -> int:
    """Images that the server holds, once there are so many or no more come."""
    count, deadline = -1, time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        nodes = data(client, COUNT)["datasets"]["nodes"]
        count = sum(node["images"]["totalCount"] for node in nodes)
        if count >= expected:
            break
        time.sleep(0.2)
    return count


def _pictures(count: int) -> list[bytes]:
    """JPEGs of noise on gradients, each another."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([rows % 200, columns % 200, (rows + columns) % 200], axis=-1)
    generator = np.random.default_rng(5)
    found = []
    for _ in range(count):
        noise = generator.integers(0, 40, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        pixels = smooth.astype(np.uint8) + np.kron(noise, np.ones((8, 8, 1), np.uint8))
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=90)
        found.append(encoded.getvalue())
    return found


if __name__ == "__main__":
    main()
