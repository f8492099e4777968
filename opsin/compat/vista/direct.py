"""What pipelines ask by the thousand, answered with nothing between the gate and the endpoint.

A request goes this way when all is as nearly every client sends it; whatever is unusual about it,
and every field that is wrong, is left to FastAPI, which alone knows what to say of it.
"""

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints
from uuid import UUID

from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Handle = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Request, Handle], Awaitable[Response]]

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBERS = re.compile(rb"[a-z_]{1,20}=[0-9]{1,9}(?:&[a-z_]{1,20}=[0-9]{1,9}){0,3}")
_JSON_TYPES = frozenset({b"", b"application/json", b"application/json; charset=utf-8"})
_MOST_BYTES = 64 * 1024
"""Of bodies that are read before it is known who sends them; endpoints that read them have none."""


class NotUsual(Exception):
    """The ordinary way is to answer this request."""


class DirectRoute:
    """One endpoint whose path is `/<things>/{id}` and what may follow, none of it variable."""

    def __init__(self, route: APIRoute, answer: Answer) -> None:
        self.route = route
        self._answer = answer
        self._endpoint = route.endpoint
        hints = get_type_hints(route.endpoint, include_extras=True)
        hints.pop("return", None)
        hints.pop("request", None)
        self.id_name = next(iter(route.param_convertors))
        hints.pop(self.id_name)
        self._body_name = next((name for name, kind in hints.items() if _is_model(kind)), None)
        self._adapters = {name: TypeAdapter[Any](kind) for name, kind in hints.items()}

    @property
    def key(self) -> tuple[str, ...]:
        """What is the same in all requests to it: the method, and the path without the id."""
        assert self.route.methods is not None
        method = next(iter(self.route.methods))
        parts = self.route.path.rstrip("/").split("/")
        return method, parts[1], *parts[3:]

    async def arguments(self, request: Request, identity: str) -> dict[str, Any]:
        """What the endpoint is called with; NotUsual where anything leaves a doubt."""
        found: dict[str, Any] = {self.id_name: UUID(identity)}
        query = request.scope["query_string"]
        try:
            if query:
                for name, text in _numbers(query):
                    if name == self._body_name or name in found:
                        raise NotUsual
                    found[name] = self._adapters[name].validate_python(text)
            if self._body_name is not None:
                value = json.loads(await request.body())
                found[self._body_name] = self._adapters[self._body_name].validate_python(value)
        except (KeyError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
            raise NotUsual from error
        return found

    async def answer(self, request: Request, arguments: Mapping[str, Any]) -> Response:
        async def handle(request: Request) -> Response:
            answered: Response = await self._endpoint(request, **arguments)
            return answered

        return await self._answer(request, handle)

    def takes(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request with a body has one that may be read."""
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or headers.get(b"content-type", b"") not in _JSON_TYPES:
            return False
        return self._body_name is None or int(length) <= _MOST_BYTES


class DirectDoor:
    """ASGI middleware in front of FastAPI's routes."""

    def __init__(self, app: ASGIApp, routes: Mapping[tuple[str, ...], DirectRoute]) -> None:
        self._ordinary = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found(scope) if scope["type"] == "http" else None
        if found is None:
            await self._ordinary(scope, receive, send)
            return
        route, identity = found
        path_params = {route.id_name: identity}
        inner = {**scope, "route": route.route, "path_params": path_params}
        request = Request(inner, receive, send)
        rest: Receive = receive
        try:
            if scope["method"] != "GET":
                rest = _Replayed(await request.body(), receive)
            arguments = await route.arguments(request, identity)
        except ClientDisconnect:
            return
        except NotUsual:
            await self._ordinary(scope, rest, send)
            return
        answer = await route.answer(request, arguments)
        await answer(inner, receive, send)

    def _found(self, scope: Scope) -> tuple[DirectRoute, str] | None:
        parts = scope["path"].removeprefix(scope.get("root_path", "")).split("/")
        if len(parts) > 3 and not parts[-1]:
            parts.pop()
        if len(parts) < 3 or _ID.fullmatch(parts[2]) is None:
            return None
        method = scope["method"]
        route = self._routes.get((method, parts[1], *parts[3:]))
        if route is None:
            return None
        if method != "GET" and not route.takes(dict(reversed(scope["headers"]))):
            return None
        return route, parts[2]


class _Replayed:
    """Gives the body that was read already, then what the server has to say."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _is_model(kind: Any) -> bool:
    """A model, or a model or None: what FastAPI takes from the body."""
    members = getattr(kind, "__args__", ()) or (kind,)
    return any(inspect.isclass(one) and issubclass(one, BaseModel) for one in members)


def _numbers(query: bytes) -> list[tuple[str, str]]:
    if _NUMBERS.fullmatch(query) is None:
        raise NotUsual
    pairs = [pair.partition("=") for pair in query.decode("ascii").split("&")]
    return [(name, value) for name, _, value in pairs]
