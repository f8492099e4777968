"""The seam of traces: nothing where it is off, spans where it is on."""

import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from opsin.core import open_telemetry, tracing
from opsin.core.errors import ConfigurationError, MissingExtra, NotFound
from opsin.core.open_telemetry import OpenTelemetry

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    made = InMemorySpanExporter()
    tracing.use(OpenTelemetry(made, "1", at_once=True))
    try:
        yield made
    finally:
        open_telemetry.stop()


def test_off_there_is_nothing() -> None:
    assert tracing.tracer is None
    with tracing.span("one", {"size": 1}) as span, tracing.part("two") as part:
        span.set("a", 1)
        span.fail("no")
    assert span is part is tracing.NO_SPAN
    assert tracing.place() is None
    assert tracing.record("three", 0, 1) is None


def test_spans_lie_in_each_other(exporter: InMemorySpanExporter) -> None:
    with tracing.span("outer", parent=PARENT, kind="server") as outer:
        outer.set("rows", 3)
        with tracing.part("inner"):
            place = tracing.place()
    inner, made = exporter.get_finished_spans()
    assert (inner.name, made.name) == ("inner", "outer")
    assert made.parent is not None and f"{made.parent.span_id:016x}" == PARENT.split("-")[2]
    assert inner.parent is not None and inner.parent.span_id == made.context.span_id
    assert made.attributes is not None and made.attributes["rows"] == 3
    assert place == f"00-{PARENT.split('-')[1]}-{inner.context.span_id:016x}-01"


def test_a_part_alone_is_nothing(exporter: InMemorySpanExporter) -> None:
    with tracing.part("alone"):
        pass
    assert exporter.get_finished_spans() == ()


def test_what_is_seen_afterwards_has_its_own_times(exporter: InMemorySpanExporter) -> None:
    now, wall = time.monotonic(), time.time()
    place = tracing.record("late", now - 2, now - 1, parent=tracing.NOWHERE, links=[PARENT])
    (span,) = exporter.get_finished_spans()
    assert span.start_time is not None and span.end_time is not None
    assert span.end_time - span.start_time == pytest.approx(1e9, abs=1e6)
    assert span.start_time / 1e9 == pytest.approx(wall - 2, abs=1)
    assert span.parent is None and place is not None
    assert f"{span.links[0].context.trace_id:032x}" == PARENT.split("-")[1]


def test_a_parent_that_cannot_be_read_is_none(exporter: InMemorySpanExporter) -> None:
    with tracing.span("one", parent="nonsense"):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


@pytest.mark.parametrize(
    ("error", "said"), [(NotFound("a secret"), "NOT_FOUND"), (KeyError("a secret"), "KeyError")]
)
def test_an_error_s_text_does_not_go_with_a_span(
    exporter: InMemorySpanExporter, error: Exception, said: str
) -> None:
    with pytest.raises(type(error)), tracing.span("one"):
        raise error
    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, said)
    assert span.events == ()


def test_the_address_of_a_collector_is_one() -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_OTLP_ENDPOINT"):
        open_telemetry.start("localhost:4318", "1")
    assert tracing.tracer is None


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match="telemetry"):
        open_telemetry.start("http://localhost:4318", "1")
