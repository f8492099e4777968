"""Counts the HTTP requests that are answered, and how long an answer takes to begin."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsin.core.request_counts import RequestCounts

_FAILED = 500


class RequestCounter:
    """ASGI middleware, outside of all others; what nobody has answered counts as a failure."""

    def __init__(self, app: ASGIApp, counts: RequestCounts) -> None:
        self.app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        counts, is_counted = self._counts, False

        async def counted(message: Message) -> None:
            nonlocal is_counted
            if not is_counted and message["type"] == "http.response.start":
                is_counted = True
                counts.add(message["status"], time.perf_counter() - begun)
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:
            if not is_counted:
                counts.add(_FAILED, time.perf_counter() - begun)
            raise
