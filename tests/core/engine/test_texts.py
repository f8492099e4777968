"""Texts into vectors: batched like everything else, bounded, and refused with a reason."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from opsin.core.availability import Availability
from opsin.core.contract import Embedding, Item, LoadContext, Runner, TextEmbedder
from opsin.core.errors import (
    Cancelled,
    DeadlineExceeded,
    OperationFailed,
    OperationUnavailable,
    Overloaded,
    TooLarge,
    UnknownOperation,
)
from opsin.core.models.inventory import ModelInventory
from opsin.core.testing import FakeOperation, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.test_provenance import model
from tests.core.engine.workbench import decoded, until

Answer = Callable[[str], Any]


def embedding(*vector: float, normalized: bool = False) -> Embedding:
    return Embedding(
        dimensions=len(vector), normalized=normalized, model_fingerprint="f", vector=vector
    )


class Lengths(Runner[Any, Embedding]):
    """A text's vector is its length and 1; what runs must have been prepared."""

    def __init__(self, script: Script, answer: Answer) -> None:
        self.script = script
        self.max_batch = script.max_batch
        self._answer = answer

    def prepare(self, item: Item[Any] | str) -> Any:
        assert isinstance(item, str)
        return item.strip()

    def run(self, batch: Sequence[Any]) -> Sequence[Embedding]:
        self.script.batches.append(list(batch))
        self.script.running.enter()
        return [self._answer(text) for text in batch]


class FakeEmbedder(TextEmbedder):
    name = "fake_texts"
    version = "1"
    operation = "fake"

    def __init__(
        self,
        script: Script | None = None,
        answer: Answer = lambda text: embedding(len(text), 1.0),
        **declared: Any,
    ) -> None:
        self.script = script or Script()
        self._answer = answer
        vars(self).update(declared)

    def load(self, context: LoadContext) -> Runner[Any, Embedding]:
        self.script.load()
        return Lengths(self.script, self._answer)


def texts(embedder: FakeEmbedder) -> list[Any]:
    """What its runner has run."""
    return [text for batch in embedder.script.batches for text in batch]


async def test_one_vector_a_text_in_their_order(workbench: MakeWorkbench) -> None:
    embedder = FakeEmbedder(Script(max_batch=4))
    bench = workbench(FakeOperation(), embedder)
    found = await bench.engine.embed_texts("fake", ["a ", "bbb", "", "cc", "a"])
    assert [e.vector for e in found] == [(1, 1), (3, 1), (0, 1), (2, 1), (1, 1)]
    assert await bench.engine.embed_texts("fake", []) == []
    assert sorted(texts(embedder)) == ["", "a", "a", "bbb", "cc"]
    assert bench.engine._requests.admission.accepted == 0
    (statistics,) = bench.engine.statistics()
    assert (statistics.name, statistics.items) == ("text embedder 'fake_texts'", 5)


async def test_callers_share_batches(workbench: MakeWorkbench) -> None:
    embedder = FakeEmbedder()
    bench = workbench(FakeOperation(), embedder)
    embedder.script.running.close()
    first = asyncio.ensure_future(bench.engine.embed_texts("fake", ["first"]))
    await embedder.script.running.arrival()
    rest = [asyncio.ensure_future(bench.engine.embed_texts("fake", ["x" * n])) for n in range(1, 6)]
    name = "text embedder 'fake_texts'"
    await until(lambda: bench.statistics(name).queued == 5)
    embedder.script.running.open()
    assert [found.vector[0] for (found,) in await asyncio.gather(*rest)] == [1, 2, 3, 4, 5]
    await first
    assert len(embedder.script.batches) == 2


async def test_vectors_of_length_one(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation(), FakeEmbedder())
    (found,) = await bench.engine.embed_texts("fake", ["xyz"], normalize=True)
    assert found.normalized
    assert found.vector == pytest.approx((3 / math.sqrt(10), 1 / math.sqrt(10)), rel=1e-6)
    zeros = FakeEmbedder(answer=lambda text: embedding(0.0, 0.0))
    bench = workbench(FakeOperation(), zeros)
    with pytest.raises(OperationFailed, match="no length"):
        await bench.engine.embed_texts("fake", ["x"], normalize=True)
    unit = FakeEmbedder(answer=lambda text: embedding(0.6, 0.8, normalized=True))
    bench = workbench(FakeOperation(), unit)
    (found,) = await bench.engine.embed_texts("fake", ["x"], normalize=True)
    assert found.vector == (0.6, 0.8)


async def test_what_cannot_be_embedded_is_an_error_for_all_the_texts(
    workbench: MakeWorkbench,
) -> None:
    def moody(text: str) -> Any:
        if text == "bad":
            raise ValueError("no")
        return "junk" if text == "junk" else embedding(1.0)

    bench = workbench(FakeOperation(), FakeEmbedder(answer=moody))
    with pytest.raises(OperationFailed, match="text embedder 'fake_texts' failed: ValueError: no"):
        await bench.engine.embed_texts("fake", ["good", "bad", "good"])
    with pytest.raises(OperationFailed, match="gave a str where an Embedding was expected"):
        await bench.engine.embed_texts("fake", ["junk"])
    assert len(await bench.engine.embed_texts("fake", ["good"])) == 1
    assert bench.engine._requests.admission.accepted == 0


async def test_operations_without_an_embedder(workbench: MakeWorkbench) -> None:
    missing = FakeEmbedder(requires=("surely_not_installed",), operation="other")
    bench = workbench(FakeOperation(), FakeOperation("other"), missing)
    with pytest.raises(UnknownOperation, match="no plugin embeds texts for the operation 'fake'"):
        await bench.engine.embed_texts("fake", ["x"])
    with pytest.raises(UnknownOperation, match="no operation 'fakes'; did you mean 'fake'"):
        await bench.engine.embed_texts("fakes", ["x"])
    with pytest.raises(OperationUnavailable) as caught:
        await bench.engine.embed_texts("other", ["x"])
    availability = Availability(bench.host, bench.models)
    assert caught.value.message == availability.text_reason("other")
    assert "embedding texts for 'other' needs surely_not_installed" in caught.value.message
    assert availability.text_reason("fake") == "no plugin embeds texts for the operation 'fake'"
    assert Availability(
        workbench(FakeEmbedder()).host, bench.models
    ).text_reason("fake") is None  # fmt: skip


async def test_texts_are_let_in_and_turned_away_like_pictures(workbench: MakeWorkbench) -> None:
    embedder = FakeEmbedder(Script(max_batch=1))
    bench = workbench(FakeOperation(), embedder, queue_limit=3)
    engine = bench.engine
    with pytest.raises(TooLarge):
        await engine.embed_texts("fake", ["x"] * 4)
    embedder.script.running.close()
    first = asyncio.ensure_future(engine.embed_texts("fake", ["running"]))
    await embedder.script.running.arrival()
    waiting = asyncio.ensure_future(engine.embed_texts("fake", ["waits"] * 3))
    name = "text embedder 'fake_texts'"
    await until(lambda: bench.statistics(name).queued == 3)
    with pytest.raises(Overloaded):
        await bench.run(bench.task(), source=decoded())
    with pytest.raises(Overloaded):
        await engine.embed_texts("fake", ["x"])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert engine._requests.admission.accepted == 1
    with pytest.raises(DeadlineExceeded):
        deadline = asyncio.get_running_loop().time() + 0.02
        await engine.embed_texts("fake", ["late"], deadline=deadline)
    embedder.script.running.open()
    await first
    assert engine._requests.admission.accepted == 0
    await engine.embed_texts("fake", ["last"])
    # Those who had left or came too late were not run.
    assert texts(embedder) == ["running", "last"]
    await engine.close()
    with pytest.raises(Cancelled):
        await engine.embed_texts("fake", ["x"])


async def test_its_models_are_in_the_inventory(workbench: MakeWorkbench) -> None:
    bench = workbench(
        FakeOperation(models=(model("image"),)), FakeEmbedder(models=(model("text"),))
    )
    inventory = ModelInventory(bench.models, bench.host)
    uses = {d.name: [(use.loadable, use.role) for use in d.uses] for d in inventory.models()}
    assert uses["text-weights"] == [("fake_texts", "text")]
