"""What can only be seen on a CUDA device: memory by its allocator, precision, honest float32."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from opsin.core.contract import Acceleration, LoadContext, Precision, Runner
from opsin.core.engine.device import set_up_torch
from opsin.core.neural import pixels_to_batch, place
from opsin.core.testing import FakeOperation, FakeParams, FakeResult, FakeRunner, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import marks_of
from tests.core.test_neural_acceleration import build as build
from tests.core.test_neural_acceleration import cosine, run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

DEVICE = "cuda:0"
MEGABYTES = 64
PLAIN = LoadContext("cpu")


class OnDevice(FakeRunner):
    """Holds a tensor on the device, and says nothing of it."""

    def __init__(self, script: Script, context: LoadContext) -> None:
        super().__init__(script)
        self.weights = torch.zeros(MEGABYTES * 2**18, device=context.device)

    def run(self, batch: Sequence[Any]) -> Sequence[FakeResult]:
        assert float(self.weights.sum()) == 0
        return super().run(batch)


class DeviceOperation(FakeOperation):
    requires = ("torch",)

    def load(self, context: LoadContext) -> Runner[FakeParams, FakeResult]:
        self.script.load()
        return OnDevice(self.script, context)


async def test_memory_is_measured_by_the_allocator_and_freed(workbench: MakeWorkbench) -> None:
    one, two = DeviceOperation("one"), DeviceOperation("two")
    bench = workbench(one, two, device="cuda", device_memory="100MB")
    before = torch.cuda.memory_allocated()
    await bench.run(bench.task("one"))
    (memory,) = bench.engine.memory_statistics()
    assert memory.device == DEVICE
    assert MEGABYTES * 2**20 <= memory.used_bytes <= MEGABYTES * 2**20 + 2**21
    # What it takes was not known before: the first time, both are there for a moment.
    for n, name in enumerate(("two", "one", "two")):
        assert marks_of(await bench.run(bench.task(name, mark=n))) == [n]
    assert one.script.closes >= 1
    await bench.engine.close()
    assert torch.cuda.memory_allocated() == before
    assert torch.cuda.memory_reserved() < MEGABYTES * 2**20, "the cache was given back, too"


async def test_by_default_models_may_take_four_fifths(workbench: MakeWorkbench) -> None:
    bench = workbench(DeviceOperation("one"), device="cuda")
    await bench.run(bench.task("one"))
    (memory,) = bench.engine.memory_statistics()
    total = torch.cuda.get_device_properties(0).total_memory
    assert memory.limit_bytes == int(total * 0.8)


@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_reduced_precision(build: Any, precision: Precision, channels_last: bool) -> None:
    plain = run(place(build(), PLAIN), PLAIN)
    how = LoadContext(DEVICE, acceleration=Acceleration(precision, channels_last))
    assert cosine(plain, run(place(build(), how), how).cpu()) >= 0.999


def test_float32_is_float32(build: Any) -> None:
    set_up_torch(4)
    plain = run(place(build(), PLAIN), PLAIN)
    how = LoadContext(DEVICE)
    difference = plain - run(place(build(), how), how).cpu()
    assert float(difference.abs().max()) <= 1e-4


@pytest.mark.timeout(300)
def test_compiled(build: Any) -> None:
    how = LoadContext(DEVICE, acceleration=Acceleration(Precision.BFLOAT16, True, True))
    network = place(build(), how, example=torch.zeros(1, 3, 64, 64))
    plain = place(build(), PLAIN)
    with torch.compiler.set_stance("fail_on_recompile"):
        for count in (1, 2, 16, 33):
            assert cosine(run(plain, PLAIN, count), run(network, how, count).cpu()) >= 0.999


def test_batches_are_those_of_the_cpu() -> None:
    chance = np.random.default_rng(0)
    pictures = [chance.integers(0, 256, (32, 48, 3), np.uint8) for _ in range(5)]
    half = (0.5, 0.25, 0.125)
    there = pixels_to_batch(pictures, half, half, LoadContext(DEVICE))
    assert str(there.device) == DEVICE
    assert torch.allclose(there.cpu(), pixels_to_batch(pictures, half, half, PLAIN), atol=1e-6)
