"""The face of a picture asked for the first time, against asking for it again."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench.face_over_http import ANALYZE
from bench.pictures import portrait
from bench.server import data, new_image, running_server
from opsin.assembly import Parts, assemble
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.immediate import PictureSource
from opsin.settings import Settings

RUNS = 20
AGAIN = 5
FACE = {"target": "prominent_face"}


def another_portrait(number: int) -> bytes:
    """The same pixels in other bytes: what follows a JPEG's end is not looked at."""
    return portrait() + b"%d" % number


def summary(how: str, first: list[float], again: list[float]) -> dict[str, Any]:
    """Medians over the pictures but the first two, for which the model was loaded."""
    pairs = list(zip(first, again, strict=True))[2:]
    result = {
        "how": how,
        "first_ms": round(statistics.median(a for a, _ in pairs) * 1000, 2),
        "again_ms": round(statistics.median(b for _, b in pairs) * 1000, 2),
        "times_faster": round(statistics.median(a / b for a, b in pairs), 1),
    }
    print(result, flush=True)
    return result


def over_http() -> dict[str, Any]:
    """`analyzeImage` of a stored picture over a kept-alive connection."""
    with (
        tempfile.TemporaryDirectory(prefix="opsin-bench-") as folder,
        running_server(Path(folder)) as client,
    ):
        first, again = [], []
        for number in range(RUNS):
            image = new_image(client, another_portrait(number))
            (seconds, answer), *others = (_asked(client, image) for _ in range(1 + AGAIN))
            if any(other != answer for _, other in others) or answer["status"] != "SUCCESS":
                raise AssertionError(f"{answer} is not {others}")
            first.append(seconds)
            again.append(statistics.median(seconds for seconds, _ in others))
    return summary("analyzeImage over HTTP", first, again)


def _asked(client: httpx.Client, image: str) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = data(client, ANALYZE, image=image)["analyzeImage"]["outcomes"][0]
    return time.perf_counter() - started, answer


async def in_process(how: str, *, stored: bool, **settings: Any) -> dict[str, Any]:
    """The use case behind `analyzeImage`; with `stored`, the worker runs and stores it first."""
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as folder:
        parts = assemble(Settings(data_dir=Path(folder), worker=False, **settings))
        async with parts.running():
            first, again = [], []
            for number in range(RUNS):
                one, two = await _pair(parts, number, stored=stored)
                first.append(one)
                again.append(two)
            counts = parts.use_cases.answers.counts
            if counts.computed != RUNS:
                raise AssertionError(f"not each was computed once: {counts}")
    return summary(how, first, again)


async def _pair(parts: Parts, number: int, *, stored: bool) -> tuple[float, float]:
    import io

    use_cases = parts.use_cases
    principal = await use_cases.access.local()
    dataset = await use_cases.datasets.create(principal, "bench")
    content = io.BytesIO(another_portrait(number))
    image = await use_cases.images.add(principal, NewImage(dataset.id, "portrait.jpg"), content)
    task = make_task(use_cases.host, "face", "detect_bounding_box", FACE)

    async def immediate() -> None:
        source = PictureSource(image_id=image.id)
        (outcome,) = (await use_cases.immediate.analyze(principal, source, [task])).outcomes
        if outcome.error is not None:
            raise outcome.error

    async def durable() -> None:
        await use_cases.analyses.ask(principal, image.id, [task])
        await parts.worker.drain()

    first = await _seconds(durable if stored else immediate)
    return first, statistics.median([await _seconds(immediate) for _ in range(AGAIN)])


async def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


def main() -> list[dict[str, Any]]:
    return [
        over_http(),
        asyncio.run(in_process("in process, from memory", stored=False)),
        asyncio.run(in_process("in process, from the database", stored=True, result_cache_bytes=0)),
    ]


if __name__ == "__main__":
    main()
