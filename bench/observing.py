"""What it costs to be seen: ids, counts and log lines of requests, and traces, off and on.

    python -m bench.observing [--rounds N]

The application is asked in this process, without sockets, so that nothing hides the difference, and
the processor's time is counted, which others on the machine do not add to; the ways take turns, and
each round's ratio is to the plain way of that same round.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from starlette.types import ASGIApp, Message

from bench.server import running_process
from opsin.app import create_app
from opsin.cli.logs import LineFormatter
from opsin.core import tracing
from opsin.core.open_telemetry import OpenTelemetry
from opsin.settings import Settings
from opsin.web.request_watch import RequestWatch

REQUESTS = 300
JSON = {"content-type": "application/json"}
QUERY = json.dumps({"query": "{ datasets(first: 10) { nodes { id name } totalCount } }"}).encode()


class Nowhere(SpanExporter):
    """Takes spans, and sends them to nobody."""

    def export(self, spans: Any) -> SpanExportResult:
        for span in spans:
            assert isinstance(span, ReadableSpan)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...


def inner_of(app: Any) -> tuple[ASGIApp, RequestWatch]:
    """What is below the watch, and the watch."""
    app.middleware_stack = app.middleware_stack or app.build_middleware_stack()
    layer = app.middleware_stack
    while not isinstance(layer, RequestWatch):
        layer = layer.app
    return layer.app, layer


async def ask(app: ASGIApp, state: Any) -> float:
    """Seconds of the processor, in all threads, for REQUESTS requests one after the other."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(QUERY)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "app": state,
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": QUERY, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message

    began = time.process_time()
    for _ in range(REQUESTS):
        await app(dict(scope), receive, send)
    return time.process_time() - began


@contextlib.contextmanager
def logged(level: int) -> Iterator[None]:
    """Access lines of this level and above are written, to nowhere."""
    logger = logging.getLogger("opsin.access")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    with Path(os.devnull).open("w") as nowhere:
        handler = logging.StreamHandler(nowhere)
        handler.setFormatter(LineFormatter(tracebacks=True, own_lines=False))
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(level)
        try:
            yield
        finally:
            logger.removeHandler(handler)


async def measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), worker=False, webhooks=False)
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            plain, watched = inner_of(app)
            tracer = OpenTelemetry(Nowhere(), "bench")
            seconds: dict[str, list[float]] = {}

            async def turn(name: str, asked: ASGIApp, level: int) -> None:
                with logged(level):
                    seconds.setdefault(name, []).append(await ask(asked, app))

            for _ in range(rounds + 1):  # the first warms up
                await turn("plain", plain, logging.WARNING)
                await turn("ids and counts", watched, logging.WARNING)
                await turn("and a log line", watched, logging.INFO)
                tracing.use(tracer)
                await turn("and traces", watched, logging.INFO)
                tracing.use(None)
            await asyncio.to_thread(tracer.close)
    base = seconds["plain"][1:]
    print(f"load {os.getloadavg()[0]:.1f}; {rounds} rounds of {REQUESTS} requests, medians")
    for name, found in seconds.items():
        each = statistics.median(found[1:]) / REQUESTS * 1e6
        ratio = statistics.median(a / b for a, b in zip(found[1:], base, strict=True))
        print(f"{name:16} {each:8.0f} us a request   {ratio:.3f} of plain")


def seam(times: int = 200_000) -> None:
    """A span where nobody traces."""
    assert tracing.tracer is None
    began = time.perf_counter()
    for _ in range(times):
        with tracing.span("nothing"):
            pass
    span = (time.perf_counter() - began) / times
    began = time.perf_counter()
    for _ in range(times):
        if tracing.tracer is not None:
            raise AssertionError
    asked = (time.perf_counter() - began) / times
    print(f"traces off: a span {span * 1e9:.0f} ns, asking first {asked * 1e9:.0f} ns")


def served(rounds: int) -> None:
    """Over connections: the processor's time of whole servers that write lines, and that do not."""
    seconds: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, level in (("without lines", "error"), ("with lines", "info")):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            running = running_process(folder, log_level=level, worker="false", webhooks="false")
            servers[name] = stack.enter_context(running)
        for _ in range(rounds + 1):
            for name, (client, process) in servers.items():
                before = processor_seconds(process.pid)
                for _ in range(REQUESTS):
                    client.post("/graphql", content=QUERY, headers=JSON).raise_for_status()
                seconds.setdefault(name, []).append(processor_seconds(process.pid) - before)
    without, lines = (sum(found[1:]) / rounds / REQUESTS * 1e6 for found in seconds.values())
    print(f"whole server: {without:.0f} us a request without lines, {lines:.0f} us with them")


def processor_seconds(pid: int) -> float:
    """Of a process, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    seam()
    asyncio.run(measure(given.rounds))
    served(given.rounds)


if __name__ == "__main__":
    main()
