"""Routes behind the gate: each in both slash forms, with every error in the API's own form."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opsin.compat.vista.answers import error_answer
from opsin.compat.vista.description import SECURITY
from opsin.compat.vista.direct import Answer, DirectDoor, DirectRoute, Handle
from opsin.compat.vista.gate import API, Admission, Gate, Policy, prefix_of
from opsin.core.errors import NotFound

Endpoint = Callable[..., Any]
Before = Callable[[Request], Awaitable[None]]
"""Raises what is to be answered instead of reading the body."""


class Routes:
    """Adds endpoints to one FastAPI application, which is mounted at every prefix."""

    def __init__(self, app: FastAPI, gate: Gate) -> None:
        self.app = app
        self._gate = gate
        self._passes: dict[Endpoint, Answer] = {}
        self._direct: dict[tuple[str, ...], DirectRoute] = {}
        app.router.route_class = _gated(self._passes)
        app.add_middleware(DirectDoor, routes=self._direct)
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
        direct: bool = False,
        remembers: bool = True,
        before: Before | None = None,
    ) -> None:
        """One route; `body` documents what an endpoint reads for itself.

        With `direct`, usual requests go past FastAPI.  Without `remembers` the endpoint keeps its
        answers to signed requests itself, in the transaction of what it does.  FastAPI reads a form
        before it calls its endpoint: `before` is asked while the body is still on its way.
        """
        pass_to = self._passes[endpoint] = partial(_pass, self._gate, policy, remembers, before)
        extra: dict[str, Any] = {"security": SECURITY[policy]}
        if body is not None:
            # With a name of its own, below which its references are looked for.
            schema = {"$id": body.__name__, **body.model_json_schema()}
            content = {"application/json": {"schema": schema}}
            extra["requestBody"] = {"required": True, "content": content}
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
        if direct:
            route = self.app.router.routes[-2]
            assert isinstance(route, APIRoute)
            one = DirectRoute(route, pass_to)
            self._direct[one.key] = one


def admission(request: Request) -> Admission:
    """What the gate found out about this request."""
    found: Admission = request.state.admission
    return found


def _gated(passes: Mapping[Endpoint, Answer]) -> type[APIRoute]:
    class GatedRoute(APIRoute):
        """Asks the gate before FastAPI looks at the request."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            pass_to = passes[self.endpoint]

            async def gated(request: Request) -> Response:
                return await pass_to(request, handle)

            return gated

    return GatedRoute


async def _pass(
    gate: Gate,
    policy: Policy,
    remembers: bool,
    before: Before | None,
    request: Request,
    handle: Handle,
) -> Response:
    """What `handle` answers to whoever may pass; every error in the API's own form."""
    try:
        admitted = await gate.admit(request, policy)
        request.state.admission = admitted
        if before is not None:
            await before(request)
        act = partial(_answered, request, handle)
        return await gate.remembered(request, admitted, act) if remembers else await act()
    except Exception as error:
        return error_answer(error)


async def _answered(request: Request, handle: Handle) -> Response:
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


async def _outside(request: Request, error: Exception) -> Response:
    """For paths that no route has."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and prefix_of(request) == API:
        return error_answer(HTTPException(404, "API endpoint not found"))
    return error_answer(error)
