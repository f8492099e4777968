"""A raw 1920 x 1024 frame through the PEKAT API, beside its operation called directly.

They take turns: the operation in this process, the frame over HTTP, the frame in shared memory, and
the frame over HTTP to a plain handler.  What an answer takes longer than the operation is what the
server costs.
"""

import contextlib
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from bench.server import running_server, wait_until_accepting
from opsin import Item
from opsin.core.imaging import ImageLimits, SampleLayout, decode_samples
from opsin.plugins.saliency.plugin import SaliencyParams
from opsin.plugins.saliency.runner import SaliencyRunner

ROUNDS, WARM_UP = 60, 10
WIDTH, HEIGHT = 1920, 1024
OPERATION = "saliency"


def main() -> list[dict[str, Any]]:
    frame = _frame()
    pixels = decode_samples(frame, WIDTH, HEIGHT, SampleLayout.BGR, ImageLimits()).pixels
    runner = SaliencyRunner()

    def direct() -> None:
        item = Item(pixels, SaliencyParams())
        for output in runner.run([runner.prepare(item)]):
            runner.encode(output)

    memory = shared_memory.SharedMemory(create=True, size=len(frame))
    assert memory.buf is not None
    memory.buf[: len(frame)] = frame
    flows = {OPERATION: [{"operation": OPERATION}], "no operation": []}
    try:
        return [
            _measured(name, direct if flow else None, flow, frame, memory.name)
            for name, flow in flows.items()
        ]
    finally:
        memory.close()
        memory.unlink()


def _measured(
    name: str, direct: Callable[[], None] | None, flow: list[Any], frame: bytes, memory: str
) -> dict[str, Any]:
    size = f"width={WIDTH}&height={HEIGHT}"
    settings = {"pekat_flow": json.dumps(flow), "pekat_shared_memory": "true"}
    with (
        tempfile.TemporaryDirectory(prefix="opsin-bench-") as folder,
        running_server(Path(folder), **settings) as client,
        _plain_server(name) as plain_port,
    ):
        connection = http.client.HTTPConnection("127.0.0.1", client.base_url.port)
        plain_connection = http.client.HTTPConnection("127.0.0.1", plain_port)

        def by_http() -> None:
            _post(connection, f"/analyze_raw_image?{size}", frame)

        def by_shared_memory() -> None:
            _post(connection, f"/analyze_image_shared_memory?{size}&name={memory}", b"")

        def plainly() -> None:
            _post(plain_connection, f"/analyze_raw_image?{size}", frame)

        ways = {"http": by_http, "shared_memory": by_shared_memory, "plain": plainly}
        return _compared(name, direct, ways)


@contextlib.contextmanager
def _plain_server(operation: str) -> Iterator[int]:
    """The plain handler in a process of its own; gives its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bench.pekat_plain", str(port), operation])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until_accepting(client, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _compared(
    name: str, direct: Callable[[], None] | None, ways: dict[str, Callable[[], None]]
) -> dict[str, Any]:
    times: dict[str, list[float]] = {"direct": [], **{way: [] for way in ways}}
    for _ in range(ROUNDS + WARM_UP):
        times["direct"].append(_milliseconds(direct) if direct else 0.0)
        for way, call in ways.items():
            times[way].append(_milliseconds(call))
    kept = {way: values[WARM_UP:] for way, values in times.items()}
    result: dict[str, Any] = {
        "flow": name,
        **{f"{way}_ms": round(statistics.median(values), 2) for way, values in kept.items()},
    }
    for way in ways:
        pairs = zip(kept[way], kept["direct"], strict=True)
        result[f"{way}_overhead_ms"] = round(statistics.median(a - b for a, b in pairs), 2)
        # Where the cores are free, all rounds are as short as one in ten is elsewhere.
        result[f"{way}_overhead_undisturbed_ms"] = round(
            _tenth(kept[way]) - _tenth(kept["direct"]), 2
        )
    print(result, flush=True)
    return result


def _tenth(values: list[float]) -> float:
    """What one round in ten is below."""
    return statistics.quantiles(values, n=10)[0]


def _frame() -> bytes:
    """BGR with gradients and noise, as a camera gives it."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(7).integers(0, 16, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    smooth = np.stack([rows % 200, columns % 200, (rows + columns) % 200], axis=-1)
    return (smooth.astype(np.uint8) + noise).tobytes()


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> None:
    connection.request("POST", path, body)
    answer = connection.getresponse()
    context = json.loads(answer.read())
    if answer.status != 200 or context["error"]:
        raise AssertionError(context)


def _milliseconds(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
