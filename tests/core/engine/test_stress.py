"""Many requests at once, with everything that can go wrong going wrong at random."""

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import pytest

from opsin.core.contract import Box, Input, Item, Target
from opsin.core.engine import Analyzed, Task, TaskStatus
from opsin.core.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidImage,
    OperationFailed,
    OperationUnavailable,
    OpsinError,
    Overloaded,
    PluginError,
)
from opsin.core.testing import FakeFinder, FakeOperation, FakeRunner, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import Workbench, decoded, png, result_of

TASK_ERRORS = (OperationFailed, InvalidImage, OperationUnavailable, PluginError)
REQUEST_ERRORS = (DeadlineExceeded, Overloaded, InvalidImage, Cancelled)
PNG = png(20, 20)


class Moody:
    """Fails for some marks always, and now and then by running out of memory."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self, item: Item[Any]) -> BaseException | None:
        mark = getattr(item.params, "mark", 0)
        if mark % 13 == 1:
            return ValueError(f"no {mark}")
        if mark % 17 == 1:
            return InvalidImage(f"no {mark}")
        return MemoryError() if self.random.random() < 0.01 else None


class Miscounting(FakeRunner):
    def run(self, batch: Any) -> Any:
        return [*super().run(batch), *([None] if len(batch) % 5 == 4 else [])]


class Preparing(FakeRunner):
    def prepare(self, item: Item[Any]) -> Any:
        if item.params.mark % 11 == 1:
            raise ValueError(f"no {item.params.mark}")
        return item


def needed(*names: str) -> Any:
    """`Operation.inputs`: these operations, with the asker's own mark."""

    def inputs(params: Any, reference: Any) -> list[Input]:
        return [Input(name, params={"mark": params.mark, "key": params.key}) for name in names]

    return inputs


def fakes(seed: int) -> list[Any]:
    def script(**options: Any) -> Script:
        return Script(latency=0.0005, fails=Moody(seed), **options)

    person = Box(x_min=2, y_min=2, x_max=18, y_max=18)
    return [
        FakeOperation("plain", script(max_batch=8)),
        FakeOperation("light", script(uses_device=False)),
        FakeOperation("preparing", script(max_batch=4), Preparing),
        FakeOperation("miscounting", script(), Miscounting),
        FakeOperation("moody", script(load_fails=[ValueError("x"), SystemExit()])),
        FakeOperation("missing", requires=("surely_not_installed",)),
        FakeOperation("asking", script(), inputs=needed("plain", "preparing")),
        FakeOperation("again", script(), inputs=needed("asking", "light"), uses_picture=False),
        FakeFinder(Target.PROMINENT_PERSON, person, script(load_fails=[ValueError("x")])),
        FakeFinder(Target.PROMINENT_FACE, None, script()),
    ]


class Crowd:
    """Requests at random, each checked for an answer of its own."""

    def __init__(self, bench: Workbench, seed: int) -> None:
        self.bench = bench
        self.random = random.Random(seed)
        self.answers: Counter[str] = Counter()
        self.numbers = itertools.count()

    async def request(self) -> None:
        pick = self.random.choice
        names = [name for name in self.bench.host.operations for _ in range(pick([0, 1, 3]))]
        tasks = [
            self.bench.task(name, n, target=pick(list(Target)), key=pick([0, 0, 1]))
            for name, n in zip(names, self.numbers, strict=False)
        ]
        source = pick([decoded(20, 20), PNG, PNG, b"no picture"])
        late = pick([None, None, None, 0.0, 0.005, 5.0])
        deadline = None if late is None else asyncio.get_running_loop().time() + late
        running = self.bench.begin(*tasks, source=source, deadline=deadline, priority=pick([0, 3]))
        leaving = self.random.random() < 0.2
        if leaving:
            await asyncio.sleep(self.random.random() * 0.01)
            running.cancel()
        try:
            analyzed = await running
        except asyncio.CancelledError:
            assert leaving
            self.answers["left"] += 1
        except OpsinError as error:
            assert type(error) in REQUEST_ERRORS, error
            self.answers[type(error).__name__] += 1
        else:
            self.answers["analyzed"] += 1
            self.check(analyzed, tasks)

    def check(self, analyzed: Analyzed, tasks: list[Task]) -> None:
        assert len(analyzed.outcomes) == len(tasks)
        for outcome, task in zip(analyzed.outcomes, tasks, strict=True):
            assert outcome.task is task
            self.answers[outcome.status.value] += 1
            if outcome.status is TaskStatus.SUCCESS:
                result = result_of(outcome)
                assert {result.mark, *result.seen_inputs} == {int(task.task_id)}
            elif outcome.status is TaskStatus.ERROR:
                assert type(outcome.error) in TASK_ERRORS, outcome.error
                text = str(outcome.error)
                assert "failed: ValueError: no" not in text or text.endswith(task.task_id), text


@pytest.mark.parametrize("seed", range(4))
async def test_everyone_gets_exactly_the_answer_that_is_theirs(
    workbench: MakeWorkbench, seed: int
) -> None:
    bench = workbench(
        *fakes(seed), queue_limit=400, load_pause=0.01, picture_memory=20_000, cpu_threads=4
    )
    crowd = Crowd(bench, seed)
    async with asyncio.timeout(60):
        for _ in range(4):
            await asyncio.gather(*(crowd.request() for _ in range(100)))
    kinds = ("left", "analyzed", *(error.__name__ for error in REQUEST_ERRORS))
    assert sum(crowd.answers[kind] for kind in kinds) == 400
    assert crowd.answers["success"] and crowd.answers["error"] and crowd.answers["skipped"]
    engine: Any = bench.engine
    assert engine._requests.admission.accepted == 0
    assert not engine._requests.are_open
    assert engine._decoder._used == 0
    for statistics in engine.statistics():
        assert statistics.queued <= 4  # what a thread may still be preparing for those who left
    await bench.engine.close()
    for statistics in engine.statistics():
        assert statistics.running == 0


async def test_closing_in_the_middle_of_a_crowd(workbench: MakeWorkbench) -> None:
    bench = workbench(*fakes(9), queue_limit=10_000, load_pause=0.01)
    crowd = Crowd(bench, 9)
    requests = [asyncio.ensure_future(crowd.request()) for _ in range(200)]
    await asyncio.sleep(0.02)
    await bench.engine.close()
    async with asyncio.timeout(10):
        await asyncio.gather(*requests)
    assert crowd.answers["Cancelled"]
