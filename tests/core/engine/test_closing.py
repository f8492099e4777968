"""The end of an engine, and the ends of its threads: everybody gets an answer."""

import asyncio
import threading

import pytest

from opsin.core.contract import Target
from opsin.core.engine.batching import FairShare
from opsin.core.engine.lane import Lane
from opsin.core.engine.plan import PicturePlan
from opsin.core.errors import Cancelled, OperationFailed
from opsin.core.testing import FakeFinder, FakeOperation, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import decoded, marks_of, message_of, png, until


async def test_closing_answers_everyone_at_once(workbench: MakeWorkbench) -> None:
    running, loading = FakeOperation("running"), FakeOperation("loading")
    light = FakeOperation("light", Script(uses_device=False))
    finder = FakeFinder(Target.PROMINENT_PERSON, None)
    bench = workbench(running, loading, light, finder)
    requests = [
        await bench.occupy(running.script, bench.task("running")),
        await bench.occupy(light.script, bench.task("light")),
        bench.begin(bench.task("running"), bench.task("light")),
        bench.begin(bench.task("running", target=Target.PROMINENT_PERSON)),
    ]
    loading.script.loading.close()
    requests.append(bench.begin(bench.task("loading")))
    await loading.script.loading.arrival()
    closing = asyncio.ensure_future(bench.engine.close())
    for request in requests:
        with pytest.raises(Cancelled):
            await request
    assert not closing.done()  # a batch that is running is not interrupted
    for script in (running.script, light.script):
        script.running.open()
    loading.script.loading.open()
    await closing
    for operation in (running, loading, light):
        assert operation.script.closes == 1


async def test_a_closed_engine_takes_nothing(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation())
    await bench.run(bench.task())
    await bench.engine.close()
    with pytest.raises(Cancelled):
        await bench.run(bench.task())
    with pytest.raises(Cancelled):
        await bench.engine.decode(png())
    await bench.engine.close()  # again, for nothing


async def test_an_engine_that_was_never_used_can_be_closed(workbench: MakeWorkbench) -> None:
    await workbench(FakeOperation()).engine.close()


async def test_a_hanging_batch_does_not_keep_the_engine_open(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench = workbench(operation)
    request = await bench.occupy(operation.script, bench.task())
    await bench.engine.close(grace=0.05)
    with pytest.raises(Cancelled):
        await request
    operation.script.running.open()
    await until(lambda: operation.script.closes == 1)


def test_an_engine_outlives_its_event_loop(
    workbench: MakeWorkbench,
) -> None:
    bench = workbench(FakeOperation())
    for n in range(3):
        assert marks_of(asyncio.run(bench.run(bench.task(mark=n)))) == [n]


async def test_two_loops_at_once_are_refused(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench = workbench(operation)
    request = await bench.occupy(operation.script, bench.task())
    caught: list[BaseException] = []

    def other() -> None:
        try:
            asyncio.run(bench.run(bench.task()))
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "one event loop at a time" in str(caught[0])
    operation.script.running.open()
    await request


@pytest.mark.parametrize("uses_device", [True, False])
async def test_a_lane_whose_bookkeeping_fails_answers_and_goes_on(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch, uses_device: bool
) -> None:
    operation = FakeOperation(script=Script(uses_device=uses_device))
    bench = workbench(operation)
    first = await bench.occupy(operation.script, bench.task(mark=0))
    waiting = [bench.begin(bench.task(mark=n), bench.task(mark=n)) for n in (1, 2)]
    await bench.queued(4)
    take = FairShare.next
    failures = [SystemExit("gone")]

    def die(share: FairShare) -> object:
        if failures:
            raise failures.pop()
        return take(share)

    monkeypatch.setattr(FairShare, "next", die)
    operation.script.running.open()
    assert marks_of(await first) == [0]
    for request in waiting:
        for outcome in (await request).outcomes:
            assert type(outcome.error) is OperationFailed
            assert message_of(outcome) == "the thread that ran operation 'fake' was stopped"
    assert marks_of(await bench.run(bench.task(mark=3))) == [3]


async def test_a_thread_that_is_ended_in_the_middle_of_a_batch(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object) -> list[object]:
        raise SystemExit

    operation = FakeOperation()
    bench = workbench(operation)
    with monkeypatch.context() as patch:
        patch.setattr("opsin.core.engine.lane.run_batch", die)
        (one, two) = (await bench.run(bench.task(), bench.task())).outcomes
    assert type(one.error) is type(two.error) is OperationFailed
    assert marks_of(await bench.run(bench.task(mark=3))) == [3]
    assert bench.statistics().running == 0


async def test_a_plan_that_cannot_be_made_fails_its_caller_only(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError

    bench = workbench(FakeOperation())
    with monkeypatch.context() as patch:
        patch.setattr(PicturePlan, "begin", broken)
        for source in (png(), decoded()):
            with pytest.raises(OperationFailed, match="planning the tasks failed: ZeroDivision"):
                await bench.run(bench.task(), source=source)
    assert marks_of(await bench.run(bench.task(mark=1), source=png())) == [1]


async def test_a_queue_that_fails_ends_its_callers_request_only(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError

    bench = workbench(FakeOperation())
    await bench.run(bench.task())
    with monkeypatch.context() as patch:
        patch.setattr(Lane, "put", broken)
        with pytest.raises(OperationFailed, match="queueing for operation 'fake' failed"):
            await bench.run(bench.task(), source=png())
    assert marks_of(await bench.run(bench.task(mark=1), source=png())) == [1]


async def test_a_queue_that_fails_after_the_load(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError

    bench = workbench(FakeOperation())
    with monkeypatch.context() as patch:
        patch.setattr(Lane, "put", broken)
        with pytest.raises(OperationFailed, match="queueing for operation 'fake' failed"):
            await bench.run(bench.task())
    assert marks_of(await bench.run(bench.task(mark=1))) == [1]


async def test_a_closer_that_fails_is_logged(
    workbench: MakeWorkbench, caplog: pytest.LogCaptureFixture
) -> None:
    operation = FakeOperation()
    bench = workbench(operation)
    await bench.run(bench.task())

    def broken() -> None:
        raise ValueError("cannot close")

    for slot in bench.engine.runners:
        assert slot.queue is not None
        slot.queue.loaded.runner.close = broken  # type: ignore[method-assign]  # a plugin's mistake
    await bench.engine.close()
    assert "cannot close" in caplog.text
