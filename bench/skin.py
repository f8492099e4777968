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
from opsin import Item, Params, Region, Target
from opsin.core.models.store import ModelStore
from opsin.plugins.bbox.plugin import FaceFinder
from opsin.plugins.skin.plugin import opsin_operations

SIZE = (924, 1083)
"""The portrait at 1.0 megapixel."""
RUNS = 15


def milliseconds(work: Callable[[], Any]) -> float:
    """The median of `RUNS` calls on one thread, after one that is not counted."""
    work()
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1000, 1)


def main() -> dict[str, Any]:
    """Milliseconds a face, by operation."""
    with Image.open(io.BytesIO(portrait())) as image:
        pixels = np.array(image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC))
    torch.set_num_threads(2)  # more would wait for other processes on a shared machine
    finder = FaceFinder()
    with TemporaryDirectory() as folder:
        context = ModelStore(Path(folder)).context(finder, "cpu")
        runner = finder.load(context)
        searched = [runner.prepare(Item(pixels, Params()))]
        result: dict[str, Any] = {"search": milliseconds(lambda: runner.run(searched))}
        (region,) = runner.run(searched)
        assert isinstance(region, Region)
        runner.close()
        for operation in opsin_operations():
            measuring = operation.load(context)
            item = Item(pixels, Params(), Target.PROMINENT_FACE, region)
            result[operation.name] = milliseconds(partial(measuring.prepare, item))
    result["all_measures"] = round(sum(v for k, v in result.items() if k != "search"), 1)
    return result


if __name__ == "__main__":
    print(main())
