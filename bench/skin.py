"""The measures of skin on one face in a picture of 1 megapixel, and the search for the face."""

import io
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.pictures import portrait
from opsin import Item, NotShown, Params, Region, Target
from opsin.core.models.store import ModelStore
from opsin.plugins.bbox.plugin import FaceFinder
from opsin.plugins.skin.plugin import FindFaceAreas, opsin_operations

SIZE = (924, 1083)
"""The portrait at 1.0 megapixel."""
RUNS = 15


def milliseconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """The median of `RUNS` calls on one thread, after one that is not counted."""
    work()
    times = []
    for _ in range(RUNS):
        started = clock()
        work()
        times.append(clock() - started)
    return round(statistics.median(times) * 1000, 1)


def own_times(
    size: tuple[int, int], clock: Callable[[], float] = time.perf_counter, threads: int = 2
) -> dict[str, float]:
    """Milliseconds of the search for the face and of each operation, in a picture of that size.

    What a face has too few pixels for is left out.  More `threads` for the search would wait for
    other processes on a shared machine, and do so by turning, which is the processor's time, too.
    """
    with Image.open(io.BytesIO(portrait())) as image:
        pixels = np.array(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    torch.set_num_threads(threads)
    finder = FaceFinder()
    with TemporaryDirectory() as folder:
        context = ModelStore(Path(folder)).context(finder, "cpu")
        runner = finder.load(context)
        searched = [runner.prepare(Item(pixels, Params()))]
        result: dict[str, float] = {"search": milliseconds(lambda: runner.run(searched), clock)}
        (region,) = runner.run(searched)
        assert isinstance(region, Region)
        runner.close()
        for operation in opsin_operations():
            measuring = operation.load(context)
            item = Item(pixels, Params(), Target.PROMINENT_FACE, region)
            try:
                result[operation.name] = milliseconds(partial(measuring.prepare, item), clock)
            except NotShown:
                continue
            if operation.name == FindFaceAreas.name:
                made = measuring.prepare(item)
                result["pictures_of_areas"] = milliseconds(partial(measuring.encode, made), clock)
    return result


def main() -> dict[str, float]:
    """Milliseconds a face, by operation."""
    result = own_times(SIZE)
    result["all_measures"] = round(sum(v for k, v in result.items() if k != "search"), 1)
    return result


if __name__ == "__main__":
    print(main())
