"""Pictures of one name: decoded once at a time, kept within their bound, and out of the way."""

import asyncio
import io
from typing import Any

import pytest

from opsin.core.engine.decoding import Decoder
from opsin.core.errors import InvalidImage
from opsin.core.imaging import DecodeOptions
from opsin.core.testing import FakeOperation
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.test_decoding import Decodes
from tests.core.engine.workbench import Workbench, marks_of, png, until

SIZE = 40 * 40 * 3


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Decodes:
    return Decodes(monkeypatch)


def decoder(bench: Workbench) -> Decoder:
    return bench.engine._decoder


async def run(bench: Workbench, content: str | None = "a", **options: Any) -> Any:
    source = options.pop("source", None) or png(40, 40)
    return await bench.run(bench.task(), source=source, content=content, **options)


async def test_a_picture_is_kept_for_the_next_asker(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    operation = FakeOperation()
    bench = workbench(operation, picture_cache=10 * SIZE)
    decodes.go.clear()
    asking = asyncio.create_task(run(bench))
    await until(lambda: len(decodes.calls) == 1)
    await asyncio.sleep(0.2)
    decodes.go.set()
    first, again = await asking, await run(bench)
    assert first.info == again.info
    assert len(decodes.calls) == 1
    seen = [item.picture for batch in operation.script.batches for item in batch]
    assert seen[0] is seen[1]
    decode = [analyzed.outcomes[0].provenance.timings.decode for analyzed in (first, again)]
    assert decode[1] < 200 <= decode[0]
    await run(bench, options=DecodeOptions(apply_orientation=False))
    await run(bench, "b")
    await run(bench, None)
    await run(bench, None)
    assert len(decodes.calls) == 5
    counts = bench.engine.picture_counts
    assert (counts.hits, counts.misses, counts.shared) == (1, 3, 0)
    assert decoder(bench)._used == 3 * SIZE


async def test_what_is_kept_stays_within_its_bound(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    bench = workbench(FakeOperation(), picture_cache=2 * SIZE)
    for content in "abcab":
        await run(bench, content)
        assert decoder(bench)._used <= 2 * SIZE
    assert len(decodes.calls) == 5
    await run(bench, "a")
    assert len(decodes.calls) == 5


async def test_without_a_cache_nothing_is_kept(workbench: MakeWorkbench, decodes: Decodes) -> None:
    bench = workbench(FakeOperation())
    await run(bench)
    assert decoder(bench)._used == 0
    await run(bench)
    assert len(decodes.calls) == 2


async def test_what_is_kept_makes_way_for_what_is_needed(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    """The budget is that of all pictures, and a kept one never makes another one wait."""
    operation = FakeOperation()
    bench = workbench(operation, picture_memory=2 * SIZE, picture_cache=2 * SIZE, cpu_threads=1)
    for content in "ab":
        await run(bench, content)
    assert decoder(bench)._used == 2 * SIZE
    busy = await bench.occupy(operation.script, bench.task(mark=9))
    asking = [asyncio.create_task(run(bench, content)) for content in ("c", None)]
    await until(lambda: len(decodes.calls) == 4)
    assert decoder(bench)._used <= 2 * SIZE
    operation.script.running.open()
    await asyncio.gather(busy, *asking)
    assert decoder(bench)._used <= 2 * SIZE


async def test_simultaneous_askers_share_one_decode_and_its_pixels(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    """Counted once, also without a cache, until the last of them is done."""
    operation = FakeOperation()
    bench = workbench(operation, cpu_threads=1)
    decodes.go.clear()
    asking = [asyncio.create_task(run(bench)) for _ in range(8)]
    await until(lambda: bench.engine.picture_counts.shared == 7)
    operation.script.running.close()
    decodes.go.set()
    await operation.script.running.arrival()
    late = asyncio.create_task(run(bench))
    await until(lambda: bench.engine.picture_counts.hits == 1)
    assert decoder(bench)._used == SIZE
    operation.script.running.open()
    await asyncio.gather(late, *asking)
    assert len(decodes.calls) == 1
    assert decoder(bench)._used == 0
    assert len({id(item.picture) for b in operation.script.batches for item in b}) == 1


async def test_who_asked_first_may_leave_and_close_its_file(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    bench = workbench(FakeOperation(), cpu_threads=1)
    file = io.BytesIO(png(40, 40))
    decodes.go.clear()
    first = asyncio.create_task(run(bench, source=file))
    await until(lambda: len(decodes.calls) == 1)
    others = [asyncio.create_task(run(bench)) for _ in range(3)]
    await until(lambda: bench.engine.picture_counts.shared == 3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    file.close()
    decodes.go.set()
    for asked in others:
        assert marks_of(await asked) == [0]
    assert decoder(bench)._used == 0 and decoder(bench)._jobs == {}


async def test_who_left_while_waiting_is_not_decoded_for(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    bench = workbench(FakeOperation(), cpu_threads=1)
    decodes.go.clear()
    busy = [asyncio.create_task(run(bench, name)) for name in ("x", "y")]
    await until(lambda: len(decodes.calls) == 1)
    leaving = [asyncio.create_task(run(bench)) for _ in range(3)]
    await until(lambda: bench.engine.picture_counts.shared == 2)
    for asked in leaving:
        asked.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    decodes.go.set()
    await asyncio.gather(*busy)
    assert len(decodes.calls) == 2
    assert decoder(bench)._jobs == {} and decoder(bench)._used == 0


async def test_a_bad_source_fails_alone_whatever_it_is_called(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation(), cpu_threads=1, picture_cache=10 * SIZE)
    asking = [
        asyncio.create_task(run(bench, source=source))
        for source in (b"no picture", png(40, 40), b"nor this")
    ]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(answer, InvalidImage) for answer in answers] == [True, False, False]


async def test_an_urgent_asker_pulls_the_shared_decode_forward(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    bench = workbench(FakeOperation(), cpu_threads=1)
    await bench.run(bench.task())
    decodes.go.clear()
    done: list[str] = []

    async def ask(name: str, priority: int = 0) -> None:
        await run(bench, name, priority=priority)
        done.append(f"{name}{priority}")

    asking = [asyncio.create_task(ask(name)) for name in ("p", "q", "r", "s", "t")]
    await until(lambda: bench.engine.picture_counts.misses == 5)
    asking.append(asyncio.create_task(ask("t", 50)))
    await until(lambda: bench.engine.picture_counts.shared == 1)
    decodes.go.set()
    await asyncio.gather(*asking)
    assert {"t0", "t50"} <= set(done[:4])  # behind the two that had begun
    assert len(decodes.calls) == 5
