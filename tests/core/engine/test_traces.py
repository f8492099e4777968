"""What the engine tells a tracer of an item on its way, where one traces."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from opsin.core import open_telemetry, tracing
from opsin.core.open_telemetry import OpenTelemetry
from opsin.core.testing import FakeOperation
from tests.core.engine.conftest import MakeWorkbench

FAKE = "operation 'fake'"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    made = InMemorySpanExporter()
    tracing.use(OpenTelemetry(made, "1", at_once=True))
    try:
        yield made
    finally:
        open_telemetry.stop()


async def test_an_item_has_a_span_for_each_step(
    workbench: MakeWorkbench, exporter: InMemorySpanExporter
) -> None:
    bench = workbench(FakeOperation())
    await bench.run(bench.task(mark=1))  # outside of any trace
    with tracing.span("ask"):
        await bench.run(bench.task(mark=2))
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans.keys() == {
        *("ask", "analyze", "decode", f"batch {FAKE}"),
        *(f"wait for {FAKE}", f"prepare for {FAKE}", f"run {FAKE}"),
    }
    for name in (f"wait for {FAKE}", f"prepare for {FAKE}", f"run {FAKE}"):
        parent = spans[name].parent
        assert parent is not None and parent.span_id == spans["analyze"].context.span_id
        assert "opsin.process" not in (spans[name].attributes or {})  # it was this one
