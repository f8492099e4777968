"""An archive of 100 pictures through the whales API, beside the plain way: one after the other.

Both have the same full-size networks with random weights, and take turns with fresh pictures.
While each works, somebody else asks for `/health`.
`python -m bench.whales [--pictures 100] [--rounds 3] [--threads N]`
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.server import running_server, wait_until_accepting
from bench.whales_models import make_archive, make_checkpoints

_BETWEEN = 0.02
"""Seconds between two looks at `/health`."""


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of one archive, and those of each `/health` meanwhile."""

    seconds: float
    health: list[float]


def main(pictures: int = 100, rounds: int = 3) -> dict[str, Any]:
    found: dict[str, list[Round]] = {"opsin": [], "plain": []}
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
        folder = Path(name)
        file = make_checkpoints(folder)
        settings = {
            "plugin_options": json.dumps({"cetacean": {"manifest": str(file)}}),
            "whales_rate_limit": "0",
            "worker": "false",
            "warm": "identify_cetacean",
        }
        with (
            running_server(folder / "data", **settings) as opsin,
            _plain_server(folder) as plain,
        ):
            clients = {"opsin": opsin, "plain": plain}
            for client in clients.values():
                client.timeout = httpx.Timeout(1200)
                _archive(client, make_archive(8, seed=999))  # loads, and sets up
            for number in range(rounds):
                content = make_archive(pictures, seed=number)
                for way, client in clients.items():
                    found[way].append(_archive(client, content))
    return _told(pictures, found)


def _told(pictures: int, found: dict[str, list[Round]]) -> dict[str, Any]:
    pairs = zip(found["opsin"], found["plain"], strict=True)
    ratios = [ours.seconds / theirs.seconds for ours, theirs in pairs]
    result: dict[str, Any] = {
        "pictures": pictures,
        "rounds": len(ratios),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(one, 3) for one in ratios],
        "load": round(os.getloadavg()[0], 1),
    }
    for way, all_rounds in found.items():
        waits = sorted(wait for one in all_rounds for wait in one.health)
        result |= {
            f"{way}_seconds": round(statistics.median(one.seconds for one in all_rounds), 2),
            f"{way}_health_p50_ms": round(1000 * waits[len(waits) // 2], 1),
            f"{way}_health_p99_ms": round(1000 * waits[int(len(waits) * 0.99)], 1),
            f"{way}_health_asked": len(waits),
        }
    print(result, flush=True)
    return result


def _archive(client: httpx.Client, content: bytes) -> Round:
    waits: list[float] = []
    over = threading.Event()

    def look() -> None:
        with httpx.Client(base_url=client.base_url, timeout=1200) as other:
            while not over.wait(_BETWEEN):
                started = time.perf_counter()
                other.get("/health").raise_for_status()
                waits.append(time.perf_counter() - started)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        started = time.perf_counter()
        answer = client.post(
            "/v1/predict-batch", files={"archive": ("batch.zip", content, "application/zip")}
        )
        seconds = time.perf_counter() - started
    finally:
        over.set()
        looking.join()
    names = [one["image_ind"] for one in answer.raise_for_status().json()]
    assert names == sorted(names)
    assert names, "every picture has an answer"
    return Round(seconds, waits)


@contextlib.contextmanager
def _plain_server(folder: Path) -> Iterator[httpx.Client]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    arguments = ["-m", "bench.whales_plain", str(port), str(folder)]
    process = subprocess.Popen([sys.executable, *arguments])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until_accepting(client, process)
            yield client
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--pictures", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, help="of each server's networks")
    chosen = options.parse_args()
    if chosen.threads:
        os.environ["OMP_NUM_THREADS"] = str(chosen.threads)
    main(chosen.pictures, chosen.rounds)
