"""`classify` of a stored image whose embedding has to be computed, against one that is stored.

`python -m bench.classify_again`; the embedding is CLIP ViT-B/32 at full size, on the processor.
"""

import asyncio
import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.inference.jpegs import jpegs
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.collections.collections import NewCollection
from opsin.core.collections.enrolment import NewMember
from opsin.core.collections.inputs import NewInput
from opsin.core.contract import Embedding
from opsin.core.engine import Outcome, Task, make_task
from opsin.core.images import NewImage
from opsin.core.immediate import PictureSource
from opsin.core.records import Image
from opsin.settings import load_settings

EMBED = "embed_clip_vit_b_32"
COLLECTION = "portraits"
SIZES = {"1 megapixel": (1152, 896), "12 megapixels": (4000, 3000)}
PICTURES = 10
AGAIN = 5
_WRITE = """
import sys, pathlib
from bench.inference.model import write_checkpoint
write_checkpoint(pathlib.Path(sys.argv[1]))
"""


async def measure(folder: Path, checkpoint: Path) -> list[dict[str, Any]]:
    models = folder / "models.toml"
    models.write_text(f'[{EMBED}.encoder]\nfolder = "{checkpoint}"\n')
    # No results in memory: what is known is known from the database.
    settings = load_settings(
        data_dir=folder / "data", models=models, worker=False, result_cache_bytes=0, device="cpu"
    )
    parts = assemble(settings)
    results: list[dict[str, Any]] = []
    async with parts.running():
        principal = await parts.use_cases.access.local()
        dataset = await parts.use_cases.datasets.create(principal, "bench")
        for size, (width, height) in SIZES.items():
            images = [
                await parts.use_cases.images.add(
                    principal, NewImage(dataset.id, f"{number}.jpg"), io.BytesIO(content)
                )
                for number, content in enumerate(jpegs(PICTURES, width, height))
            ]
            if not results:
                await _train(parts, principal, images[0])
            pairs = [await _pair(parts, principal, image) for image in images]
            results.append(_summary(size, pairs[2:]))  # the first two warm everything up
    return results


async def _train(parts: Parts, principal: Principal, image: Image) -> None:
    """A collection with a classifier, on vectors drawn by lot."""
    import numpy as np

    use_cases = parts.use_cases
    outcome = await _outcome(parts, principal, image, make_task(use_cases.host, "e", EMBED))
    assert isinstance(outcome.result, Embedding)
    random = np.random.default_rng(2026)
    members = [
        NewMember(
            label,
            [random.normal(center, 1.0, outcome.result.dimensions).astype("f4").tolist()],
            source_key=f"{label}-{number}",
        )
        for label, center in (("true", 0.1), ("false", -0.1))
        for number in range(50)
    ]
    await use_cases.collections.create(principal, NewCollection(COLLECTION, [NewInput(EMBED)]))
    await use_cases.enrolment.add_vectors(
        principal, COLLECTION, members, [outcome.result.model_fingerprint]
    )
    await use_cases.classifiers.train(principal, COLLECTION)


async def _pair(parts: Parts, principal: Principal, image: Image) -> tuple[float, float]:
    """Seconds of `classify` before and after the embedding was stored; the answers are equal."""
    host = parts.use_cases.host
    task = make_task(host, "c", "classify", {"collection_id": COLLECTION})
    started = time.perf_counter()
    first = await _outcome(parts, principal, image, task)
    computed = time.perf_counter() - started
    await parts.use_cases.analyses.ask(principal, image.id, [make_task(host, "e", EMBED)])
    await parts.worker.drain()
    times = []
    for _ in range(AGAIN):
        started = time.perf_counter()
        again = await _outcome(parts, principal, image, task)
        times.append(time.perf_counter() - started)
        if not again.provenance.inputs_reused or again.provenance.cached:
            raise AssertionError(f"the embedding was not taken again: {again.provenance}")
        if abs(_probability(again) - _probability(first)) > 1e-6:
            raise AssertionError(f"{again.result} is not {first.result}")
    return computed, statistics.median(times)


async def _outcome(parts: Parts, principal: Principal, image: Image, task: Task) -> Outcome:
    source = PictureSource(image_id=image.id)
    (outcome,) = (await parts.use_cases.immediate.analyze(principal, source, [task])).outcomes
    if outcome.error is not None:
        raise outcome.error
    return outcome


def _probability(outcome: Outcome) -> float:
    assert outcome.result is not None
    return float(outcome.result.model_dump()["probability"])


def _summary(size: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    result = {
        "picture": size,
        "embedding_computed_ms": round(statistics.median(a for a, _ in pairs) * 1000, 2),
        "embedding_stored_ms": round(statistics.median(b for _, b in pairs) * 1000, 2),
        "times_faster": round(statistics.median(a / b for a, b in pairs), 1),
    }
    print(result, flush=True)
    return result


def main() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
        checkpoint = Path(name) / "clip"
        # In a process of its own: a torch that was imported here would not be set up as a server's.
        subprocess.run([sys.executable, "-c", _WRITE, str(checkpoint)], check=True)
        return asyncio.run(measure(Path(name), checkpoint))


if __name__ == "__main__":
    main()
