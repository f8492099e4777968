"""Refuses request bodies that are too large before they are read whole."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsin.core.errors import TooLarge
from opsin.web.error_forms import ErrorForms, nearest


class BodyLimit:
    """ASGI middleware: 413 from the declared length, or once more than the limit has come.

    `limits` are those of paths, and of all below them, that take other sizes than `max_bytes`.
    Whatever an application makes of a body that ends too early, the answer is 413, in the form
    that errors have at this path.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        limits: Mapping[str, int] | None = None,
        forms: ErrorForms | None = None,
    ) -> None:
        self.app = app
        self._max_bytes = max_bytes
        self._limits = dict(limits or {})
        self._forms = forms or ErrorForms({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = nearest(self._limits, scope["path"]) or self._max_bytes
        refusal = TooLarge(f"The request has more than {most} bytes")
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > most:
            await self._refuse(refusal, scope, receive, send)
            return
        received, is_refused, is_answered = 0, False, False

        async def counted() -> Message:
            nonlocal received, is_refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                is_refused = True
                raise refusal
            return message

        async def answered(message: Message) -> None:
            nonlocal is_answered
            if is_answered or not is_refused:
                is_answered = True
                await send(message)

        try:
            await self.app(scope, counted, answered)
        except TooLarge:
            if is_answered or not is_refused:
                raise
        if is_refused and not is_answered:
            await self._refuse(refusal, scope, receive, send)

    async def _refuse(self, refusal: TooLarge, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._forms.answer(Request(scope), refusal)
        await answer(scope, receive, send)
