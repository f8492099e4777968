"""Uploads to the image_embed API beside a plain handler of the same models, on two cores.

They take turns: the same tasks on the same pictures, by 1, 8 and 32 clients.  Meanwhile another
client asks for `/health` again and again.
"""

import asyncio
import contextlib
import io
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from bench.inference.contestants import Contestant, opsin_server, running, started
from bench.inference.load import Seen
from bench.inference.model import write_checkpoint
from bench.pictures import portrait

CLIENTS = {1: 6, 8: 24, 32: 64}
"""By their number: how many requests they share, which is all that is timed."""
ROUNDS = 3
PICTURES = 64
SIDES = 640, 480
PATH = "/analyze_image_upload/"

_marks = itertools.count()

_FACE = {"target": "prominent_face", "face_context": "whole_image"}
TASKS: dict[str, list[dict[str, Any]]] = {
    "embed_clip_vit_b_32": [
        {"operation_id": "a", "type": "embed_clip_vit_b_32", "params": {"target": "whole_image"}}
    ],
    "detect_bounding_box of the face": [
        {"operation_id": "a", "type": "detect_bounding_box", "params": _FACE}
    ],
    "box, face and whole in one request": [
        {"operation_id": "a", "type": "detect_bounding_box", "params": _FACE},
        {"operation_id": "b", "type": "embed_clip_vit_b_32", "params": _FACE},
        {"operation_id": "c", "type": "embed_clip_vit_b_32", "params": {}},
    ],
}


def main() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
        checkpoint = Path(name, "clip")
        write_checkpoint(checkpoint)
        pictures = _portraits(PICTURES)
        rows: list[dict[str, Any]] = []
        for operation, tasks in TASKS.items():
            rows += asyncio.run(_compared(operation, tasks, checkpoint, pictures))
        again = "the last, again and again the same pictures"
        return rows + asyncio.run(_compared(again, tasks, checkpoint, pictures[:4], keeps=True))


async def _compared(
    operation: str,
    tasks: list[dict[str, Any]],
    checkpoint: Path,
    pictures: Sequence[bytes],
    *,
    keeps: bool = False,
) -> list[dict[str, Any]]:
    """A row for each number of clients; with `keeps`, Opsin keeps results as it does by default."""
    asked = partial(_request, json.dumps(tasks))
    plain = Contestant("plain", _plain, asked, _numbers, PATH)
    ours = Contestant(
        "opsin", _opsin_with_results if keeps else opsin_server, asked, _numbers, PATH
    )
    with contextlib.ExitStack() as stack:
        urls = {
            one.name: stack.enter_context(running(one, checkpoint, pictures[0]))
            for one in (plain, ours)
        }
        async with httpx.AsyncClient(timeout=120) as client:
            answers = [await client.post(url, **asked(pictures[1])) for url in urls.values()]
        _check_alike([answer.json() for answer in answers])
        rows = []
        for clients in CLIENTS:
            pairs = []
            for _ in range(ROUNDS):
                pairs.append(
                    [
                        await _load(one, urls[one.name], pictures, clients, is_new=not keeps)
                        for one in (plain, ours)
                    ]
                )
            rows.append(_row(operation, clients, pairs))
        return rows


def _row(
    operation: str, clients: int, pairs: Sequence[Sequence[tuple[Seen, float]]]
) -> dict[str, Any]:
    row: dict[str, Any] = {"operation": operation, "clients": clients}
    for place, name in enumerate(("plain", "opsin")):
        seen = [pair[place] for pair in pairs]
        row[f"{name}_per_second"] = round(statistics.median(one.rate for one, _ in seen), 1)
        row[f"{name}_p50_ms"] = round(statistics.median(one.p50 for one, _ in seen), 1)
        row[f"{name}_health_p99_ms"] = round(statistics.median(late for _, late in seen), 1)
    ratios = [ours.rate / plain.rate for (plain, _), (ours, _) in pairs]
    row["ratio"] = round(statistics.median(ratios), 2)
    row["load"] = round(os.getloadavg()[0], 1)
    print(row, flush=True)
    return row


async def _load(
    contestant: Contestant, url: str, pictures: Sequence[bytes], clients: int, *, is_new: bool
) -> tuple[Seen, float]:
    """What the clients saw, and the slowest hundredth of `/health` meanwhile, in milliseconds.

    With `is_new` no request has the bytes of an earlier one.
    """
    watching = asyncio.create_task(_health(url.removesuffix(PATH) + "/health"))
    waiting = iter([pictures[number % len(pictures)] for number in range(CLIENTS[clients])])
    times: list[float] = []
    async with httpx.AsyncClient(
        timeout=300, limits=httpx.Limits(max_connections=clients)
    ) as client:

        async def one_client() -> None:
            for picture in waiting:
                begun = time.perf_counter()
                content = _marked(picture) if is_new else picture
                answer = await client.post(url, **contestant.request(content))
                answer.raise_for_status()
                contestant.vector(answer.json())
                times.append(time.perf_counter() - begun)

        started_at = time.perf_counter()
        await asyncio.gather(*(one_client() for _ in range(clients)))
        took = time.perf_counter() - started_at
    watching.cancel()
    late = await watching
    seen = Seen(len(times) / took, _percentile(times, 50), _percentile(times, 99), len(times))
    return seen, _percentile(late, 99)


def _percentile(seconds: Sequence[float], percent: int) -> float:
    """In milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] * 1000


async def _health(url: str) -> list[float]:
    """Seconds of each answer, until it is cancelled; if there is none, of the wait."""
    times: list[float] = []
    begun = time.perf_counter()
    try:
        async with httpx.AsyncClient(timeout=300) as client:
            while True:
                begun = time.perf_counter()
                (await client.get(url)).raise_for_status()
                times.append(time.perf_counter() - begun)
                await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        return times or [time.perf_counter() - begun]


def _plain(folder: Path, port: int) -> Any:
    # As Opsin does: threads that wait actively would take from it what others need of its cores.
    command = ["-m", "bench.image_embed_plain", str(folder), str(port)]
    return started(command, OMP_WAIT_POLICY="PASSIVE")


def _opsin_with_results(folder: Path, port: int) -> Any:
    models = folder.parent / "models.toml"
    return started(
        ["-m", "opsin", "serve", "--port", str(port)],
        OPSIN_DATA_DIR=str(folder.parent / "data"),
        OPSIN_MODELS=str(models),
        OPSIN_LOG_LEVEL="error",
    )


def _portraits(count: int) -> list[bytes]:
    """So many JPEGs with one face, each with grain of its own in a corner."""
    random = np.random.default_rng(2026)
    face = Image.open(io.BytesIO(portrait())).convert("RGB").resize(SIDES)
    made = []
    for _ in range(count):
        pixels = np.asarray(face).copy()
        pixels[:60, :80] = random.integers(0, 256, (60, 80, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made


def _marked(picture: bytes) -> bytes:
    """The same JPEG with a comment that no other has."""
    comment = str(next(_marks)).encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return picture[:2] + segment + picture[2:]


def _request(tasks: str, picture: bytes) -> dict[str, Any]:
    files = {"image_file": ("picture.jpg", picture, "image/jpeg"), "tasks_json": (None, tasks)}
    return {"files": files}


def _numbers(answer: Any) -> list[float]:
    """Every number of an answer without an error."""
    results = answer["results"].values()
    if any(one["status"] != "success" or one["data"] is None for one in results):
        raise RuntimeError(answer)
    return [number for one in results for number in one["data"]]


def _check_alike(answers: Sequence[Any]) -> None:
    """Both do the same work: their numbers are nearly those of each other."""
    one, other = (_numbers(answer) for answer in answers)
    length = sum(number * number for number in one) ** 0.5
    distance = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
    if distance > 0.02 * length:
        raise AssertionError(f"the answers differ by {distance / length:.3f}")


if __name__ == "__main__":
    main()
