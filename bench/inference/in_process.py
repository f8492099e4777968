"""Two more contestants, each in a process of its own on the same cores: raw, and Opsin's engine.

`python -m bench.inference.in_process raw|opsin FOLDER PICTURES CLIENTS SECONDS` prints JSON.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.inference.contestants import SERVER_CORES
from bench.inference.load import load
from bench.inference.model import BATCH, Pipeline


def raw(folder: Path, pictures: list[bytes], seconds: float) -> dict[str, Any]:
    """Pictures a second of the forward pass alone, and of decode + preprocess + forward."""
    pipeline = Pipeline(folder)
    tensors = [pipeline.decode(picture) for picture in pictures[:BATCH]]
    forward, whole = {}, {}
    for size in (1, 8, 16, 32):
        batch = (tensors * size)[:size]
        pipeline.forward(batch)
        forward[size] = _rate(lambda batch=batch: pipeline.forward(batch), size, seconds / 8)
        part = (pictures * size)[:size]
        whole[size] = _rate(
            lambda part=part: pipeline.forward([pipeline.decode(p) for p in part]),
            size,
            seconds / 8,
        )
    return {"forward": forward, "pipeline": whole}


def _rate(work: Any, items: int, seconds: float) -> float:
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        work()
        done += items
    return done / (time.perf_counter() - started)


async def opsin(folder: Path, pictures: list[bytes], clients: int, seconds: float) -> Any:
    from opsin.assembly import build_engine, discover_plugins, open_models
    from opsin.core.engine import make_task
    from opsin.settings import load_settings

    models = folder.parent / "models-in-process.toml"
    models.write_text(f'[embed_clip_vit_b_32.encoder]\nfolder = "{folder}"\n')
    settings = load_settings(
        data_dir=folder.parent / "data", models=models, picture_cache_bytes=0, device="cpu"
    )
    host = discover_plugins(settings)
    engine = build_engine(settings, host, open_models(settings, host))
    task = make_task(host, "t", "embed_clip_vit_b_32")

    async def ask(picture: bytes) -> None:
        (outcome,) = (await engine.analyze(picture, [task])).outcomes
        if outcome.error:
            raise outcome.error

    await ask(pictures[0])
    seen = await load(ask, pictures, clients, seconds)
    await engine.close()
    return asdict(seen)


def main() -> None:
    os.sched_setaffinity(0, SERVER_CORES)
    kind, folder, pictures, clients, seconds = sys.argv[1:]
    jpegs = json.loads(Path(pictures).read_text())
    contents = [bytes.fromhex(jpeg) for jpeg in jpegs]
    if kind == "raw":
        print(json.dumps(raw(Path(folder), contents, float(seconds))))
    else:
        print(json.dumps(asyncio.run(opsin(Path(folder), contents, int(clients), float(seconds)))))


if __name__ == "__main__":
    main()
