"""Around every request: its id, what is counted of it, its line in the log and its span."""

import logging
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsin.core import tracing
from opsin.core.errors import OpsinError
from opsin.core.request_context import request_id
from opsin.core.request_counts import RequestCounts
from opsin.core.unexpected import logged
from opsin.web.error_forms import ErrorForms, nearest

HEADER = "X-Request-ID"

access = logging.getLogger("opsin.access")

_HEADER = HEADER.lower().encode()
_SANE_ID = re.compile(rb"[A-Za-z0-9._:@/+=-]{1,128}")
_FAILED = 500
_CLOSED = 1006  # what nobody has closed
_NOBODY = 499
"""In the log, of a caller who went before there was an answer; as nginx calls it."""
_MOST_CHARACTERS = 300
"""Of a path, in the log."""
OTHER = "other"
"""The route of all that nobody serves."""
PROBES = frozenset({"health", "metrics"})
"""Routes that are asked for every few seconds, for as long as all is well."""


class RequestWatch:
    """ASGI middleware, outside of all others.

    `routes` names the door of each path and of all below it; these few names are what is counted
    by.  What nobody has answered is answered here, as a failure.
    """

    def __init__(
        self,
        app: ASGIApp,
        counts: RequestCounts,
        routes: Mapping[str, str],
        forms: ErrorForms | None = None,
    ) -> None:
        self.app = app
        self._counts = counts
        self._routes = dict(routes)
        self._forms = forms or ErrorForms({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._answered(scope, receive, send)
        elif kind == "websocket":
            await self._spoken(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts, identity = self._counts, _identity(scope)
        route = self._route(scope["path"])
        status = sent = 0
        begun = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                counts.add(route, status, time.perf_counter() - begun)
                message["headers"] = [*message.get("headers", ()), (_HEADER, identity)]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        counts.running += 1
        token = request_id.set(identity.decode("ascii"))
        try:
            with self._span(scope, route) as span:
                try:
                    await self.app(scope, receive, watched)
                except Exception as error:
                    if status:
                        span.fail(type(error).__name__)
                        raise
                    answer = self._forms.answer(Request(scope), _unexpected(error))
                    await answer(scope, receive, watched)
                finally:
                    if tracing.tracer is not None:
                        _told(span, scope, status)
                    self._write(scope, route, status or _NOBODY, begun, bytes=sent)
        finally:
            counts.running -= 1
            request_id.reset(token)

    async def _spoken(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket: open, it is no request that has an answer; it has one line at its end."""
        sockets, identity = self._counts.sockets, _identity(scope)
        route = self._route(scope["path"])
        code, is_open = _CLOSED, False
        begun = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal code, is_open
            if message["type"] == "websocket.accept":
                is_open = True
                sockets[route] += 1
                message["headers"] = [*message.get("headers", ()), (_HEADER, identity)]
            elif message["type"] == "websocket.close":
                code = message.get("code", 1000)
            elif message["type"] == "websocket.http.response.start":
                code = message["status"]
            await send(message)

        async def heard() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code") or code
            return message

        token = request_id.set(identity.decode("ascii"))
        try:
            await self.app(scope, heard, watched)
        finally:
            sockets[route] -= is_open
            self._write(scope, route, code, begun)
            request_id.reset(token)

    def _route(self, path: str) -> str:
        return nearest(self._routes, path) or (self._routes["/"] if path == "/" else OTHER)

    def _span(self, scope: Scope, route: str) -> AbstractContextManager[tracing.Span]:
        if tracing.tracer is None:
            return tracing.NO_SPAN
        headers = dict(scope["headers"])
        parent = headers.get(b"traceparent", b"").decode("latin-1") or None
        attributes: dict[str, tracing.Value] = {
            "http.request.method": scope["method"],
            "url.path": scope["path"],
            "opsin.request_id": request_id.get() or "",
        }
        return tracing.span(f"{scope['method']} {route}", attributes, kind="server", parent=parent)

    @staticmethod
    def _write(scope: Scope, route: str, status: int, begun: float, **more: object) -> None:
        """The line of the log: never with a query, which may hold a token or a signature."""
        level = logging.DEBUG if route in PROBES and status < _FAILED else logging.INFO
        if not access.isEnabledFor(level):
            return
        client = scope.get("client")
        fields = {
            "method": scope.get("method", "WEBSOCKET"),
            "path": scope["path"][:_MOST_CHARACTERS],
            "route": route,
            "status": status,
            "milliseconds": round((time.perf_counter() - begun) * 1000, 2),
            **more,
            "client": client[0] if client else "",
        }
        # Where it was written is known: the logger would walk up the stack to find out.
        record = logging.LogRecord(access.name, level, __file__, 0, "request", None, None)
        vars(record).update(fields)
        access.handle(record)


def _identity(scope: Scope) -> bytes:
    """The caller's own id, where it is one that may stand in a log; otherwise a new one."""
    for name, value in scope["headers"]:
        if name == _HEADER and _SANE_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(10).encode()


def _told(span: tracing.Span, scope: Scope, status: int) -> None:
    """What is known of a request in the end."""
    template = getattr(scope.get("route"), "path", None)  # none where no router was needed
    if template is not None:
        span.set("http.route", f"{scope.get('root_path', '')}{template}")
    if status:
        span.set("http.response.status_code", status)
    if status >= _FAILED:
        span.fail(str(status))


def _unexpected(error: Exception) -> OpsinError:
    if isinstance(error, OpsinError):
        return error
    number = logged(error)
    return OpsinError(f"Something unexpected failed; the server's log tells more under {number}")
