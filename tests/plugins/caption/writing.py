"""Pictures to describe, runners of model folders, and what they write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from opsin import Item, Picture
from opsin.plugins.caption.plugin import Caption, CaptionParams, DescribeImage
from opsin.plugins.caption.runner.writing import CaptionRunner
from tests.plugins.caption.models import context_of

# Tests run side by side: with a thread for every core in each, they would wait for one another.
torch.set_num_threads(2)


def pictures(count: int) -> list[Picture]:
    """Coloured squares, each picture of its own size and colours."""
    made = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        colours = random.integers(0, 256, (3 + seed % 3, 4, 3), dtype=np.uint8)
        picture = np.kron(colours, np.ones((20, 20, 1), np.uint8))
        picture.flags.writeable = False  # as the engine hands it over
        made.append(picture)
    return made


def runner_of(folder: Path, **context: Any) -> CaptionRunner:
    loaded = DescribeImage().load(context_of(folder, **context))
    assert isinstance(loaded, CaptionRunner)
    return loaded


def written(runner: CaptionRunner, *items: Item[CaptionParams]) -> list[list[int]]:
    """The tokens of a batch."""
    prepared = [runner.prepare(item) for item in items]
    assert len({runner.batch_key(one) for one in prepared}) == 1
    return [one.tokens for one in runner.run(prepared)]


def captions(runner: CaptionRunner, *items: Item[CaptionParams]) -> list[Caption]:
    return [runner.encode(one) for one in runner.run([runner.prepare(item) for item in items])]


def item(picture: Picture, progress: Callable[[str], object] = str, **params: Any) -> Item[Any]:
    def tell(text: str) -> None:
        progress(text)

    return Item(picture, CaptionParams.model_validate(params), progress=tell)
