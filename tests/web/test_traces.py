"""Traces as a collector gets them: from the request over the queue and the batch to the webhook."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from opsin.core import tracing
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql.asking import image

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector:
    """What was sent: spans, and the headers of webhooks."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.hooks: list[dict[str, str]] = []
        self.url = ""
        self.hooked = threading.Event()

    def of_trace(self, trace: str) -> dict[str, list[Span]]:
        """By name."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            if span.trace_id.hex() == trace:
                found.setdefault(span.name, []).append(span)
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A real HTTP server that takes traces at /v1/traces, and webhooks elsewhere."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                sent = ExportTraceServiceRequest.FromString(body)
                for resource in sent.resource_spans:
                    for attribute in resource.resource.attributes:
                        if attribute.key == "service.name":
                            collector.services.add(attribute.value.string_value)
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
            else:
                collector.hooks.append({k.lower(): v for k, v in self.headers.items()})
                collector.hooked.set()
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture
async def traced(settings: Settings, collector: Collector) -> AsyncIterator[LiveServer]:
    """A server with a worker and a sender, traced."""
    changes = {
        "otlp_endpoint": collector.url,
        "worker": True,
        "webhooks": True,
        "webhook_allow": (collector.url.removeprefix("http://"),),
    }
    async with serve(settings.model_copy(update=changes)) as live:
        yield live
    assert tracing.tracer is None


def attributes(span: Span) -> dict[str, Any]:
    found = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        found[one.key] = getattr(one.value, kind) if kind else None
    return found


async def analyzed(live: LiveServer, collector: Collector, headers: dict[str, str]) -> None:
    """An analysis asked with these headers, run by the worker, and told of by a webhook."""
    stored = await image(live)
    await live.data(
        """mutation($url: String!) { createWebhook(input: {
          url: $url, events: [ANALYSIS_COMPLETED]}) { webhook { id } } }""",
        url=f"{collector.url}/hook",
    )
    query = """mutation Ask($id: ID!) { analyze(input: {imageId: $id, tasks: [
      {taskId: "1", operation: "dominant_colors"}]}) { id } }"""
    asked = await live.client.post(
        "/graphql", json={"query": query, "variables": {"id": stored}}, headers=headers
    )
    assert "errors" not in asked.json(), asked.text
    assert await asyncio.to_thread(collector.hooked.wait, 60)


async def test_one_trace_from_the_request_to_the_webhook(
    settings: Settings, collector: Collector
) -> None:
    changes = {
        "otlp_endpoint": collector.url,
        "worker": True,
        "webhooks": True,
        "webhook_allow": (collector.url.removeprefix("http://"),),
    }
    async with serve(settings.model_copy(update=changes)) as live:
        await analyzed(live, collector, {"traceparent": PARENT, "x-request-id": "traced"})
    assert tracing.tracer is None
    assert collector.services == {"opsin"}
    spans = collector.of_trace(TRACE)
    run = "operation 'dominant_colors'"
    assert spans.keys() >= {
        *("POST graphql", "graphql operation", "sql INSERT", "wait in the queue"),
        *("work on an image", "analyze", "decode", f"wait for {run}", f"run {run}"),
        *("blob read", "write results", "send a webhook"),
    }
    (request,) = spans["POST graphql"]
    assert request.parent_span_id.hex() == PARENT.split("-")[2]
    assert request.kind == Span.SPAN_KIND_SERVER
    told = attributes(request)
    assert (told["opsin.request_id"], told["http.response.status_code"]) == ("traced", 200)
    (operation,) = spans["graphql operation"]
    assert operation.parent_span_id == request.span_id
    assert attributes(operation)["graphql.operation.type"] == "mutation"
    (work,) = spans["work on an image"]
    assert work.kind == Span.SPAN_KIND_CONSUMER
    (analyze,) = spans["analyze"]
    assert analyze.parent_span_id == work.span_id
    (ran,) = spans[f"run {run}"]
    assert ran.parent_span_id == analyze.span_id
    assert ran.start_time_unix_nano < ran.end_time_unix_nano
    # The batch is nobody's alone: a trace of its own, and links both ways.
    (batch,) = [one for one in collector.spans if one.name == f"batch {run}"]
    assert batch.trace_id.hex() != TRACE and not batch.parent_span_id
    assert [link.trace_id.hex() for link in batch.links] == [TRACE]
    assert [link.span_id for link in ran.links] == [batch.span_id]
    # The receiver goes on with the same trace.
    version, trace, span, _ = collector.hooks[0]["traceparent"].split("-")
    (sent,) = spans["send a webhook"]
    assert (version, trace, span) == ("00", TRACE, sent.span_id.hex())


async def test_background_work_makes_no_traces_and_values_are_in_none(
    traced: LiveServer, collector: Collector
) -> None:
    answer = await traced.client.post(
        "/graphql",
        json={"query": 'query Canary { datasets(filter: {name: "canary-value"}) { totalCount } }'},
        headers={"traceparent": PARENT},
    )
    assert answer.status_code == 200
    await traced.client.get("/images/1/content?signature=canary-value")
    await asyncio.sleep(0.5)  # the worker, the sender and others look for work
    provider = tracing.tracer
    assert provider is not None
    await asyncio.to_thread(provider.close)
    roots = {span.name for span in collector.spans if not span.parent_span_id}
    assert roots <= {"GET files", "GET health"}
    assert not any(b"canary-value" in span.SerializeToString() for span in collector.spans)


async def test_a_failure_says_its_code_and_nothing_else(
    traced: LiveServer, collector: Collector
) -> None:
    query = 'mutation { deleteImage(id: "canary-value") { id } }'
    await traced.client.post("/graphql", json={"query": query}, headers={"traceparent": PARENT})
    tracer = tracing.tracer
    assert tracer is not None
    await asyncio.to_thread(tracer.close)
    (operation,) = collector.of_trace(TRACE)["graphql operation"]
    assert operation.status.code == Status.STATUS_CODE_ERROR
    assert operation.status.message.isupper() and "canary" not in operation.status.message


async def test_what_is_not_sampled_is_not_sent(traced: LiveServer, collector: Collector) -> None:
    query = {"query": "{ datasets { totalCount } }"}
    headers = {"traceparent": PARENT.removesuffix("01") + "00"}
    await traced.client.post("/graphql", json=query, headers=headers)
    tracer = tracing.tracer
    assert tracer is not None
    await asyncio.to_thread(tracer.close)
    assert collector.of_trace(TRACE) == {}


async def test_a_collector_that_is_down_harms_nobody(settings: Settings) -> None:
    changes = {"otlp_endpoint": "http://127.0.0.1:9"}
    async with serve(settings.model_copy(update=changes)) as live:
        assert (await live.data("{ datasets { totalCount } }"))["datasets"] is not None
