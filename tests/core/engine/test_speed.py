"""The engine's own cost: far below that of any operation, and told apart from a busy machine's."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from opsin.core.testing import FakeOperation, FakeResult
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import Plain, Workbench, decoded

RESULT = FakeResult(mark=0, width=1, height=1, batch_size=1)
ATTEMPTS = 5


def bench_of(workbench: MakeWorkbench) -> Workbench:
    def make(script: object) -> Plain:
        return Plain(lambda batch: [RESULT] * len(batch), max_batch=64)

    return workbench(FakeOperation(runner=make))


async def fewest_seconds(work: Callable[[], Awaitable[object]], enough: float) -> float:
    """Of the processor, for the best of a few attempts; stops at one that is quick enough."""
    best = float("inf")
    for _ in range(ATTEMPTS):
        begun = time.process_time()
        await work()
        best = min(best, time.process_time() - begun)
        if best < enough:
            break
    return best


async def test_ten_thousand_items_a_second_with_many_tasks_a_picture(
    workbench: MakeWorkbench,
) -> None:
    bench = bench_of(workbench)
    tasks = [bench.task(mark=n) for n in range(100)]

    async def work() -> None:
        await asyncio.gather(*(bench.run(*tasks) for _ in range(30)))

    await work()
    assert await fewest_seconds(work, enough=0.3) < 0.3


async def test_four_thousand_pictures_a_second_with_one_task_each(
    workbench: MakeWorkbench,
) -> None:
    bench = bench_of(workbench)
    task, picture = bench.task(), decoded()

    async def work() -> None:
        await asyncio.gather(*(bench.engine.analyze(picture, [task]) for _ in range(1000)))

    await work()
    assert await fewest_seconds(work, enough=0.25) < 0.25


async def test_an_idle_engine_adds_less_than_a_millisecond(workbench: MakeWorkbench) -> None:
    bench = bench_of(workbench)
    task, picture = bench.task(), decoded()

    async def seconds() -> float:
        begun = time.perf_counter()
        await bench.engine.analyze(picture, [task])
        return time.perf_counter() - begun

    # The quickest: what is waited for on purpose would be waited for each time.
    assert min([await seconds() for _ in range(500)]) < 0.001
