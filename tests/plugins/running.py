"""Runners driven as the engine drives them, and how near two sets of vectors are."""

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from opsin.core.contract import (
    Embedding,
    EmbeddingParams,
    Item,
    LoadContext,
    Params,
    Picture,
    Result,
    Runner,
    SharedModels,
)

R = TypeVar("R", bound=Result)
Matrix = npt.NDArray[np.float64]


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
