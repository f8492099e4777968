"""Who is turned away, who leaves early, and who comes too late."""

import asyncio
import threading
from typing import Any

import pytest

from opsin.core.contract import Item, Target
from opsin.core.engine.admission import Admission
from opsin.core.errors import DeadlineExceeded, Overloaded, TooLarge
from opsin.core.testing import FakeFinder, FakeOperation, FakeRunner, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import decoded, marks_of, png, until


async def test_over_the_limit_a_request_is_refused_at_once(workbench: MakeWorkbench) -> None:
    operation = FakeOperation(script=Script(max_batch=1))
    bench = workbench(operation, queue_limit=4)
    first = await bench.occupy(operation.script, bench.task(mark=0))
    waiting = bench.begin(*(bench.task(mark=n) for n in range(1, 4)))
    await bench.queued(3)
    with pytest.raises(Overloaded) as caught:
        await bench.run(bench.task(), bench.task())
    assert 1 <= caught.value.retry_after <= 60
    last = bench.begin(bench.task(mark=4))  # the item that is running does not wait
    await bench.queued(4)
    with pytest.raises(Overloaded):
        await bench.run(source=png())
    operation.script.running.open()
    assert [marks_of(a) for a in await asyncio.gather(first, waiting, last)] == [
        [0],
        [1, 2, 3],
        [4],
    ]
    assert marks_of(await bench.run(bench.task(mark=9))) == [9]


async def test_what_is_done_does_not_wait_though_its_request_does(
    workbench: MakeWorkbench,
) -> None:
    slow, quick = FakeOperation("slow"), FakeOperation("quick", Script(uses_device=False))
    bench = workbench(slow, quick, queue_limit=3)
    slow.script.running.close()
    request = bench.begin(bench.task("slow"), bench.task("quick"), bench.task("quick"))
    await slow.script.running.arrival()
    name = "operation 'quick'"
    await until(lambda: bench.statistics(name).items == 2)
    await until(lambda: bench.engine._requests.admission.accepted == 1)
    await bench.run(*[bench.task("quick")] * 3)
    slow.script.running.open()
    await request


async def test_more_than_could_ever_wait_is_too_large(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation(), queue_limit=3)
    with pytest.raises(TooLarge, match="at most 3"):
        await bench.run(*[bench.task()] * 4)
    await bench.run(*[bench.task()] * 3)


def test_the_pause_that_is_asked_for_grows_with_the_queue() -> None:
    admission = Admission(100)
    for _ in range(50):
        admission.ran(10, 5.0)
    admission.enter(20, running=0)
    with pytest.raises(Overloaded) as caught:
        admission.enter(99, running=0)
    assert caught.value.retry_after == pytest.approx(10, rel=0.05)
    admission.leave(20)
    admission.enter(99, running=0)


async def test_a_caller_who_leaves_takes_the_waiting_items_along(workbench: MakeWorkbench) -> None:
    operation = FakeOperation(script=Script(max_batch=4))
    bench, script = workbench(operation, queue_limit=8), operation.script
    first = await bench.occupy(script, bench.task(mark=0))
    leaving = bench.begin(*(bench.task(mark=n) for n in range(1, 7)))
    staying = bench.begin(bench.task(mark=7))
    await bench.queued(7)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert bench.statistics().queued <= 5  # at once, but for those a thread is preparing
    await bench.queued(1)
    others = [bench.begin(bench.task(mark=8)) for _ in range(7)]  # there is room again
    await bench.queued(8)
    script.running.open()
    await asyncio.gather(first, staying, *others)
    assert not {1, 2, 3, 4, 5, 6} & {mark for batch in script.marks for mark in batch}


async def test_leaving_while_an_item_is_prepared(workbench: MakeWorkbench) -> None:
    preparing, go = threading.Event(), threading.Event()

    class Held(FakeRunner):
        def prepare(self, item: Item[Any]) -> Any:
            if item.params.mark == 1:
                preparing.set()
                assert go.wait(20)
            return item

    operation = FakeOperation(runner=Held)
    bench = workbench(operation)
    first = await bench.occupy(operation.script, bench.task(mark=0))
    leaving = bench.begin(bench.task(mark=1))
    await until(preparing.is_set)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    go.set()
    await bench.queued(0)  # though the device is still busy
    operation.script.running.open()
    await first


async def test_leaving_while_the_model_loads_or_the_region_is_sought(
    workbench: MakeWorkbench,
) -> None:
    operation, finder = FakeOperation(), FakeFinder(Target.PROMINENT_PERSON, None)
    bench = workbench(operation, finder)
    operation.script.loading.close()
    loading = bench.begin(bench.task())
    await operation.script.loading.arrival()
    seeking = await bench.occupy(finder.script, bench.task(target=Target.PROMINENT_PERSON))
    for request in (loading, seeking):
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert bench.statistics().queued == 0
    operation.script.loading.open()
    finder.script.running.open()
    assert marks_of(await bench.run(bench.task(mark=5))) == [5]
    assert operation.script.marks == [[5]]


async def test_leaving_while_it_runs_harms_nobody_in_the_batch(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench, script = workbench(operation), operation.script
    first = await bench.occupy(script, bench.task(mark=0))
    leaving, staying = bench.begin(bench.task(mark=1)), bench.begin(bench.task(mark=2))
    await bench.queued(2)
    script.running.open()
    await until(lambda: len(script.batches) == 2)
    leaving.cancel()
    assert marks_of(await staying) == [2]
    await first


async def test_a_deadline_that_has_passed_is_told_before_any_work(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation())
    now = asyncio.get_running_loop().time()
    for source in (png(), decoded(), b"not a picture"):
        with pytest.raises(DeadlineExceeded):
            await bench.run(bench.task(), source=source, deadline=now - 1)
    assert bench.engine.statistics() == ()


async def test_a_deadline_that_passes_in_the_queue(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench, script = workbench(operation), operation.script
    first = await bench.occupy(script, bench.task(mark=0))
    deadline = asyncio.get_running_loop().time() + 0.02
    with pytest.raises(DeadlineExceeded):
        await bench.run(bench.task(mark=1), deadline=deadline)
    assert not first.done()
    await bench.queued(0)
    script.running.open()
    await first
    await bench.run(bench.task(mark=2))
    assert script.marks == [[0], [2]]


async def test_a_late_item_is_not_run_even_when_the_loop_has_not_noticed(
    workbench: MakeWorkbench,
) -> None:
    operation = FakeOperation()
    bench, script = workbench(operation), operation.script
    first = await bench.occupy(script, bench.task(mark=0))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 2  # long enough for a busy machine to queue it
    late = bench.begin(bench.task(mark=1), deadline=deadline)
    await bench.queued(1)
    threading.Event().wait(deadline + 0.05 - loop.time())  # the loop is kept from its timers
    script.running.open()
    with pytest.raises(DeadlineExceeded):
        await late
    await first
    assert script.marks == [[0]]


async def test_a_deadline_in_time_changes_nothing(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation())
    deadline = asyncio.get_running_loop().time() + 60
    assert marks_of(await bench.run(bench.task(mark=3), deadline=deadline)) == [3]
