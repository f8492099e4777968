"""Routes behind the gate: each in both slash forms, with every error in the API's own form."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opsin.compat.vista.answers import error_answer
from opsin.compat.vista.gate import API, Admission, Gate, Policy
from opsin.core.errors import NotFound

Endpoint = Callable[..., Any]


class Routes:
    """Adds endpoints to one FastAPI application, which is mounted at every prefix."""

    def __init__(self, app: FastAPI, gate: Gate) -> None:
        self.app = app
        self._policies: dict[Endpoint, Policy] = {}
        app.router.route_class = _gated(gate, self._policies)
        app.add_exception_handler(HTTPException, _outside)

    def add(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        *,
        status: int = 200,
        policy: Policy = Policy.USER,
        tag: str = "",
        body: type[Any] | None = None,
    ) -> None:
        """One route; `body` documents what an endpoint reads for itself."""
        self._policies[endpoint] = policy
        extra = None
        if body is not None:
            schema = body.model_json_schema()
            content = {"application/json": {"schema": schema}}
            extra = {"requestBody": {"required": True, "content": content}}
        for form, is_shown in ((path, True), (f"{path}/", False)):
            self.app.add_api_route(
                form,
                endpoint,
                methods=[method],
                status_code=status,
                response_model=None,
                include_in_schema=is_shown,
                tags=[tag] if tag else None,
                openapi_extra=extra,
            )


def admission(request: Request) -> Admission:
    """What the gate found out about this request."""
    found: Admission = request.state.admission
    return found


def _gated(gate: Gate, policies: dict[Endpoint, Policy]) -> type[APIRoute]:
    class GatedRoute(APIRoute):
        """Asks the gate before FastAPI looks at the request."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            policy = policies[self.endpoint]

            async def answered(request: Request) -> Response:
                try:
                    try:
                        return await handle(request)
                    except NotFound:
                        # Nothing of the caller's; it may still be somebody else's.
                        reach = getattr(request.state, "reach", None)
                        if reach is not None:
                            await reach()
                        raise
                except Exception as error:
                    return error_answer(error)

            async def gated(request: Request) -> Response:
                try:
                    admitted = await gate.admit(request, policy)
                    request.state.admission = admitted
                    return await gate.remembered(admitted, lambda: answered(request))
                except Exception as error:
                    return error_answer(error)

            return gated

    return GatedRoute


async def _outside(request: Request, error: Exception) -> Response:
    """For paths that no route has."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and request.scope.get("root_path", "") == API:
        return error_answer(HTTPException(404, "API endpoint not found"))
    return error_answer(error)
