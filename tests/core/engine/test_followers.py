"""What a request tells before it is answered: outcomes as they come, and text as it is written."""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from threading import Semaphore
from typing import Any

import pytest

from opsin.core.contract import Input, Item, Runner, Target
from opsin.core.engine import Outcome, Task, TaskStatus, make_task
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.progress import Progress
from opsin.core.errors import OperationFailed
from opsin.core.testing import FakeFinder, FakeOperation, FakeResult, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import Workbench, message_of, until

# --- outcomes as they come ------------------------------------------------------------------------


async def test_each_outcome_is_told_when_it_is_there(workbench: MakeWorkbench) -> None:
    slow = FakeOperation("slow", Script(uses_device=False))
    bad = FakeOperation("bad", Script(fails=lambda item: ValueError("no")))
    face = FakeFinder(Target.PROMINENT_FACE, None)
    bench = workbench(slow, FakeOperation("quick"), bad, face)
    tasks = [
        bench.task("slow"),
        bench.task("quick"),
        bench.task("bad"),
        bench.task("quick", 3, target=Target.PROMINENT_FACE),
    ]
    told: dict[int, Outcome] = {}
    slow.script.running.close()
    request = bench.begin(*tasks, on_outcome=told.__setitem__)
    await until(lambda: len(told) == 3)
    assert not request.done()
    assert 0 not in told
    slow.script.running.open()
    outcomes = (await request).outcomes
    assert tuple(told[number] for number in range(4)) == outcomes
    statuses = [TaskStatus.SUCCESS, TaskStatus.SUCCESS, TaskStatus.ERROR, TaskStatus.SKIPPED]
    assert [told[number].status for number in range(4)] == statuses


async def test_inputs_are_nobodys_outcomes(workbench: MakeWorkbench) -> None:
    asking = FakeOperation("asking", inputs=lambda params, reference: [Input("see")])
    bench = workbench(FakeOperation("see"), asking)
    told: list[tuple[int, str]] = []
    await bench.run(
        bench.task("asking"),
        bench.task("see", 1),
        on_outcome=lambda number, outcome: told.append((number, outcome.task.task_id)),
    )
    assert sorted(told) == [(0, "0"), (1, "1")]


async def test_nothing_is_told_to_who_has_left(workbench: MakeWorkbench) -> None:
    slow = FakeOperation("slow", Script(uses_device=False))
    bench = workbench(slow)
    told: list[int] = []
    slow.script.running.close()
    request = bench.begin(bench.task("slow"), on_outcome=lambda number, _: told.append(number))
    await slow.script.running.arrival()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    slow.script.running.open()
    await bench.run(bench.task("slow", 1))
    assert told == []


async def test_a_listener_that_raises_fails_its_own_request_alone(
    workbench: MakeWorkbench,
) -> None:
    bench = workbench(FakeOperation())

    def broken(number: int, outcome: Outcome) -> None:
        raise ZeroDivisionError

    with pytest.raises(OperationFailed, match="ZeroDivisionError"):
        await bench.run(bench.task(), bench.task(mark=1), on_outcome=broken)
    await bench.run(bench.task())
    assert bench.engine._requests.admission.accepted == 0


# --- text as it is written ------------------------------------------------------------------------


class Writer(Runner[Any, FakeResult]):
    """Writes one word after the other, each as soon as it may."""

    def __init__(self, script: Script, words: Sequence[str], permits: Semaphore | None) -> None:
        self.script = script
        self._words = words
        self._permits = permits

    def run(self, batch: Sequence[Item[Any]]) -> Sequence[FakeResult]:
        self.script.run(batch)
        for number in range(len(self._words)):
            if self._permits is not None:
                assert self._permits.acquire(timeout=30)
            for item in batch:
                item.progress(f"{item.params.mark}: {' '.join(self._words[: number + 1])}")
        return [FakeResult(mark=i.params.mark, width=0, height=0, batch_size=1) for i in batch]


def writing(
    words: Sequence[str], permits: Semaphore | None = None, runner: type[Writer] = Writer
) -> FakeOperation:
    return FakeOperation("write", runner=lambda script: runner(script, words, permits))


def followed(bench: Workbench, mark: int, heard: list[str]) -> Task:
    return make_task(bench.host, str(mark), "write", {"mark": mark}, progress=heard.append)


async def test_each_follower_hears_its_own_item_on_the_event_loop(
    workbench: MakeWorkbench,
) -> None:
    bench = workbench(writing(["a", "whale"]))
    heard: dict[int, list[str]] = {1: [], 2: []}
    threads: set[str] = set()

    def hear(mark: int, text: str) -> None:
        threads.add(threading.current_thread().name)
        heard[mark].append(text)

    tasks = [
        make_task(bench.host, "t", "write", {"mark": mark}, progress=partial(hear, mark))
        for mark in heard
    ]
    await bench.run(*tasks, bench.task("write", 3))  # nobody follows the third
    # The first word may have been overtaken by the second: only the newest text matters.
    assert {mark: texts[-1] for mark, texts in heard.items()} == {1: "1: a whale", 2: "2: a whale"}
    assert threads == {threading.main_thread().name}


async def test_texts_come_while_it_is_written(workbench: MakeWorkbench) -> None:
    permits = Semaphore(0)
    bench = workbench(writing(["a", "grey", "whale"], permits))
    heard: list[str] = []
    request = bench.begin(followed(bench, 1, heard))
    for count, text in enumerate(["1: a", "1: a grey"], start=1):
        permits.release()
        await until(lambda count=count: len(heard) == count)  # type: ignore[misc]  # a default
        assert heard[-1] == text and not request.done()
    permits.release()
    await request
    assert heard == ["1: a", "1: a grey", "1: a grey whale"]


async def test_a_fast_writer_does_not_flood_the_loop() -> None:
    mailbox = Mailbox()
    mailbox.attach(asyncio.get_running_loop())
    heard: list[str] = []
    progress = Progress(mailbox, heard.append)
    for number in range(100_000):
        progress(str(number))
    assert len(mailbox._messages) == 1
    await until(lambda: bool(heard))
    assert heard == ["99999"]
    progress("again")
    await until(lambda: len(heard) == 2)


async def test_the_newest_text_is_never_lost() -> None:
    """Whoever is writing while the loop reads."""
    mailbox = Mailbox()
    mailbox.attach(asyncio.get_running_loop())
    heard: list[int] = []
    progress = Progress(mailbox, lambda text: heard.append(int(text)))

    def write() -> None:
        for number in range(20_000):
            progress(str(number))

    for _ in range(5):
        heard.clear()
        await asyncio.to_thread(write)
        await until(lambda: bool(heard) and heard[-1] == 19_999)
        assert heard == sorted(heard)


async def test_after_the_outcome_nothing_is_heard(workbench: MakeWorkbench) -> None:
    kept: list[Any] = []

    class Late(Writer):
        def run(self, batch: Sequence[Item[Any]]) -> Sequence[FakeResult]:
            kept.extend(item.progress for item in batch)
            return super().run(batch)

    bench = workbench(writing(["word"], runner=Late))
    heard: list[str] = []
    await bench.run(followed(bench, 1, heard))
    kept[0]("too late")
    await bench.run(bench.task("write", 2))
    assert heard == ["1: word"]


async def test_a_follower_that_raises_harms_nobody(workbench: MakeWorkbench) -> None:
    bench = workbench(writing(["word"]))

    def broken(text: str) -> None:
        raise ZeroDivisionError

    heard: list[str] = []
    task = make_task(bench.host, "1", "write", {}, progress=broken)
    analyzed = await bench.run(task, followed(bench, 2, heard))
    assert {outcome.status for outcome in analyzed.outcomes} == {TaskStatus.SUCCESS}
    assert heard == ["2: word"]


async def test_who_fails_in_the_middle_has_been_heard(workbench: MakeWorkbench) -> None:
    class Breaking(Writer):
        def run(self, batch: Sequence[Item[Any]]) -> Sequence[FakeResult]:
            super().run(batch)
            raise ValueError("out of words")

    bench = workbench(writing(["word"], runner=Breaking))
    heard: list[str] = []
    (outcome,) = (await bench.run(followed(bench, 1, heard))).outcomes
    assert message_of(outcome) == "operation 'write' failed: ValueError: out of words"
    assert heard == ["1: word"]
