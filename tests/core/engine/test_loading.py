"""Loading: once for all who wait, apart from everybody else, and tried again when it failed."""

import asyncio
import threading
from typing import Any

import pytest

from opsin.core.contract import Acceleration, LoadContext
from opsin.core.engine import TaskStatus
from opsin.core.engine.shared_models import Share
from opsin.core.errors import ConfigurationError, OperationUnavailable, OpsinError, PluginError
from opsin.core.testing import FakeOperation, FakeRunner, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import marks_of, message_of

WHAT = "operation 'fake'"


async def test_one_load_serves_all_who_wait(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench, script = workbench(operation), operation.script
    script.loading.close()
    requests = [bench.begin(bench.task(mark=n)) for n in range(20)]
    await script.loading.arrival()
    await bench.queued(20)
    script.loading.open()
    for n, analyzed in enumerate(await asyncio.gather(*requests)):
        assert marks_of(analyzed) == [n]
    assert script.loads == bench.statistics().loads == 1


async def test_a_load_stalls_nobody_else(workbench: MakeWorkbench) -> None:
    slow, quick, other = FakeOperation("slow"), FakeOperation("quick"), FakeOperation("other")
    bench = workbench(slow, quick, other)
    await bench.run(bench.task("quick"))
    slow.script.loading.close()
    waiting = bench.begin(bench.task("slow"))
    await slow.script.loading.arrival()
    for name in ("quick", "other"):  # one that is loaded, and one that is to be loaded as well
        await bench.run(bench.task(name))
    assert not waiting.done()
    slow.script.loading.open()
    await waiting


async def test_loading_has_a_thread_of_its_own(workbench: MakeWorkbench) -> None:
    names: list[str] = []

    def make(script: Script) -> FakeRunner:
        names.append(threading.current_thread().name)
        return FakeRunner(script)

    bench = workbench(FakeOperation(runner=make))
    await bench.run(bench.task())
    assert names == ["opsin-load-fake"]


@pytest.mark.parametrize("error", [ValueError("bad /srv/weights"), SystemExit("bad /srv/weights")])
async def test_a_failure_is_given_to_all_who_wait_and_reported(
    workbench: MakeWorkbench, error: BaseException
) -> None:
    operation = FakeOperation(script=Script(load_fails=[error]))
    bench, script = workbench(operation), operation.script
    script.loading.close()
    requests = [bench.begin(bench.task()) for _ in range(5)]
    await bench.queued(5)
    script.loading.open()
    for analyzed in await asyncio.gather(*requests):
        (outcome,) = analyzed.outcomes
        assert outcome.status is TaskStatus.ERROR
        assert type(outcome.error) is PluginError
        kind = type(error).__name__
        assert message_of(outcome) == (
            f"plugin 'fakes': {WHAT} could not be loaded: {kind}: bad <path>"
        )
        assert outcome.provenance.device is None
    (failure,) = bench.host.failures
    assert (failure.plugin, failure.stage) == ("fakes", "load")
    assert "/srv" not in failure.message
    assert script.loads == 1


async def test_the_next_request_tries_again(workbench: MakeWorkbench) -> None:
    operation = FakeOperation(script=Script(load_fails=[ValueError("once")]))
    bench = workbench(operation, load_pause=0.0)
    assert message_of((await bench.run(bench.task())).outcomes[0]).endswith("ValueError: once")
    assert marks_of(await bench.run(bench.task(mark=7))) == [7]
    assert bench.statistics().loads == 2


async def test_but_not_at_once_and_with_growing_pauses(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("opsin.core.engine.slots.time.monotonic", lambda: now)
    operation = FakeOperation(script=Script(load_fails=[ValueError(str(n)) for n in range(20)]))
    bench = workbench(operation, load_pause=1.0)

    async def tries() -> tuple[int, str]:
        (outcome,) = (await bench.run(bench.task())).outcomes
        return operation.script.loads, message_of(outcome)[-1]

    assert await tries() == (1, "0")
    assert await tries() == (1, "0")  # the same answer, without a load
    now += 0.9
    assert await tries() == (1, "0")
    now += 0.1
    assert await tries() == (2, "1")
    now += 1.9
    assert await tries() == (2, "1")
    now += 0.1
    assert await tries() == (3, "2")
    for _ in range(10):
        now += 60  # the longest pause
        loads = operation.script.loads
        assert (await tries())[0] == loads + 1


async def test_a_success_forgets_the_failures(workbench: MakeWorkbench) -> None:
    operation = FakeOperation(script=Script(load_fails=[ValueError("x")] * 3))
    bench = workbench(operation, load_pause=0.0)
    for _ in range(4):
        await bench.run(bench.task())
    assert marks_of(await bench.run(bench.task(mark=1))) == [1]
    assert operation.script.loads == 4


@pytest.mark.parametrize("error", [OperationUnavailable("get a key"), ConfigurationError("set X")])
async def test_our_own_errors_keep_their_words(workbench: MakeWorkbench, error: OpsinError) -> None:
    bench = workbench(FakeOperation(script=Script(load_fails=[error])))
    (outcome,) = (await bench.run(bench.task())).outcomes
    assert outcome.error is error
    assert outcome.error.__traceback__ is None
    unavailable = isinstance(error, OperationUnavailable)
    assert len(bench.host.failures) == (0 if unavailable else 1)


async def test_a_load_must_give_a_runner(workbench: MakeWorkbench) -> None:
    make: Any = lambda script: "text"  # noqa: E731  # stands for a plugin's mistake
    bench = workbench(FakeOperation(runner=make))
    (outcome,) = (await bench.run(bench.task())).outcomes
    assert message_of(outcome).endswith("TypeError: load returned a str, not a Runner")


async def test_a_loader_that_itself_fails_leaves_nobody_waiting(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = workbench(FakeOperation(script=Script(load_fails=[ValueError("x")])))

    def broken(failure: object) -> None:
        raise RuntimeError("no room for it")

    monkeypatch.setattr(bench.host, "report", broken)
    (outcome,) = (await bench.run(bench.task())).outcomes
    assert message_of(outcome) == f"loading {WHAT} failed: RuntimeError: no room for it"


async def test_no_thread_to_be_had(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = workbench(FakeOperation(), load_pause=0.0)
    await bench.run()  # the pool has its threads
    start, refused = threading.Thread.start, "opsin-load"

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(refused):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for name in ("opsin-load", "opsin-cpu"):
        refused = name
        (outcome,) = (await bench.run(bench.task())).outcomes
        assert message_of(outcome).endswith("RuntimeError: can't start new thread")
    refused = "nothing"
    assert marks_of(await bench.run(bench.task(mark=1))) == [1]


async def test_a_runner_is_told_its_device_and_its_models(workbench: MakeWorkbench) -> None:
    contexts: list[LoadContext] = []

    class Curious(FakeOperation):
        def load(self, context: LoadContext) -> Any:
            contexts.append(context)
            return super().load(context)

    bench = workbench(Curious(), device="auto")
    await bench.run(bench.task())
    (context,) = contexts
    assert (context.device, context.models, context.acceleration) == ("cpu", {}, Acceleration())
    assert isinstance(context.shared, Share), "models are shared within the engine"


async def test_an_operation_of_another_host_is_refused(workbench: MakeWorkbench) -> None:
    bench, other = workbench(FakeOperation()), workbench(FakeOperation())
    with pytest.raises(OpsinError, match="not registered here"):
        await bench.run(other.task())


async def test_an_import_that_met_another_in_the_middle_is_tried_again(
    workbench: MakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsin.core.engine.loading._IMPORT_PAUSE", 0.01)
    half_there = ImportError("cannot import name 'Model' from partially initialized module")
    operation = FakeOperation(script=Script(load_fails=[half_there, half_there]))
    bench = workbench(operation)
    (outcome,) = (await bench.run(bench.task())).outcomes
    assert outcome.error is None
    assert operation.script.loads == 3
    assert bench.host.failures == ()


@pytest.mark.parametrize(
    ("error", "loads"), [(ImportError("no such name"), 5), (ModuleNotFoundError("no module"), 1)]
)
async def test_an_import_that_never_works_is_told_of(
    workbench: MakeWorkbench,
    monkeypatch: pytest.MonkeyPatch,
    error: ImportError,
    loads: int,
) -> None:
    monkeypatch.setattr("opsin.core.engine.loading._IMPORT_PAUSE", 0.01)
    operation = FakeOperation(script=Script(load_fails=[error] * 9))
    bench = workbench(operation)
    (outcome,) = (await bench.run(bench.task())).outcomes
    assert outcome.error is not None
    assert operation.script.loads == loads
    (failure,) = bench.host.failures
    assert failure.error_type == type(error).__name__
