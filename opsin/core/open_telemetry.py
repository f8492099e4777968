"""Spans as OpenTelemetry's, sent to a collector; the only file that knows its libraries."""

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from opsin.core import tracing
from opsin.core.errors import ConfigurationError, MissingExtra, OpsinError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Link, Span

_TRACES = "/v1/traces"
_NANOSECONDS = 1_000_000_000
_EXTRA = "telemetry"


def start(endpoint: str, version: str) -> None:
    """Trace from here on, to this collector; what OTEL_* variables say of the rest, holds.

    Raises MissingExtra without the libraries, ConfigurationError for what is no address.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            "OPSIN_OTLP_ENDPOINT is the address of a collector: http://host:4318"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ModuleNotFoundError:
        raise MissingExtra("sending traces", _EXTRA) from None
    address = endpoint.rstrip("/")
    if not address.endswith(_TRACES):
        address += _TRACES
    tracing.use(OpenTelemetry(OTLPSpanExporter(endpoint=address), version))


def stop() -> None:
    """Send what is left, and trace no more."""
    if tracing.tracer is not None:
        tracing.tracer.close()
        tracing.use(None)


class OpenTelemetry:
    """A tracer whose spans go to an exporter, some at a time, from a thread of their own."""

    def __init__(self, exporter: "SpanExporter", version: str, *, at_once: bool = False) -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ours = Resource(
            {
                "service.name": "opsin",
                "service.version": version,
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            }
        )
        self._provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter)
        )
        self._tracer = self._provider.get_tracer("opsin", version)
        self._propagator = TraceContextTextMapPropagator()
        self._kinds: dict[tracing.Kind, SpanKind] = {
            "internal": SpanKind.INTERNAL,
            "server": SpanKind.SERVER,
            "client": SpanKind.CLIENT,
            "producer": SpanKind.PRODUCER,
            "consumer": SpanKind.CONSUMER,
        }

    def span(
        self,
        name: str,
        attributes: tracing.Attributes,
        kind: tracing.Kind,
        parent: tracing.Place | None,
        links: Iterable[tracing.Place],
    ) -> AbstractContextManager[tracing.Span]:
        return self._span(name, attributes, kind, parent, links)

    @contextmanager
    def _span(
        self,
        name: str,
        attributes: tracing.Attributes,
        kind: tracing.Kind,
        parent: tracing.Place | None,
        links: Iterable[tracing.Place],
    ) -> Iterator[tracing.Span]:
        from opentelemetry.trace import use_span

        made = self._tracer.start_span(
            name,
            context=self._context(parent),
            kind=self._kinds[kind],
            attributes=attributes,
            links=self._links(links),
        )
        told = _Told(made)
        # What an error says may be somebody's data: only its class goes with the span.
        with use_span(
            made, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield told
            except Exception as error:
                told.fail(error.code if isinstance(error, OpsinError) else type(error).__name__)
                raise

    def record(
        self,
        name: str,
        started: float,
        ended: float,
        attributes: tracing.Attributes,
        kind: tracing.Kind,
        parent: tracing.Place | None,
        links: Iterable[tracing.Place],
    ) -> tracing.Place | None:
        from opentelemetry.trace import set_span_in_context

        offset = time.time_ns() - int(time.monotonic() * _NANOSECONDS)
        made = self._tracer.start_span(
            name,
            context=self._context(parent),
            kind=self._kinds[kind],
            attributes=attributes,
            links=self._links(links),
            start_time=offset + int(started * _NANOSECONDS),
        )
        made.end(offset + int(ended * _NANOSECONDS))
        return self._place(set_span_in_context(made))

    def place(self) -> tracing.Place | None:
        return self._place(None)

    def _place(self, context: "Context | None") -> tracing.Place | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context)
        return carrier.get("traceparent")

    def close(self) -> None:
        self._provider.shutdown()

    def _context(self, parent: tracing.Place | None) -> "Context | None":
        """None: the current one.  A parent that cannot be read is none at all."""
        from opentelemetry.context import Context

        if parent is None:
            return None
        return self._propagator.extract({"traceparent": parent}, Context())

    def _links(self, links: Iterable[tracing.Place]) -> "list[Link]":
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, get_current_span

        found = (
            get_current_span(self._propagator.extract({"traceparent": one}, Context()))
            for one in links
        )
        return [Link(one.get_span_context()) for one in found]


class _Told:
    """One span, as the rest of the house speaks to it."""

    __slots__ = ("_span",)

    def __init__(self, span: "Span") -> None:
        self._span = span

    def set(self, name: str, value: tracing.Value) -> None:
        self._span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, reason))
