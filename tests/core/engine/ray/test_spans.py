"""A trace goes on in the processes of the cluster, whose work a real collector is told of."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from opsin.core import open_telemetry, tracing
from opsin.core.engine.batching import Ticket
from opsin.core.engine.ray.errands import Errands
from opsin.core.engine.ray.parcels import Parcel, SentText
from opsin.core.engine.ray.spans import Notebook, traced_among
from opsin.core.errors import OpsinError
from tests.core.engine.ray.conftest import Bench, MakeBench
from tests.core.engine.ray.remote_fakes import Told
from tests.web.test_traces import Collector, attributes, collecting

ONE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "0af7651916cd43dd8448eb211c80319d"
TELL = "operation 'tell'"
OF_THE_PROCESS = {f"receive for {TELL}", f"prepare for {TELL}", f"run {TELL}"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        open_telemetry.start(made.url, "1")
        try:
            yield made
        finally:
            open_telemetry.stop()


async def asked(bench: Bench, trace: str, mark: int, **params: Any) -> Told:
    with tracing.span("ask", parent=f"00-{trace}-b7ad6b7169203331-01"):
        (told,) = await bench.told(bench.task(mark, **params))
    assert isinstance(told, Told), told
    return told


async def test_the_work_of_a_process_is_in_the_trace_of_who_asked(
    over_ray: MakeBench, collector: Collector
) -> None:
    bench = over_ray()
    await bench.told(bench.task(1))  # outside of any trace
    # Long enough that what is asked meanwhile shares one batch.
    first = asyncio.ensure_future(asked(bench, ONE, 2, seconds=1.0))
    await asyncio.sleep(0.2)
    second, third, _ = await asyncio.gather(
        asked(bench, ONE, 3), asked(bench, OTHER, 4), bench.told(bench.task(5))
    )
    told = await first
    await asyncio.to_thread(open_telemetry.stop)
    spans = collector.of_trace(ONE)
    assert spans.keys() >= {*OF_THE_PROCESS, f"send to {TELL}", f"wait for {TELL}"}
    assert {len(spans[name]) for name in OF_THE_PROCESS} == {2}
    analyses = {span.span_id for span in spans["analyze"]}
    for name in (*OF_THE_PROCESS, f"send to {TELL}"):
        for span in spans[name]:
            assert span.parent_span_id in analyses
            process = attributes(span)["opsin.process"]
            assert process.rpartition(":")[2] == str(told.process)
    longest = max(spans[f"run {TELL}"], key=_nanoseconds)
    assert _nanoseconds(longest) >= 0.9e9
    for analysis in spans["analyze"]:
        _are_in_order(analysis, spans)
    assert (second.process, third.process) == (told.process, told.process)
    assert {len(collector.of_trace(OTHER)[name]) for name in OF_THE_PROCESS} == {1}
    # Nobody's trace has what was asked outside of one.
    traced = [span for span in collector.spans if span.name == f"receive for {TELL}"]
    assert len(traced) == 3


def _are_in_order(analysis: Span, spans: dict[str, list[Span]]) -> None:
    """One after the other, all within the time that who asked has waited."""
    names = ("send to", "receive for", "prepare for", "run")
    (steps,) = zip(
        *(
            [one for one in spans[f"{name} {TELL}"] if one.parent_span_id == analysis.span_id]
            for name in names
        ),
        strict=True,
    )
    times = [analysis.start_time_unix_nano]
    for step in steps:
        times += [step.start_time_unix_nano, step.end_time_unix_nano]
    times.append(analysis.end_time_unix_nano)
    slack = 500_000_000  # nanoseconds that a busy machine may put between readings of two clocks
    assert all(later >= earlier - slack for earlier, later in itertools.pairwise(times))


def test_what_nobody_will_see_is_not_told(collector: Collector) -> None:
    class Owner:
        closed, deadline, priority = False, 0.0, 0

        def __init__(self, place: str | None) -> None:
            self.place = place

        def fail(self, error: OpsinError) -> None: ...

    places = (f"00-{ONE}-b7ad6b7169203331-00", None, f"00-{ONE}-b7ad6b7169203331-01")
    tickets = [Ticket("a text", Owner(place), 0.0, lambda *_: None) for place in places]
    assert traced_among(tickets) == (2,)
    tracer = tracing.tracer
    tracing.use(None)
    assert traced_among(tickets) == ()
    tracing.use(tracer)


async def test_what_is_asked_untraced_carries_and_keeps_nothing(over_ray: MakeBench) -> None:
    notebook = Notebook()
    errands = Errands(Parcel("a", [SentText("a text", 0)], alone=False), [], notebook)
    errands.begin(TELL, 0.0)
    assert tracing.tracer is None  # a process that nobody traces has no tracer
    errands.tickets[0].then("an answer", None)
    (ran,) = errands.end()
    assert ran.notes is None and errands.tickets[0].owner.place is None  # type: ignore[attr-defined]  # an errand has one


def _nanoseconds(span: Span) -> int:
    return int(span.end_time_unix_nano - span.start_time_unix_nano)
