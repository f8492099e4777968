"""`/health`: that the server answers; `/ready`: whether it can do its work and takes more of it."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from opsin.core.readiness import OK, Readiness

_UNAVAILABLE = 503


class Health:
    """Route `/health`, which waits for nothing, and `/ready`, which waits a bounded time.

    `device` says where operations run.  A server that is about to end is not ready.
    """

    def __init__(self, version: str, device: Callable[[], str], readiness: Readiness) -> None:
        self._version = version
        self._device = device
        self._readiness = readiness

    def routes(self) -> list[BaseRoute]:
        return [Route("/health", self.health), Route("/ready", self.ready)]

    async def health(self, _request: Request) -> Response:
        told = {"status": "ok", "device": self._device(), "version": self._version}
        return JSONResponse(told)

    async def ready(self, request: Request) -> Response:
        found = await self._readiness.look()
        is_draining = bool(request.app.state.is_draining)
        is_ready = found.is_ready and not is_draining
        told = {
            "status": "ready" if is_ready else "not ready",
            "checks": {**found.checks, "server": "draining" if is_draining else OK},
        }
        headers = {"cache-control": "no-store"}
        return JSONResponse(told, 200 if is_ready else _UNAVAILABLE, headers)
