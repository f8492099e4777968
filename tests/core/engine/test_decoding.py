"""Pictures from bytes: once per request, on the pool, and only so many in memory."""

import asyncio
import io
import threading
from functools import partial
from typing import Any

import pytest

from opsin.core.engine import decoding
from opsin.core.errors import InvalidImage, OperationFailed, TooLarge
from opsin.core.imaging import DecodedImage, DecodeOptions, ImageLimits
from opsin.core.imaging import pictures as imaging
from opsin.core.testing import FakeOperation
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import decoded, marks_of, png, result_of, until


class Decodes:
    """Stands before `decode`: counts, and can hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[DecodeOptions] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.go.set()
        self.error: BaseException | None = None
        monkeypatch.setattr(decoding, "decode", self)

    def __call__(self, source: Any, limits: ImageLimits, options: DecodeOptions) -> DecodedImage:
        self.calls.append(options)
        self.threads.add(threading.current_thread().name)
        assert self.go.wait(20)
        if self.error:
            raise self.error
        return imaging.decode(source, limits, options)


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Decodes:
    return Decodes(monkeypatch)


async def test_a_picture_is_decoded_once_for_all_its_tasks(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    bench = workbench(FakeOperation())
    options = DecodeOptions(apply_orientation=False)
    tasks = [bench.task(mark=n) for n in range(9)]
    for source in (png(30, 20), io.BytesIO(png(30, 20))):
        analyzed = await bench.run(*tasks, source=source, options=options)
        assert marks_of(analyzed) == list(range(9))
        assert result_of(analyzed.outcomes[0]).width == analyzed.info.width == 30
        assert analyzed.outcomes[0].provenance.timings.decode > 0
    assert decodes.calls == [options, options]
    assert all(name.startswith("opsin-cpu-") for name in decodes.threads)


async def test_a_picture_that_is_decoded_already_is_taken_as_it_is(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    bench = workbench(FakeOperation())
    await bench.run(bench.task(), source=decoded())
    assert decodes.calls == []


async def test_decoding_alone(workbench: MakeWorkbench) -> None:
    bench = workbench(limits=ImageLimits(max_bytes=len(png(30, 20))))
    assert (await bench.engine.decode(png(30, 20))).pixels.shape == (20, 30, 3)
    with pytest.raises(TooLarge):
        await bench.engine.decode(png(300, 200))


@pytest.mark.parametrize("tasks", [0, 2])
async def test_what_is_no_picture_fails_the_whole(workbench: MakeWorkbench, tasks: int) -> None:
    bench = workbench(FakeOperation())
    with pytest.raises(InvalidImage):
        await bench.run(*[bench.task()] * tasks, source=b"no picture")
    assert bench.engine.statistics() == ()


async def test_a_decoder_that_breaks_is_an_error_and_no_silence(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    decodes.error = MemoryError("at /srv/x")
    bench = workbench(FakeOperation())
    with pytest.raises(OperationFailed, match="picture failed: MemoryError: at <path>"):
        await bench.run(bench.task(), source=png())


async def test_decoded_pictures_wait_for_room_in_memory(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    operation = FakeOperation()
    size = 40 * 40 * 3
    bench = workbench(operation, picture_memory=3 * size, cpu_threads=1)
    first = await bench.occupy(operation.script, bench.task(mark=0))
    requests = [bench.begin(bench.task(mark=n), source=png(40, 40)) for n in range(1, 21)]
    await until(lambda: bench.statistics().queued >= 3)
    await asyncio.sleep(0.02)  # nothing more comes, however long one waits
    assert 3 <= len(decodes.calls) <= 3 + 2
    operation.script.running.open()
    done = await asyncio.gather(first, *requests)
    assert [marks_of(analyzed) for analyzed in done] == [[n] for n in range(21)]
    assert len(decodes.calls) == 20


async def test_one_picture_larger_than_the_room_is_still_decoded(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation(), picture_memory=1)
    requests = [bench.begin(bench.task(mark=n), source=png()) for n in range(10)]
    assert [marks_of(await request) for request in requests] == [[n] for n in range(10)]


async def test_who_leaves_before_the_decoding_makes_room(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    bench = workbench(FakeOperation(), cpu_threads=1)
    decodes.go.clear()
    requests = [bench.begin(bench.task(mark=n), source=png()) for n in range(10)]
    await until(lambda: len(decodes.calls) == 1)
    for request in requests[:9]:
        request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await requests[8]
    decodes.go.set()
    assert marks_of(await requests[9]) == [9]
    assert len(decodes.calls) == 2


async def test_urgent_pictures_are_decoded_first(
    workbench: MakeWorkbench, decodes: Decodes
) -> None:
    bench = workbench(FakeOperation(), cpu_threads=1)
    await bench.run(bench.task())
    decodes.go.clear()
    order: list[int] = []

    def note(number: int, _: object) -> None:
        order.append(number)

    requests = []
    for n, priority in enumerate([0, 0, 0, 0, 0, 50]):
        request = bench.begin(bench.task(mark=n), source=png(), priority=priority)
        request.add_done_callback(partial(note, n))
        requests.append(request)
        await asyncio.sleep(0)
    decodes.go.set()
    await asyncio.gather(*requests)
    assert order.index(5) <= 2  # behind the two that had begun
