"""Pixels go as soon as a request does: what is this large cannot wait for the garbage collector."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from opsin.core.contract import Box, Input, Item, Runner, Target
from opsin.core.engine import Engine, Task
from opsin.core.errors import DeadlineExceeded, InvalidImage
from opsin.core.imaging import DecodedImage
from opsin.core.testing import FakeFinder, FakeOperation, FakeResult
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import decoded, until

PERSON = Target.PROMINENT_PERSON
SOMEWHERE = Box(x_min=1, y_min=1, x_max=5, y_max=5)


class Forgetful(Runner[Any, Any]):
    """Keeps nothing, unlike the other fakes, and fails where `mark` says so."""

    def run(self, batch: Any) -> Any:
        if any(item.params.mark == 1 for item in batch):
            raise ValueError("on purpose")
        if any(item.params.mark == 2 for item in batch):
            raise InvalidImage("on purpose")
        return [FakeResult(mark=0, width=1, height=1, batch_size=1)] * len(batch)


class Preparing(Forgetful):
    def prepare(self, item: Item[Any]) -> Item[Any]:
        return item


class Nothing(list[Any]):
    """A list that stays empty."""

    def append(self, item: Any) -> None:
        pass


class ForgetfulFinder(FakeFinder):
    def load(self, context: Any) -> Any:
        self.script.batches = Nothing()
        return super().load(context)


@pytest.fixture
async def no_collector(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    caplog.set_level(logging.CRITICAL, "opsin.engine")  # pytest keeps records, and so the frames
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def analyze(engine: Engine, tasks: list[Task], **options: Any) -> "weakref.ref[Any]":
    """Analyze a picture that nobody else holds, keeping what comes of it for a while."""
    picture: DecodedImage | None = decoded(64, 64)
    assert picture is not None
    pixels = weakref.ref(picture.pixels)
    try:
        kept: Any = await engine.analyze(picture, tasks, **options)
    except DeadlineExceeded as error:
        kept = str(error)
    del picture
    await until(lambda: pixels() is None)
    del kept
    return pixels


@pytest.mark.parametrize("runner", [Forgetful, Preparing])
@pytest.mark.parametrize(
    "asked",
    [
        [{}, {}, {}],
        [{"mark": 1}, {}, {"mark": 2}],
        [{"target": PERSON}, {"target": Target.PROMINENT_FACE}, {}],
        [{"operation": "asking", "target": PERSON}, {"operation": "asking", "mark": 1}],
    ],
)
@pytest.mark.usefixtures("no_collector")
async def test_when_it_is_done(
    workbench: MakeWorkbench, runner: Callable[[], Any], asked: list[dict[str, Any]]
) -> None:
    bench = workbench(
        FakeOperation(runner=lambda script: runner()),
        FakeOperation(
            "asking",
            runner=lambda script: runner(),
            inputs=lambda params, reference: [Input("fake", params={"mark": params.mark})],
        ),
        ForgetfulFinder(PERSON, SOMEWHERE),
        ForgetfulFinder(Target.PROMINENT_FACE, None),
    )
    tasks = [bench.task(**params) for params in asked]
    for _ in range(3):
        await analyze(bench.engine, tasks)


@pytest.mark.usefixtures("no_collector")
async def test_when_it_is_too_late(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench = workbench(operation)
    first = await bench.occupy(operation.script, bench.task())
    deadline = asyncio.get_running_loop().time() + 0.02
    await analyze(bench.engine, [bench.task()], deadline=deadline)
    operation.script.running.open()
    await first
