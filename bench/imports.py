"""COCO files imported: pictures and annotations a second, and the memory that a large file takes.

`python -m bench.imports` imports 5,000 pictures with 100,000 annotations into each database, beside
pycocotools, which reads the same file into memory and stores nothing, and beside decoding the
pictures alone.  `python -m bench.imports 1000` also reads a file of that many megabytes.
"""

import asyncio
import io
import json
import random
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.databases import each_database
from opsin.core.access import Access, Principal
from opsin.core.imaging import ImageLimits, decode
from opsin.core.imports.imports import Imports
from opsin.core.imports.options import ImportOptions
from opsin.core.imports.report import ImportReport
from opsin.core.imports.sources import SourcePaths, open_source
from opsin.storage.blobs import open_blob_store
from opsin.storage.database import Database
from opsin.storage.schema import upgrade

IMAGES, ANNOTATIONS = 5_000, 100_000
WIDTH, HEIGHT = 640, 480
ROUNDS = 3
_KINDS = ("box", "polygon", "pose")


def make_pictures(folder: Path) -> None:
    """As large as photographs of that size are: about 50 kB."""
    folder.mkdir()
    numbers = np.random.default_rng(0)

    def make(number: int, pixels: Any) -> None:
        coarse = Image.fromarray(pixels)
        fine = coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        fine.save(folder / f"{number:06}.jpg", quality=90)

    with ThreadPoolExecutor(4) as threads:
        for number in range(1, IMAGES + 1):
            threads.submit(make, number, numbers.integers(0, 256, (80, 107, 3), np.uint8))


def annotation(number: int, numbers: random.Random) -> dict[str, Any]:
    """Without its id and that of its image."""
    x, y, width, height = (round(numbers.random() * 200, 2) for _ in range(4))
    made: dict[str, Any] = {
        "category_id": 1 + number % 80, "iscrowd": 0, "segmentation": [],
        "bbox": [x, y, width, height], "area": round(width * height, 2),
    }  # fmt: skip
    kind = _KINDS[number % len(_KINDS)]
    if kind == "polygon":
        made["segmentation"] = [[round(numbers.random() * 400, 2) for _ in range(40)]]
    elif kind == "pose":
        made["category_id"] = 1
        made["keypoints"] = [numbers.randrange(400) for _ in range(51)]
        made["keypoints"][2::3] = [2] * 17
        made["num_keypoints"] = 17
    return made


def write_coco(path: Path, count: int, images: int = IMAGES) -> None:
    """Annotations of an image are not beside each other, as in the sets that are published."""
    numbers = random.Random(0)
    categories: list[dict[str, Any]] = [{"id": n, "name": f"class {n}"} for n in range(1, 81)]
    categories[0]["keypoints"] = [f"point {n}" for n in range(17)]
    names = [
        {"id": n, "file_name": f"{n:06}.jpg", "width": WIDTH, "height": HEIGHT}
        for n in range(1, images + 1)
    ]
    shapes = [json.dumps(annotation(number, numbers))[1:] for number in range(3_000)]
    with path.open("w") as file:
        file.write(f'{{"images": {json.dumps(names)}, "annotations": [')
        for number in range(count):
            image_id, shape = numbers.randint(1, images), shapes[number % len(shapes)]
            beginning = ", {" if number else "{"
            file.write(f'{beginning}"id": {number}, "image_id": {image_id}, {shape}')
        file.write(f'], "categories": {json.dumps(categories)}}}')


class Peak:
    """The most memory that this process has in use, beyond that at the start."""

    def __enter__(self) -> "Peak":
        self._start, self.growth, self._ended = _resident_bytes(), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.growth = max(self.growth, _resident_bytes() - self._start)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, float, int]:
    """Seconds, those of the processor in this process, and bytes."""
    with Peak() as peak:
        began, used = time.perf_counter(), time.process_time()
        await work()
        seconds, used = time.perf_counter() - began, time.process_time() - used
    return seconds, used, peak.growth


async def pycocotools(path: Path) -> None:
    try:
        from pycocotools.coco import COCO
    except ModuleNotFoundError:
        return
    with redirect_stdout(io.StringIO()):
        COCO(str(path))


async def decoded(pictures: Sequence[Path]) -> None:
    """What every picture must go through: its bytes read, and its pixels decoded."""
    limits = ImageLimits()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda path: decode(path.read_bytes(), limits).info, pictures))


async def measure(url: str, folder: Path, source: Path, pictures: Sequence[Path]) -> dict[str, Any]:
    await upgrade(url)
    database = Database(url)
    blobs = open_blob_store(f"file://{folder / 'blobs'}")
    imports = Imports(database, blobs, ImageLimits())
    access = Access(database, mode="dev")

    async def run(model: str) -> None:
        """Once more for the first company."""
        report = await _import(imports, access, source, 0, model)
        assert report.is_complete and not report.images_new, report

    found: dict[str, list[tuple[float, float, int]]] = {}
    for number in range(ROUNDS):  # by turns, so that all meet the same neighbours
        for name, work in {
            "decode the pictures alone": partial(decoded, pictures),
            "pycocotools reads the file": partial(pycocotools, source),
            "all of it new": partial(_fresh, imports, access, source, number, folder),
            "the pictures are known": partial(run, f"other {number}"),
            "everything is known": partial(run, "first"),
        }.items():
            found.setdefault(name, []).append(await timed(work))
    await blobs.close()
    await database.close()
    return {
        name: {
            "seconds": round(seconds := statistics.median(one for one, _, _ in times), 2),
            "images_per_second": round(IMAGES / seconds),
            "annotations_per_second": round(ANNOTATIONS / seconds),
            "processor_seconds": round(statistics.median(used for _, used, _ in times), 2),
            "growth_mb": round(max(growth for *_, growth in times) / 1e6),
        }
        for name, times in found.items()
    }


async def _fresh(imports: Imports, access: Access, source: Path, number: int, folder: Path) -> None:
    """For a company that has none of the pictures, and a store that has none."""
    shutil.rmtree(folder / "blobs", ignore_errors=True)
    report = await _import(imports, access, source, number, "first")
    assert (report.images_new, report.annotations_new) == (IMAGES, ANNOTATIONS), report


async def _import(
    imports: Imports, access: Access, source: Path, number: int, model: str
) -> ImportReport:
    company = await access.ensure_company(f"company {number}")
    principal = Principal(company.id, "bench")
    return await imports.run(principal, SourcePaths(source), "bench", ImportOptions(model, "1"))


def read_large(folder: Path, megabytes: int) -> dict[str, Any]:
    """A whole file read, annotation after annotation made, nothing stored."""
    path = folder / "large.json"
    write_coco(path, megabytes * 3_000, 100_000)
    with Peak() as peak:
        began = time.perf_counter()
        with open_source(SourcePaths(path), ImportOptions(), max_file_bytes=1 << 26) as source:
            count = sum(
                len(analysis.annotations)
                for image in source.reader.images()
                for analysis in image.read((WIDTH, HEIGHT), 1)
            )
        seconds = time.perf_counter() - began
    found = {"megabytes": round(path.stat().st_size / 1e6), "annotations": count}
    return found | {"seconds": round(seconds, 1), "growth_mb": round(peak.growth / 1e6)}


def main(megabytes: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {"images": IMAGES, "annotations": ANNOTATIONS}
    for name, url, folder in each_database():
        make_pictures(folder / "images")
        source = folder / "instances.json"
        write_coco(source, ANNOTATIONS)
        pictures = sorted(folder.glob("images/*"))
        found[name] = asyncio.run(measure(url, folder, source, pictures))
        print(json.dumps({name: found[name]}, indent=1), file=sys.stderr, flush=True)
        if megabytes and "large" not in found:
            found["large"] = read_large(folder, megabytes)
            print(json.dumps({"large": found["large"]}), file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:])), indent=1))
