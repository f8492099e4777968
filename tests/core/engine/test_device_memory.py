"""Devices have room for so much: who is let in, who goes, and that nobody's items are lost."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsin.core.contract import Item
from opsin.core.engine import MemoryStatistics
from opsin.core.errors import Cancelled, OperationUnavailable
from opsin.core.testing import FakeOperation, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.sized import SizedOperation
from tests.core.engine.workbench import Workbench, marks_of, message_of, until


@pytest.fixture(autouse=True)
def quick_collector() -> Iterator[None]:
    """Each eviction collects garbage: what was there before the test is not looked through."""
    gc.freeze()
    yield
    gc.unfreeze()


def loaded(bench: Workbench) -> set[str]:
    """The operations that are in memory."""
    return {s.name.split("'")[1] for s in bench.engine.statistics() if s.device is not None}


def used(bench: Workbench) -> int:
    """Kilobytes of the one device."""
    (statistics,) = bench.engine.memory_statistics()
    return statistics.used_bytes // 1000


async def use(bench: Workbench, *names: str) -> None:
    """Run each once, one after the other."""
    for n, name in enumerate(names):
        assert marks_of(await bench.run(bench.task(name, mark=n))) == [n]


async def test_what_fits_stays(workbench: MakeWorkbench, tmp_path: Path) -> None:
    bench = workbench(
        SizedOperation("a", tmp_path, 300),
        SizedOperation("b", tmp_path, 200),
        FakeOperation("light"),
        device_memory="500kB",
    )
    await use(bench, "a", "b", "light", "a")
    assert loaded(bench) == {"a", "b", "light"}
    assert bench.engine.memory_statistics() == (MemoryStatistics("cpu", 500_000, 500_000),)
    statistics = bench.statistics("operation 'a'")
    assert (statistics.bytes, statistics.loads, statistics.evictions) == (300_000, 1, 0)
    assert statistics.last_used is not None
    assert bench.statistics("operation 'light'").bytes == 0


async def test_the_bytes_that_were_idle_for_longest_go_and_no_others(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    large, small = SizedOperation("large", tmp_path, 300), SizedOperation("small", tmp_path, 100)
    bench = workbench(large, small, SizedOperation("new", tmp_path, 250), device_memory="500kB")
    await use(bench, "large", "small", "new")
    assert loaded(bench) == {"small", "new"}
    assert used(bench) == 350
    assert large.script.closes == 1
    assert "close on opsin-cpu" in large.script.threads
    statistics = bench.statistics("operation 'large'")
    assert (statistics.evictions, statistics.bytes, statistics.device) == (1, 0, None)
    assert (statistics.batches, statistics.items) == (1, 1), "what it has done is not forgotten"
    assert statistics.last_used is not None


async def test_a_small_one_is_spared_when_a_large_one_has_to_go_anyway(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    small = SizedOperation("small", tmp_path, 100)
    bench = workbench(
        small,
        SizedOperation("large", tmp_path, 380),
        SizedOperation("new", tmp_path, 390),
        device_memory="500kB",
    )
    await use(bench, "small", "large")
    (slot,) = (slot for slot in bench.engine.runners if slot.loadable is small)
    assert slot.queue is not None
    # So that its bytes have been idle for longer, all in all.
    slot.queue.last_used -= 1000
    slot._last_asked -= 1000
    await use(bench, "new")
    assert loaded(bench) == {"small", "new"}


async def test_it_is_loaded_again_when_it_is_asked_for(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    a, b = SizedOperation("a", tmp_path, 300), SizedOperation("b", tmp_path, 300)
    bench = workbench(a, b, device_memory="400kB")
    await use(bench, "a", "b", "a", "b", "a")
    assert (a.script.loads, b.script.loads) == (3, 2)
    assert (a.script.closes, b.script.closes) == (2, 2)
    statistics = bench.statistics("operation 'a'")
    assert (statistics.loads, statistics.evictions, statistics.batches) == (3, 2, 3)


async def test_what_it_learned_of_batches_outlives_an_eviction(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    """By shape, and for these weights."""

    def at_most_two(item: Item[Any]) -> BaseException | None:
        too_many = len(tight.script.batches[-1]) > 2 and item.params.key == 1
        return MemoryError() if too_many else None

    tight = SizedOperation("tight", tmp_path, 300, Script(fails=at_most_two))
    bench = workbench(tight, SizedOperation("other", tmp_path, 300), device_memory="400kB")

    async def sizes(key: int) -> set[int]:
        """How many items shared a batch, of many that wait for a busy device."""
        first = await bench.occupy(tight.script, bench.task("tight", key=key))
        tight.script.batches.clear()
        rest = bench.begin(*(bench.task("tight", mark=n, key=key) for n in range(16)))
        await bench.queued(16, "operation 'tight'")
        tight.script.running.open()
        assert marks_of(await rest) == list(range(16))
        await first
        return {len(batch) for batch in tight.script.batches}

    assert max(await sizes(1)) == 16  # which is where it learns it
    await use(bench, "other")
    assert loaded(bench) == {"other"}
    assert await sizes(1) == {2}
    assert max(await sizes(0)) == 16
    assert bench.statistics("operation 'tight'").evictions == 1


async def test_pinned_ones_stay_and_what_does_not_fit_beside_them_is_refused(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    new = SizedOperation("new", tmp_path, 300)
    bench = workbench(
        SizedOperation("kept", tmp_path, 300), new, device_memory="500kB", pinned=["kept"]
    )
    await use(bench, "kept")
    (outcome,) = (await bench.run(bench.task("new"))).outcomes
    assert type(outcome.error) is OperationUnavailable
    assert message_of(outcome) == (
        "operation 'new' needs 300.0 kB of cpu memory; OPSIN_DEVICE_MEMORY allows 500.0 kB, "
        "300.0 kB of it for pinned ones"
    )
    assert loaded(bench) == {"kept"}
    assert new.script.loads == 0


async def test_what_can_never_fit_is_refused_before_it_is_loaded(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    huge = SizedOperation("huge", tmp_path, 2000)
    bench = workbench(huge, SizedOperation("a", tmp_path, 400), device_memory="1.5MB")
    await use(bench, "a")
    (outcome,) = (await bench.run(bench.task("huge"))).outcomes
    assert message_of(outcome) == (
        "operation 'huge' needs 2.0 MB of cpu memory; OPSIN_DEVICE_MEMORY allows 1.5 MB"
    )
    assert huge.script.loads == 0
    assert loaded(bench) == {"a"}, "nothing goes in vain"
    assert bench.host.failures == ()


async def test_a_runner_takes_what_it_says_it_takes(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    bench = workbench(
        SizedOperation("grown", tmp_path, 10, takes=400),
        SizedOperation("other", tmp_path, 100, takes=90),
        SizedOperation("third", tmp_path, 10, takes=200),
        device_memory="500kB",
    )
    await use(bench, "grown", "other")
    assert used(bench) == 490
    await use(bench, "third")
    # Its file fitted: that it had grown was seen afterwards.
    await until(lambda: loaded(bench) == {"other", "third"})
    await until(lambda: used(bench) == 290)


async def test_a_runner_that_turns_out_too_large_is_closed_and_not_tried_again(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    grown = SizedOperation("grown", tmp_path, 10, takes=600)
    bench = workbench(grown, device_memory="500kB", load_pause=0.0)
    for _ in range(3):
        (outcome,) = (await bench.run(bench.task("grown"))).outcomes
        assert "needs 600.0 kB of cpu memory" in message_of(outcome)
    assert (grown.script.loads, grown.script.closes) == (1, 1)
    await until(lambda: used(bench) == 0)


async def test_a_load_waits_for_a_busy_runner(workbench: MakeWorkbench, tmp_path: Path) -> None:
    busy, new = SizedOperation("busy", tmp_path, 300), SizedOperation("new", tmp_path, 300)
    bench = workbench(busy, new, FakeOperation("light"), device_memory="500kB")
    first = await bench.occupy(busy.script, bench.task("busy", mark=1))
    waiting = bench.begin(bench.task("new", mark=2))
    await until(lambda: bench.statistics("operation 'new'").queued == 1)
    await asyncio.sleep(0.05)
    assert new.script.loads == 0
    assert not waiting.done()
    busy.script.running.open()
    assert marks_of(await first) == [1]
    assert marks_of(await waiting) == [2]
    assert loaded(bench) == {"new"}


async def test_items_that_arrive_while_it_leaves_are_not_lost(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    a, b = SizedOperation("a", tmp_path, 300), SizedOperation("b", tmp_path, 300)
    other = FakeOperation("other")
    bench = workbench(a, b, other, device_memory="500kB")
    await use(bench, "a", "other")
    # The device's thread is busy, so that the runner that was given up cannot be closed yet.
    first = await bench.occupy(other.script, bench.task("other", mark=9))
    for_b = bench.begin(bench.task("b", mark=1))
    await until(lambda: bench.statistics("operation 'a'").evictions == 1)
    assert a.script.closes == 0
    for_a = [bench.begin(bench.task("a", mark=n)) for n in (2, 3)]
    await asyncio.sleep(0.05)
    assert b.script.loads == 0, "the memory is not free yet"
    other.script.running.open()
    assert marks_of(await first) == [9]
    assert marks_of(await for_b) == [1]
    assert [marks_of(await request) for request in for_a] == [[2], [3]]


@pytest.mark.parametrize("uses_device", [True, False])
async def test_a_runner_that_is_never_idle_takes_turns(
    workbench: MakeWorkbench, tmp_path: Path, uses_device: bool
) -> None:
    busy = SizedOperation("busy", tmp_path, 300, Script(latency=0.005, uses_device=uses_device))
    new = SizedOperation("new", tmp_path, 300)
    bench = workbench(busy, new, device_memory="500kB", load_patience=0.05)
    stop = False

    async def keep_busy(mark: int) -> int:
        count = 0
        while not stop:
            assert marks_of(await bench.run(bench.task("busy", mark=mark))) == [mark]
            count += 1
        return count

    crowd = [asyncio.ensure_future(keep_busy(n)) for n in range(8)]
    await until(lambda: busy.script.loads == 1 and len(busy.script.batches) > 3)
    for n in range(2):
        assert marks_of(await bench.run(bench.task("new", mark=n))) == [n]
        await until(lambda n=n: busy.script.loads >= n + 2)  # type: ignore[misc]  # a default
    stop = True
    assert all([count > 0 for count in await asyncio.gather(*crowd)])
    assert used(bench) <= 500


async def test_a_turn_is_not_ended_for_a_load_that_is_given_up(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    busy, new = SizedOperation("busy", tmp_path, 300), SizedOperation("new", tmp_path, 300)
    bench = workbench(busy, new, device_memory="500kB", load_patience=0.02)
    first = await bench.occupy(busy.script, bench.task("busy", mark=0))
    others = [bench.begin(bench.task("busy", mark=n)) for n in range(1, 4)]
    await bench.queued(3, "operation 'busy'")
    waiting = bench.begin(bench.task("new"))
    (slot,) = (s for s in bench.engine.runners if s.loadable is busy)
    await until(lambda: slot._retired)
    waiting.cancel()
    await until(lambda: not slot._retired)
    busy.script.running.open()
    assert [marks_of(await request) for request in (first, *others)] == [[0], [1], [2], [3]]
    assert (busy.script.loads, new.script.loads) == (1, 0)


async def test_closing_ends_loads_that_wait_for_room(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    busy, new = SizedOperation("busy", tmp_path, 300), SizedOperation("new", tmp_path, 300)
    bench = workbench(busy, new, device_memory="500kB")
    first = await bench.occupy(busy.script, bench.task("busy"))
    waiting = bench.begin(bench.task("new"))
    await until(lambda: bench.statistics("operation 'new'").queued == 1)
    closing = asyncio.ensure_future(bench.engine.close())
    for request in (first, waiting):
        with pytest.raises(Cancelled):
            await request
    busy.script.running.open()
    await closing
    assert bench.host.failures == ()
    assert (new.script.loads, busy.script.closes) == (0, 1)


async def test_a_load_that_fails_leaves_its_room(workbench: MakeWorkbench, tmp_path: Path) -> None:
    bad = SizedOperation("bad", tmp_path, 400, Script(load_fails=[ValueError("x")]))
    bench = workbench(bad, SizedOperation("a", tmp_path, 400), device_memory="500kB")
    assert "ValueError: x" in message_of((await bench.run(bench.task("bad"))).outcomes[0])
    await until(lambda: used(bench) == 0)
    await use(bench, "a")


async def test_a_runner_that_fails_to_close_leaves_its_room(
    workbench: MakeWorkbench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a = SizedOperation("a", tmp_path, 400)
    bench = workbench(a, SizedOperation("b", tmp_path, 400), device_memory="500kB")
    await use(bench, "a")

    def broken() -> None:
        raise SystemExit("cannot close")

    for slot in bench.engine.runners:
        assert slot.queue is not None
        slot.queue.loaded.runner.close = broken  # type: ignore[method-assign]  # a plugin's mistake
    await use(bench, "b")
    assert "cannot close" in caplog.text


async def test_light_runners_are_counted_and_evicted_too(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    light = SizedOperation("light", tmp_path, 300, Script(uses_device=False))
    bench = workbench(light, SizedOperation("b", tmp_path, 300), device_memory="500kB")
    for _ in range(3):
        await use(bench, "light", "b")
    assert light.script.closes == 3
    assert all(
        name.startswith(("opsin-cpu-", "close on opsin-cpu-")) for name in light.script.threads
    )
    assert len(bench.engine._lanes._all) == 1, "its lane is gone with it"


async def test_a_crowd_gets_its_answers_where_only_two_fit(
    workbench: MakeWorkbench, tmp_path: Path
) -> None:
    chance = random.Random(5)
    operations = [
        SizedOperation(
            f"op{n}",
            tmp_path,
            100 + 30 * n,
            Script(latency=0.001, uses_device=n != 3, load_fails=[ValueError("x")] * (n == 4)),
            takes=None if n % 2 else 120 + 30 * n,
        )
        for n in range(6)
    ]
    bench = workbench(*operations, device_memory="500kB", load_patience=0.02, load_pause=0.001)
    answers: Counter[str] = Counter()

    async def caller(seed: int) -> None:
        for n in range(12):
            marks = [100 * seed + n, 100 * seed + n + 50]
            tasks = [bench.task(f"op{chance.randrange(6)}", mark=mark) for mark in marks]
            if chance.random() < 0.2:
                request = bench.begin(*tasks)
                await asyncio.sleep(chance.random() * 0.01)
                request.cancel()
                answers["left"] += 1
                continue
            for outcome, mark in zip((await bench.run(*tasks)).outcomes, marks, strict=True):
                if outcome.error is None:
                    assert outcome.result is not None
                    assert outcome.result.model_dump()["mark"] == mark
                    answers["answered"] += 1
                else:
                    assert "ValueError: x" in outcome.error.message
                    answers["failed"] += 1

    async with asyncio.timeout(60):
        await asyncio.gather(*(caller(seed) for seed in range(20)))
    assert answers["answered"] > 100
    assert answers["left"] and answers["failed"]
    evictions = sum(s.evictions for s in bench.engine.statistics())
    assert evictions > 6
    await bench.engine.close()
    for operation in operations:
        failed = 1 if operation.name == "op4" else 0
        assert operation.script.closes == operation.script.loads - failed
