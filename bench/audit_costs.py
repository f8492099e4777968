"""What the audit costs: the same writes with it and without it, in turns, on one database.

The processor's seconds are those of this process, SQLite's threads among them: other work on the
machine changes them little.  PostgreSQL's own are not in them.
"""

import asyncio
import io
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.annotations_ingest import annotations
from bench.databases import each_database
from bench.pictures import portrait
from opsin.assembly import Parts, assemble
from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.settings import Settings

ROUNDS = 12
CREATES = 300
AT_ONCE = 32
STEPS = 60

Work = Callable[[Parts, Principal, str], Awaitable[None]]


async def creates_at_once(parts: Parts, caller: Principal, image_id: str) -> None:
    """As many pipelines at once create analyses, each its next one when it has an answer."""
    left = iter(range(CREATES))

    async def pipeline() -> None:
        for _ in left:
            await _create(parts, caller, image_id)

    await asyncio.gather(*(pipeline() for _ in range(AT_ONCE)))


async def whole_analyses(parts: Parts, caller: Principal, image_id: str) -> None:
    """One pipeline after the other: created, two annotations, finalized."""
    cases = parts.use_cases
    found = annotations(1)[:2]
    for _ in range(STEPS):
        analysis = await _create(parts, caller, image_id)
        await cases.annotations.add(caller, analysis, _as_found(found))
        await cases.analyses.finalize(caller, analysis, AnalysisStatus.COMPLETED)


async def bulk_annotations(parts: Parts, caller: Principal, image_id: str) -> None:
    """10,000 annotations in one request."""
    analysis = await _create(parts, caller, image_id)
    await parts.use_cases.annotations.add(caller, analysis, _as_found(annotations(2)))


async def comments(parts: Parts, caller: Principal, image_id: str) -> None:
    """The smallest write there is, one after the other."""
    for _ in range(STEPS):
        await parts.use_cases.comments.create(caller, image_id, "a fin")


WORK: dict[str, Work] = {
    f"{CREATES} creates, {AT_ONCE} at once": creates_at_once,
    f"{STEPS} whole analyses, one by one": whole_analyses,
    "10,000 annotations in one request": bulk_annotations,
    f"{STEPS} comments, one by one": comments,
}


async def _create(parts: Parts, caller: Principal, image_id: str) -> str:
    new = NewExternalAnalysis(image_id, "yolo", "8")
    return (await parts.use_cases.analyses.tell(caller, new)).id


def _as_found(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {"annotationType": "annotation_type", "className": "class_name"}
    return [{names.get(name, name): value for name, value in one.items()} for one in given]


@contextmanager
def without_audit() -> Iterator[None]:
    """Nothing is noted, as if there were no audit."""
    kept = audit.note

    def nothing(*_: Any, **__: Any) -> None:
        pass

    audit.note = nothing
    try:
        yield
    finally:
        audit.note = kept


async def measure(url: str, folder: Any) -> list[dict[str, Any]]:
    """Seconds of each kind of work by turns: with, without, without, with, ..."""
    settings = Settings(data_dir=folder, database_url=url, worker=False, webhooks=False)
    async with (parts := assemble(settings)).running():
        caller = await parts.use_cases.access.local()
        dataset = await parts.use_cases.datasets.create(caller, "bench")
        new = NewImage(dataset.id, "portrait.jpg")
        image = await parts.use_cases.images.add(caller, new, io.BytesIO(portrait()))
        results = []
        for name, work in WORK.items():
            await work(parts, caller, image.id)
            took: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
            for turn in range(ROUNDS):
                order = (True, False) if turn % 2 else (False, True)
                for audited in order:
                    took[audited].append(await _seconds(work, parts, caller, image.id, audited))
            pairs = list(zip(took[True], took[False], strict=True))
            results.append(
                {
                    "work": name,
                    "with_seconds": round(statistics.median(one for one, _ in took[True]), 4),
                    "without_seconds": round(statistics.median(one for one, _ in took[False]), 4),
                    "ratio": round(statistics.median(w[0] / o[0] for w, o in pairs), 3),
                    "processor_ratio": round(statistics.median(w[1] / o[1] for w, o in pairs), 3),
                }
            )
        return results


async def _seconds(
    work: Work, parts: Parts, caller: Principal, image_id: str, audited: bool
) -> tuple[float, float]:
    """By the clock, and of the processor."""
    started, processor = time.perf_counter(), time.process_time()
    if audited:
        await work(parts, caller, image_id)
    else:
        with without_audit():
            await work(parts, caller, image_id)
    return time.perf_counter() - started, time.process_time() - processor


def main() -> list[dict[str, Any]]:
    results = []
    for name, url, folder in each_database():
        for one in asyncio.run(measure(url, folder)):
            results.append({"database": name, **one})
            print(results[-1], flush=True)
    return results


if __name__ == "__main__":
    main()
