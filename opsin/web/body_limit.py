"""Refuses request bodies that are too large before they are read whole."""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsin.core.errors import TooLarge
from opsin.web.http_errors import answer_error


class BodyLimit:
    """ASGI middleware: 413 from the declared length, or once more than `max_bytes` have come."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._max_bytes = max_bytes
        self._message = f"The request has more than {max_bytes} bytes"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._max_bytes:
            answer = answer_error(Request(scope), TooLarge(self._message))
            await answer(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise TooLarge(self._message)
            return message

        await self.app(scope, counted, send)
