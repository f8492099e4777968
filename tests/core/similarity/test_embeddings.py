"""Embeddings of analyses: stored once, as float32, and read back bit by bit."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given as each
from hypothesis import strategies
from pydantic import PrivateAttr
from sqlalchemy import select

from opsin import Embedding, EmbeddingParams, Item, LoadContext, Operation, Result, Runner
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.errors import InvalidInput
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.similarity.embeddings import (
    is_stored_apart,
    needs_vector,
    read_vectors,
    space_of,
    vector_bytes,
    vector_values,
    without_vector,
)
from opsin.settings import Settings
from opsin.storage.tables import embeddings
from tests.conftest import other_company
from tests.core.colour_plugin import FINGERPRINT, SOURCE, ColourEmbedding, colour_vector
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.core.working import found
from tests.pictures import solid_png


@pytest.fixture
async def parts(settings: Settings, any_database_url: str) -> AsyncIterator[Parts]:
    changes = {"database_url": any_database_url}
    async with assemble(settings.model_copy(update=changes), [SOURCE]).running() as parts:
        yield parts


async def test_a_finished_embedding_is_stored_once(parts: Parts, principal: Principal) -> None:
    image = await add_image(parts, principal, solid_png(8, 8))
    (asked,) = await ask(parts, principal, image, "embed_colour")
    assert await parts.worker.drain() == 1
    (analysis,) = await found(parts, principal, [asked])
    assert analysis.status is AnalysisStatus.COMPLETED
    assert analysis.result is not None and analysis.result_type == "ColourEmbedding"
    assert "vector" not in analysis.result and analysis.result["dimensions"] == 4
    async with parts.use_cases.database.read() as connection:
        (row,) = (await connection.execute(select(embeddings))).all()
        vectors = await read_vectors(connection, principal, [asked.id])
        other = await other_company(parts)
        assert await read_vectors(connection, other, [asked.id]) == {}
    assert (row.analysis_id, row.image_id, row.dataset_id, row.company_id) == (
        asked.id,
        image.id,
        image.dataset_id,
        principal.company_id,
    )
    assert (row.operation, row.target, row.dimensions) == ("embed_colour", "whole_image", 4)
    assert row.space == space_of("embed_colour", "1", FINGERPRINT)
    assert row.model_fingerprint == FINGERPRINT
    red, green, blue = 220 / 255, 30 / 255, 40 / 255
    assert vectors == {asked.id: vector_values(row.vector)}
    assert len(row.vector) == 16
    expected = colour_vector(red, green, blue)
    assert (
        vectors[asked.id] == pytest.approx(expected, abs=0.1)
        and vectors[asked.id][3] == (expected[3])
    )


async def test_deleting_the_image_deletes_the_vector(parts: Parts, principal: Principal) -> None:
    image = await add_image(parts, principal)
    await ask(parts, principal, image, "embed_colour", count=2)
    await parts.worker.drain()
    await parts.use_cases.images.delete(principal, image.id)
    async with parts.use_cases.database.read() as connection:
        assert (await connection.execute(select(embeddings))).all() == []


class GivesAnything(Runner[Any, Embedding]):
    uses_device = False

    def __init__(self, result: Result) -> None:
        self._result = result

    def run(self, batch: Sequence[Item[Any]]) -> Sequence[Any]:
        return [self._result for _ in batch]


class Gives(Operation[EmbeddingParams, Embedding]):
    name = "gives"
    version = "1"
    description = "Gives what a test wants."
    params = EmbeddingParams
    result = Embedding

    def __init__(self, **changes: Any) -> None:
        right: dict[str, Any] = {
            "dimensions": 2,
            "normalized": False,
            "model_fingerprint": "f",
            "vector": (1, 2),
        }
        self._given = Embedding.model_construct(**(right | changes))

    def load(self, context: LoadContext) -> GivesAnything:
        return GivesAnything(self._given)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"vector": (1.0, float("nan"))}, "finite float32 values only"),
        ({"vector": (1.0, 1e39)}, "finite float32 values only"),
        ({"vector": (1.0,)}, "as `dimensions` says"),
        ({"vector": (), "dimensions": 0}, "as `dimensions` says"),
        ({"model_fingerprint": "f" * 65}, "at most 64 characters"),
        ({"model_fingerprint": "a\x00"}, "at most 64 characters"),
    ],
)
async def test_what_is_no_vector_fails_with_the_reason(
    settings: Settings, changes: dict[str, Any], reason: str
) -> None:
    async with house_of(settings, Gives(**changes)) as parts:
        principal = await parts.use_cases.access.local()
        asked = await ask(parts, principal, await add_image(parts, principal), "gives")
        assert await parts.worker.drain() == 1
        (analysis,) = await found(parts, principal, asked)
        assert analysis.status is AnalysisStatus.FAILED
        assert reason in (analysis.error_message or "")


# --- bits -----------------------------------------------------------------------------------------

FLOAT32 = strategies.floats(width=32, allow_nan=False, allow_infinity=False)


@each(strategies.lists(FLOAT32, min_size=1))
def test_every_float32_comes_back_as_it_was(values: list[float]) -> None:
    stored = vector_bytes(values)
    assert len(stored) == 4 * len(values)
    # Bits, because -0.0 == 0.0.
    assert np.array_equal(
        np.array(vector_values(stored)).view(np.uint64), np.array(values).view(np.uint64)
    )


def test_values_beyond_float32_are_rounded_or_refused() -> None:
    assert vector_values(vector_bytes([0.1])) == (float(np.float32(0.1)),)
    for value in (float("inf"), -1e39):
        with pytest.raises(InvalidInput):
            vector_bytes([value])


def test_a_space_is_one_operation_version_and_model() -> None:
    names = [("a", "1", "f"), ("a", "2", "f"), ("b", "1", "f"), ("a", "1", "g"), ('a","1', "", "f")]
    assert len({space_of(*name) for name in names}) == len(names)
    assert space_of("a", "1", "f") == space_of("a", "1", "f")


# --- without the vector ---------------------------------------------------------------------------


def test_a_result_without_its_vector_is_checked_and_has_none() -> None:
    box = {"x_min": 1, "y_min": 2, "x_max": 3, "y_max": 4}
    values = {
        "region": box,
        "note": "cropped",
        "dimensions": 4,
        "normalized": True,
        "model_fingerprint": "f",
        "brightness": 0.5,
    }
    assert not needs_vector(ColourEmbedding)
    assert is_stored_apart(ColourEmbedding, values)
    assert not is_stored_apart(ColourEmbedding, values | {"vector": [1]})
    assert not is_stored_apart(Result, values)
    read = without_vector(ColourEmbedding, values)
    assert isinstance(read, ColourEmbedding) and read.region is not None
    assert (read.region.x_max, read.note, read.brightness) == (3, "cropped", 0.5)
    with pytest.raises(AttributeError):
        _ = read.vector
    with pytest.raises(ValueError, match="brightness"):
        without_vector(ColourEmbedding, values | {"brightness": "?"})


class Remembers(Embedding):
    """Looks at its vector as soon as it is made."""

    _longest: float = PrivateAttr(default=0)

    def model_post_init(self, _: Any) -> None:
        self._longest = max(self.vector)


def test_a_class_that_looks_at_its_vector_is_not_read_without() -> None:
    assert needs_vector(Remembers) and not needs_vector(Embedding)
