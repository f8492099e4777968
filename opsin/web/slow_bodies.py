"""Ends requests whose bodies come too slowly: a time to arrive, more for one that keeps coming."""

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsin.core.errors import TooSlow
from opsin.web.error_forms import ErrorForms

LEAST_RATE = 4096
"""Bytes for which a body gets another second."""
_GONE: Message = {"type": "http.disconnect"}


class SlowBodies:
    """ASGI middleware: 408 for a body that is waited for longer than `seconds`.

    Each LEAST_RATE bytes that have come are good for another second, so that a large file may take
    its time; and only waiting counts, not what the application does meanwhile.  The application
    learns of it as of a client who has gone, and the answer has the form that errors have at this
    path.
    """

    def __init__(self, app: ASGIApp, seconds: float, forms: ErrorForms | None = None) -> None:
        self.app = app
        self._seconds = seconds
        self._forms = forms or ErrorForms({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"] == "GET" and not _has_body(scope)):
            await self.app(scope, receive, send)
            return
        body = _Body(receive, send, self._seconds)
        try:
            await self.app(scope, body.receive, body.send)
        except ClientDisconnect:
            if not body.is_late:
                raise
        if body.is_late and not body.is_answered:
            refusal = TooSlow("The request's body came too slowly")
            answer = self._forms.answer(Request(scope), refusal)
            answer.headers["connection"] = "close"
            await answer(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    """Whether the headers say so: some cameras send their pictures by GET."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


class _Body:
    """One request's body, and whether its answer has begun."""

    def __init__(self, receive: Receive, send: Send, seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._left = seconds
        self._is_whole = False
        self.is_late = False
        self.is_answered = False

    async def receive(self) -> Message:
        if self.is_late:
            return _GONE
        if self._is_whole:
            return await self._receive()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout_at(begun + max(0.0, self._left)):
                message = await self._receive()
        except TimeoutError:
            self.is_late = True
            return _GONE
        self._left += begun - loop.time() + len(message.get("body", b"")) / LEAST_RATE
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self.is_late and not self.is_answered:
            return  # what the application makes of it is not the answer
        self.is_answered = True
        await self._send(message)
