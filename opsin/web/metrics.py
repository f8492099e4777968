"""`/metrics`: what the server counts, as Prometheus reads it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from opsin.core.errors import StorageError
from opsin.core.queue.depth import QueueDepth
from opsin.core.request_counts import RequestCounts
from opsin.web.collectors import Figures, HouseCollector

Exposition = Callable[[RequestCounts], str]
"""Families of one API whose documents name them, as text."""

_FRESH_SECONDS = 1.0
"""However often somebody asks, the database is asked this seldom."""
_PATIENCE_SECONDS = 2.0


class Metrics:
    """Route `/metrics`: the documented families of the APIs, then Opsin's own.

    The type is the one that the documented families always had; it means the text format.
    """

    def __init__(
        self,
        figures: Figures,
        documented: Sequence[Exposition],
        depth: Callable[[], Awaitable[QueueDepth]],
    ) -> None:
        self._figures = figures
        self._documented = documented
        self._depth = depth
        self._collector = HouseCollector(figures)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        self._read_at = float("-inf")

    def routes(self) -> list[BaseRoute]:
        return [Route("/metrics", self.metrics)]

    async def metrics(self, _request: Request) -> Response:
        await self._look()
        documented = "".join(one(self._figures.requests) for one in self._documented)
        return Response(
            documented.encode() + generate_latest(self._registry), media_type="text/plain"
        )

    async def _look(self) -> None:
        """At the queue, unless that was just done; a database that is down leaves it out."""
        if time.monotonic() - self._read_at < _FRESH_SECONDS:
            return
        self._read_at = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                self._collector.queue = await self._depth()
        except (StorageError, TimeoutError):
            self._collector.queue = None
