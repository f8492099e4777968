"""Runners driven as the engine drives them, and how near two sets of vectors are."""

import json
import subprocess
import sys
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from opsin.core.contract import (
    Box,
    Embedding,
    EmbeddingParams,
    Item,
    LoadContext,
    Operation,
    Params,
    Picture,
    Result,
    Runner,
    SharedModels,
)
from opsin.core.testing import run_operation
from tests.pictures import noise

R = TypeVar("R", bound=Result)
Matrix = npt.NDArray[np.float64]
HEAVY = ("numpy", "PIL", "timm", "tokenizers", "torch", "transformers")


def heavy_imports(statement: str) -> list[str]:
    """The libraries for runners alone that a statement brings into a process of its own."""
    code = (
        f"import json, sys\n{statement}\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


def results(runner: Runner[Any, R], items: Sequence[Any]) -> list[R]:
    """What the runner makes of these items in one batch."""
    prepared = [runner.prepare(item) for item in items]
    keys: set[Hashable] = {runner.batch_key(one) for one in prepared}
    assert len(keys) == 1, "these items would not share a batch"
    return [runner.encode(output) for output in runner.run(prepared)]


def item(picture: Picture, params: Params | None = None, **more: Any) -> Item[Any]:
    picture.flags.writeable = False  # as the engine hands it over
    return Item(picture, params or EmbeddingParams(), **more)


def embeddings(
    runner: Runner[Any, Embedding], pictures: Sequence[Picture], *, normalize: bool = False
) -> Matrix:
    """Pictures x dimensions, of one batch."""
    params = EmbeddingParams(normalize=normalize)
    found = results(runner, [item(picture, params) for picture in pictures])
    assert all(one.dimensions == len(one.vector) for one in found)
    assert all(one.normalized is normalize for one in found)
    return np.array([one.vector for one in found])


def difference(ours: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The largest relative distance of two rows."""
    one, other = np.atleast_2d(np.array(ours, float)), np.atleast_2d(np.array(reference, float))
    assert one.shape == other.shape, (one.shape, other.shape)
    lengths = np.linalg.norm(other, axis=1)
    return float((np.linalg.norm(one - other, axis=1) / lengths).max())


def similarity(ours: Matrix, reference: Matrix) -> float:
    """The smallest cosine of two rows."""
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(reference, axis=1)
    return float(((ours * reference).sum(axis=1) / lengths).min())


def check_normalization(runner: Runner[Any, Embedding]) -> None:
    """A unit vector is given to those who ask for it, and only to them, also in one batch."""
    picture = noise(60, 40)
    (plain,), (unit,) = (embeddings(runner, [picture], normalize=asked) for asked in (False, True))
    assert abs(np.linalg.norm(plain) - 1) > 0.1
    assert abs(np.linalg.norm(unit) - 1) < 1e-6
    assert difference(unit, plain / np.linalg.norm(plain)) < 1e-6
    asked = [item(picture, EmbeddingParams(normalize=normalize)) for normalize in (True, False)]
    mixed = results(runner, asked)
    assert [one.normalized for one in mixed] == [True, False]
    assert difference([one.vector for one in mixed], [unit, plain]) < 1e-6


def check_region(operation: Operation[Any, Embedding], target: str, context: LoadContext) -> None:
    """A region is embedded as the picture that it is."""
    picture, box = noise(200, 100), Box(x_min=30, y_min=20, x_max=150, y_max=90)
    cropped = run_operation(operation, picture, {"target": target}, region=box, context=context)
    part = run_operation(operation, picture[20:90, 30:150].copy(), context=context)
    assert difference(cropped.vector, part.vector) < 1e-6
    assert (cropped.region, part.region) == (box, None)


class Shared(SharedModels):
    """Models in memory by key, and how often one was built."""

    def __init__(self) -> None:
        self.models: dict[Hashable, Any] = {}

    def get(self, key: Hashable, build: Any) -> Any:
        if key not in self.models:
            self.models[key] = build()
        return self.models[key]


def sharing(context: LoadContext, shared: Shared) -> LoadContext:
    return LoadContext(context.device, context.models, context.acceleration, shared)
