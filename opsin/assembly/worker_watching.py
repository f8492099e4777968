"""What is seen of a worker: its metrics and health for others of its server, or on a port."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn
from starlette.applications import Starlette

from opsin import __version__
from opsin.assembly.figures import figures_of
from opsin.assembly.parts import Parts
from opsin.assembly.telemetry import traced
from opsin.core.errors import ConfigurationError, reason_of
from opsin.settings import Settings
from opsin.web.health import Health
from opsin.web.metrics import Metrics
from opsin.web.siblings import Siblings


@asynccontextmanager
async def watched(
    settings: Settings, parts: Parts, siblings: Siblings | None = None
) -> AsyncIterator[None]:
    """Meanwhile the worker can be asked: by its siblings, or at `OPSIN_METRICS_PORT`.

    Traces are sent, too, where the settings say so.
    """
    metrics = Metrics(figures_of(parts), siblings=siblings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(traced(settings, parts))
        await stack.enter_async_context(metrics.told_to_siblings())
        lag = asyncio.create_task(parts.lag.watch())
        stack.callback(lag.cancel)
        if settings.metrics_port is not None and siblings is None:
            await stack.enter_async_context(_answering(settings, parts, metrics))
        yield


@asynccontextmanager
async def _answering(settings: Settings, parts: Parts, metrics: Metrics) -> AsyncIterator[None]:
    """A small server for `/metrics`, `/health` and `/ready`."""
    health = Health(__version__, lambda: parts.use_cases.engine.device, parts.readiness)
    app = Starlette(routes=[*metrics.routes(), *health.routes()])
    app.state.is_draining = False
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    listener = _listener(settings)
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        listener.close()


class _Server(uvicorn.Server):
    """Leaves the signals to the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _listener(settings: Settings) -> socket.socket:
    host, port = settings.host, settings.metrics_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"OPSIN_METRICS_PORT: cannot listen on {host} port {port}: {reason_of(error)}"
        ) from None
    return listener
