"""How requests meet in batches: at once when idle, together when busy, one thread per device."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from opsin.core.contract import Item, Runner
from opsin.core.engine import TaskStatus, decoding
from opsin.core.errors import InvalidImage
from opsin.core.imaging import pictures as imaging
from opsin.core.testing import FakeOperation, FakeParams, FakeResult, FakeRunner, Gate, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import Plain, marks_of, message_of, png, result_of, until

WHAT = "operation 'fake'"


async def test_outcomes_come_in_the_order_and_number_of_the_tasks(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation("a", Script(max_batch=3)), FakeOperation("b"))
    tasks = [bench.task("ab"[n % 2], mark=n, key=n % 3) for n in range(40)]
    analyzed = await bench.run(*tasks)
    assert marks_of(analyzed) == list(range(40))
    assert [outcome.task for outcome in analyzed.outcomes] == tasks
    assert {outcome.status for outcome in analyzed.outcomes} == {TaskStatus.SUCCESS}
    assert analyzed.info.width == 8


async def test_no_tasks_are_no_outcomes(workbench: MakeWorkbench) -> None:
    assert (await workbench().run()).outcomes == ()


async def test_equal_task_ids_are_not_mixed_up(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation())
    same = bench.task(mark=1)
    assert marks_of(await bench.run(same, same)) == [1, 1]


async def test_while_the_device_is_busy_the_next_batch_gathers_from_all_requests(
    workbench: MakeWorkbench,
) -> None:
    operation = FakeOperation(script=Script(max_batch=4))
    bench, script = workbench(operation), operation.script
    requests = [await bench.occupy(script, bench.task(mark=0))]
    requests += [bench.begin(bench.task(mark=n)) for n in range(1, 7)]
    await bench.queued(6)
    assert script.marks == [[0]]  # it started at once, alone
    script.running.open()
    for n, analyzed in enumerate(await asyncio.gather(*requests)):
        assert marks_of(analyzed) == [n]
    assert script.marks[0] == [0]
    assert [len(batch) for batch in script.marks] == [1, 4, 2]
    statistics = bench.statistics()
    assert (statistics.batches, statistics.items, statistics.loads) == (3, 7, 1)
    assert statistics.mean_batch_size == pytest.approx(7 / 3)
    assert (statistics.queued, statistics.running) == (0, 0)


async def test_only_equal_keys_share_a_batch(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench, script = workbench(operation), operation.script
    first = await bench.occupy(script, bench.task(mark=0))
    rest = bench.begin(*(bench.task(mark=n, key=n % 2) for n in range(1, 7)))
    await bench.queued(6)
    script.running.open()
    await asyncio.gather(first, rest)
    assert sorted(map(sorted, script.marks[1:])) == [[1, 3, 5], [2, 4, 6]]


async def test_all_runners_of_a_device_run_on_its_one_thread(workbench: MakeWorkbench) -> None:
    operations = [FakeOperation(name, Script(latency=0.001)) for name in "abc"]
    bench = workbench(*operations)
    tasks = [bench.task("abc"[n % 3], mark=n) for n in range(30)]
    await asyncio.gather(*(bench.run(*tasks) for _ in range(5)))
    assert {name for o in operations for name in o.script.threads} == {"opsin-cpu"}


async def test_a_light_runner_does_not_wait_for_the_device(workbench: MakeWorkbench) -> None:
    heavy, light = FakeOperation("heavy"), FakeOperation("light", Script(uses_device=False))
    bench = workbench(heavy, light)
    waiting = await bench.occupy(heavy.script, bench.task("heavy"))
    tasks = [bench.task("light", mark=n) for n in range(50)]
    assert marks_of(await bench.run(*tasks)) == list(range(50))
    assert not waiting.done()
    assert "opsin-cpu" not in light.script.threads
    heavy.script.running.open()
    await waiting


async def test_a_light_runner_gathers_batches_as_well(workbench: MakeWorkbench) -> None:
    operation = FakeOperation(script=Script(uses_device=False, max_batch=8))
    bench = workbench(operation, cpu_threads=3)
    first = await bench.occupy(operation.script, bench.task(mark=0))
    rest = bench.begin(*(bench.task(mark=n) for n in range(1, 11)))
    await bench.queued(10)
    operation.script.running.open()
    await asyncio.gather(first, rest)
    assert [len(batch) for batch in operation.script.marks] == [1, 8, 2]


async def test_a_backlog_of_one_operation_does_not_hold_up_another(
    workbench: MakeWorkbench,
) -> None:
    permits = threading.Semaphore(2)

    def permitted(item: Item[Any]) -> None:
        assert permits.acquire(timeout=20)

    slow = FakeOperation("slow", Script(max_batch=1, fails=permitted))
    quick = FakeOperation("quick")
    bench = workbench(slow, quick)
    await bench.run(bench.task("quick"))
    backlog = bench.begin(*(bench.task("slow", mark=n) for n in range(50)))
    await until(lambda: len(slow.script.marks) == 3)  # the third is running
    request = bench.begin(bench.task("quick"))
    await bench.queued(1, "operation 'quick'")
    permits.release()
    async with asyncio.timeout(20):
        await request  # though no other slow one may run
    assert len(slow.script.marks) <= 4 and not backlog.done()
    permits.release(50)
    await backlog


async def test_a_bad_item_fails_alone_among_strangers(workbench: MakeWorkbench) -> None:
    def fails(item: Item[Any]) -> Exception | None:
        return {3: ValueError("no /srv/x"), 5: InvalidImage("too dark")}.get(item.params.mark)

    operation = FakeOperation(script=Script(fails=fails))
    bench, script = workbench(operation), operation.script
    first = await bench.occupy(script, bench.task(mark=0))
    requests = [bench.begin(bench.task(mark=n)) for n in range(1, 9)]
    await bench.queued(8)
    script.running.open()
    outcomes = [(await request).outcomes[0] for request in (first, *requests)]
    assert [o.status for o in outcomes].count(TaskStatus.ERROR) == 2
    assert message_of(outcomes[3]) == f"{WHAT} failed: ValueError: no <path>"
    assert isinstance(outcomes[5].error, InvalidImage)
    assert all(result_of(outcomes[n]).mark == n for n in (0, 1, 2, 4, 6, 7, 8))


class Preparing(FakeRunner):
    """Fails while preparing, where `mark` says so."""

    def prepare(self, item: Item[Any]) -> Any:
        if item.params.mark == 1:
            raise ValueError("cannot be prepared")
        if item.params.mark == 2:
            raise SystemExit
        return item

    def batch_key(self, prepared: Item[Any]) -> Any:
        if prepared.params.mark == 3:
            raise ValueError("has no key")
        if prepared.params.mark == 4:
            return Incomparable()
        return prepared.params.key


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("cannot be compared")

    __hash__ = None  # type: ignore[assignment]  # what Python does for a class with __eq__


async def test_preparing_goes_wrong_for_one_item_only(workbench: MakeWorkbench) -> None:
    operation = FakeOperation(runner=Preparing)
    bench = workbench(operation)
    first = await bench.occupy(operation.script, bench.task(mark=0))
    rest = bench.begin(*(bench.task(mark=n) for n in (5, 6)))
    await bench.queued(2)
    bad = await bench.run(*(bench.task(mark=n) for n in range(1, 5)))
    assert [message_of(outcome) for outcome in bad.outcomes] == [
        f"{WHAT} failed: ValueError: cannot be prepared",
        f"{WHAT} failed: SystemExit",
        f"{WHAT} failed: ValueError: has no key",
        f"{WHAT} failed: RuntimeError: cannot be compared",
    ]
    assert not first.done()
    operation.script.running.open()
    await asyncio.gather(first, rest)
    assert {outcome.provenance.batch_size for outcome in bad.outcomes} == {0}


class Slow(FakeRunner):
    """Prepares on any of several threads at once, which it proves by waiting for the others."""

    together = threading.Barrier(3, timeout=20)
    threads: ClassVar[set[str]] = set()

    def prepare(self, item: Item[Any]) -> Any:
        self.threads.add(threading.current_thread().name)
        self.together.wait()
        return item


async def test_items_are_prepared_in_parallel_off_the_device_thread(
    workbench: MakeWorkbench,
) -> None:
    bench = workbench(FakeOperation(runner=Slow), cpu_threads=3)
    await bench.run(*(bench.task(mark=n) for n in range(6)))
    assert len(Slow.threads) == 3
    assert all(name.startswith("opsin-cpu-") for name in Slow.threads)


async def test_a_method_set_on_the_runner_itself_is_called_too(workbench: MakeWorkbench) -> None:
    prepared: list[Any] = []

    def prepare(item: Item[Any]) -> Any:
        prepared.append(item.params.mark)
        return item

    def make(script: Script) -> Plain:
        runner = Plain(lambda batch: FakeRunner(script).run(batch))
        runner.prepare = prepare  # type: ignore[method-assign]  # as a wrapping library may
        return runner

    bench = workbench(FakeOperation(runner=make))
    assert marks_of(await bench.run(bench.task(mark=4))) == [4]
    assert prepared == [4]


async def test_the_wrong_type_of_result_is_an_error(workbench: MakeWorkbench) -> None:
    class Wrong(Runner[Any, Any]):
        def run(self, batch: Any) -> Any:
            return ["text", FakeResult(mark=1, width=1, height=1, batch_size=2)]

    operation = FakeOperation(runner=lambda script: Wrong())
    bench = workbench(operation)
    bad, good = (await bench.run(bench.task(mark=0), bench.task(mark=1))).outcomes
    assert message_of(bad) == f"{WHAT} gave a str where a FakeResult was expected"
    assert result_of(good).mark == 1


async def test_out_of_memory_splits_the_batch_and_keeps_later_ones_small(
    workbench: MakeWorkbench,
) -> None:
    class Tight(FakeRunner):
        def run(self, batch: Any) -> Any:
            outputs = super().run(batch)
            if len(batch) > 2:
                raise MemoryError
            return outputs

    operation = FakeOperation(runner=Tight)
    bench = workbench(operation)
    tasks = [bench.task(mark=n) for n in range(8)]
    assert marks_of(await bench.run(*tasks)) == list(range(8))
    assert bench.statistics().largest_batch <= 2
    operation.script.batches.clear()
    assert marks_of(await bench.run(*tasks)) == list(range(8))
    assert max(len(batch) for batch in operation.script.marks) <= 2


async def test_the_event_loop_goes_on_whatever_the_threads_do(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = {name: Gate() for name in ("decode", "load", "prepare", "run", "close")}

    class Held(FakeRunner):
        def prepare(self, item: Item[Any]) -> Any:
            gates["prepare"].enter()
            return item

        def run(self, batch: Any) -> Any:
            gates["run"].enter()
            return super().run(batch)

        def close(self) -> None:
            gates["close"].enter()

    def load(script: Script) -> Held:
        gates["load"].enter()
        return Held(script)

    def decode(*args: Any) -> imaging.DecodedImage:
        gates["decode"].enter()
        return imaging.decode(*args)

    monkeypatch.setattr(decoding, "decode", decode)
    bench = workbench(FakeOperation(runner=load))
    for gate in gates.values():
        gate.close()
    request = bench.begin(bench.task(mark=3), source=png())
    for name in ("decode", "load", "prepare", "run"):
        await gates[name].arrival()  # only a loop that is not held itself comes here
        assert not request.done()
        gates[name].open()
    assert marks_of(await request) == [3]
    closing = asyncio.ensure_future(bench.engine.close())
    await gates["close"].arrival()
    assert not closing.done()
    gates["close"].open()
    await closing


async def test_a_higher_priority_goes_first(workbench: MakeWorkbench) -> None:
    operation = FakeOperation(script=Script(max_batch=1))
    # Threads for all four, or some would not be prepared when the next is chosen.
    bench, script = workbench(operation, cpu_threads=4), operation.script
    requests = [await bench.occupy(script, bench.task(mark=0))]
    for mark, priority in ((1, 0), (2, 9), (3, -9), (4, 9)):
        requests.append(bench.begin(bench.task(mark=mark), priority=priority))
        await asyncio.sleep(0)
    await bench.queued(4)
    script.running.open()
    await asyncio.gather(*requests)
    assert script.marks == [[0], [2], [4], [1], [3]]


class Encoder(FakeRunner):
    """Makes its results on the pool; each step says on which thread it was."""

    def run(self, batch: Sequence[Item[FakeParams]]) -> Sequence[Any]:
        return [(result, threading.current_thread().name) for result in super().run(batch)]

    def encode(self, output: tuple[FakeResult, str]) -> FakeResult:
        result, thread = output
        if result.mark == 3:
            raise ValueError("cannot be encoded")
        here = threading.current_thread().name
        return result.model_copy(update={"note": f"{thread} {here}"})


async def test_results_are_encoded_on_the_pool_while_the_device_goes_on(
    workbench: MakeWorkbench,
) -> None:
    bench = workbench(FakeOperation(runner=Encoder))
    analyzed = await bench.run(*(bench.task(mark=n) for n in range(6)))
    for n, outcome in enumerate(analyzed.outcomes):
        if n == 3:
            assert "cannot be encoded" in message_of(outcome)
            continue
        note = result_of(outcome).note
        assert note is not None
        device, pool = note.split()
        assert device == "opsin-cpu" and pool.startswith("opsin-cpu-")
