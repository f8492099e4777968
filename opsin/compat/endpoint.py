"""One path of an API whose bodies no framework reads: its methods, and errors in the API's form."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]


class Endpoint:
    """An ASGI application that answers each method by its handler.

    `refused` answers a method that has none, told those that have; `failed` answers what a handler
    raises, whatever it is.  A client that hangs up is answered nothing.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        refused: Callable[[Sequence[str]], Response],
        failed: Callable[[Exception], Response],
    ) -> None:
        self._handlers = handlers
        self._refused = refused
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return  # nobody is left to be answered
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        handler = self._handlers.get(request.method)
        if handler is None:
            return self._refused(list(self._handlers))
        try:
            return await handler(request)
        except ClientDisconnect:
            raise
        except Exception as error:
            return self._failed(error)
