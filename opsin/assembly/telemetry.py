"""Traces of a server or a worker, where the settings name a collector."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opsin import __version__
from opsin.assembly.parts import Parts
from opsin.core import open_telemetry
from opsin.core.statement_spans import trace_statements
from opsin.settings import Settings


@asynccontextmanager
async def traced(settings: Settings, parts: Parts) -> AsyncIterator[None]:
    """Meanwhile spans are made and sent; what is left of them is sent in the end.

    Raises MissingExtra without the libraries.
    """
    if settings.otlp_endpoint is None:
        yield
        return
    open_telemetry.start(settings.otlp_endpoint, __version__)
    trace_statements(parts.use_cases.database)
    try:
        yield
    finally:
        await asyncio.to_thread(open_telemetry.stop)
