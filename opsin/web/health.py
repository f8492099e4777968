"""`/health`: that the server answers, and on which device operations run; waits for nothing."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route


class Health:
    """Route `/health`; `device` says where operations run."""

    def __init__(self, version: str, device: Callable[[], str]) -> None:
        self._version = version
        self._device = device

    def routes(self) -> list[BaseRoute]:
        return [Route("/health", self.health)]

    async def health(self, _request: Request) -> Response:
        told = {"status": "ok", "device": self._device(), "version": self._version}
        return JSONResponse(told)
