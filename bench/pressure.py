"""The engine under pressure: what it adds to an item, a loading model beside it, a full queue."""

import asyncio
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.pictures import portrait

QUEUED = 1000
FACE = {"target": "prominent_face", "face_context": "whole_image"}


def _engine(folder: Path, models: Path | None = None) -> Any:
    from opsin.assembly import build_engine, discover_plugins, open_models
    from opsin.core.plugin_host import PluginSource
    from opsin.settings import load_settings

    settings = load_settings(
        data_dir=folder, models=models, picture_cache_bytes=0, device="cpu", log_level="error"
    )
    host = discover_plugins(settings, [PluginSource("nothing", "bench.nothing")])
    return host, build_engine(settings, host, open_models(settings, host))


async def added_latency(folder: Path) -> dict[str, float]:
    """Milliseconds from asking to the answer of an operation that does nothing, one at a time."""
    import numpy as np

    from opsin.core.engine import make_task
    from opsin.core.imaging import DecodedImage, ImageInfo

    host, engine = _engine(folder)
    pixels = np.zeros((600, 512, 3), np.uint8)
    pixels.flags.writeable = False
    info = ImageInfo("PNG", "image/png", 512, 600, "RGB", 1, 1, True, ())
    task = make_task(host, "t", "do_nothing")
    times = []
    for _ in range(600):
        started = time.perf_counter()
        await engine.analyze(DecodedImage(pixels, info), [task])
        times.append((time.perf_counter() - started) * 1000)
    await engine.close()
    return {"added_ms_p50": statistics.median(times[100:])}


async def beside_a_load(folder: Path) -> dict[str, float]:
    """p99 of face boxes for four callers, before and while CLIP ViT-B/32 is loaded."""
    from bench.inference.model import write_checkpoint
    from opsin.core.engine import make_task
    from opsin.core.errors import OpsinError

    checkpoint = folder / "clip"
    await asyncio.to_thread(write_checkpoint, checkpoint)
    models = folder / "models.toml"
    models.write_text(f'[embed_clip_vit_b_32.encoder]\nfolder = "{checkpoint}"\n')
    host, engine = _engine(folder / "data", models)
    face = make_task(host, "face", "detect_bounding_box", FACE)
    clip = make_task(host, "clip", "embed_clip_vit_b_32")
    picture = portrait()
    await engine.analyze(picture, [face])
    times: list[float] = []
    going = True

    async def caller() -> None:
        while going:
            started = time.perf_counter()
            await engine.analyze(picture, [face])
            times.append((time.perf_counter() - started) * 1000)

    callers = [asyncio.create_task(caller()) for _ in range(4)]
    await asyncio.sleep(8)
    before = times[20:]
    times.clear()
    started = time.perf_counter()
    (outcome,) = (await engine.analyze(picture, [clip])).outcomes
    load_seconds = time.perf_counter() - started
    during = list(times)
    going = False
    await asyncio.gather(*callers)
    await engine.close()
    if isinstance(outcome.error, OpsinError):
        raise outcome.error
    return {
        "p50_before_ms": statistics.median(before),
        "p99_before_ms": _p99(before),
        "p50_during_ms": statistics.median(during),
        "p99_during_ms": _p99(during),
        "load_seconds": load_seconds,
        "answers_during": len(during),
    }


async def full_queue(folder: Path) -> dict[str, float]:
    """Peak memory of this process with a thousand 12-megapixel JPEGs asked for at once."""
    import numpy as np
    from PIL import Image

    from opsin.core.engine import make_task

    host, engine = _engine(folder)
    task = make_task(host, "t", "do_nothing")
    file = io.BytesIO()
    face = Image.open(io.BytesIO(portrait())).convert("RGB").resize((4000, 3000))
    Image.fromarray(np.asarray(face)).save(file, "JPEG", quality=90)
    jpeg = file.getvalue()
    before = _peak_mb()
    started = time.perf_counter()
    # What follows a JPEG's end is not looked at: each is a file of its own.
    answers = await asyncio.gather(
        *(engine.analyze(jpeg + n.to_bytes(4, "big"), [task]) for n in range(QUEUED))
    )
    seconds = time.perf_counter() - started
    await engine.close()
    failed = sum(outcome.error is not None for a in answers for outcome in a.outcomes)
    if failed:
        raise AssertionError(f"{failed} pictures failed")
    return {
        "peak_mb": _peak_mb() - before,
        "files_mb": QUEUED * len(jpeg) / 2**20,
        "decoded_would_be_mb": QUEUED * 36e6 / 2**20,
        "pictures_per_second": QUEUED / seconds,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


PARTS = {"added_latency": added_latency, "beside_a_load": beside_a_load, "full_queue": full_queue}


def main() -> list[dict[str, Any]]:
    """Each part in a process of its own, for the memory of one is not that of another."""
    results = []
    for part in PARTS:
        done = subprocess.run(
            [sys.executable, "-m", "bench.pressure", part],
            env=os.environ,
            stdout=subprocess.PIPE,
            check=True,
        )
        print(done.stdout.decode().strip(), flush=True)
        results.append({part: done.stdout.decode().strip()})
    return results


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
            told = asyncio.run(PARTS[sys.argv[1]](Path(name)))
        print({key: round(value, 2) for key, value in told.items()})
    else:
        main()
