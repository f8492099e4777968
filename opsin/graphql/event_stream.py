"""Server-sent events in graphql-sse's distinct connections mode, ended gently."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from strawberry.types import SubscriptionExecutionResult

from opsin.graphql.http_rules import response_members
from opsin.graphql.wire import encode_json

KEEP_ALIVE_SECONDS = 12.0
"""Between comments on a stream: what stands in between drops a connection that says nothing."""

_KEEP_ALIVE = b":\n\n"
_COMPLETE = b"event: complete\ndata:\n\n"
_HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache, no-transform",  # nothing in between may store or compress it,
    "x-accel-buffering": "no",  # or, as nginx would, gather it
}


class EventStream(StreamingResponse):
    """The answers of one operation as events `next`, then `complete`.

    When the server stops, streams end without `complete`: their clients shall come back.

    The source is cancelled once.  Starlette's own response cancels again and again until the
    source has ended, also while it is closing a database connection because of the first time;
    that connection's thread would never end.
    """

    def __init__(self, results: SubscriptionExecutionResult) -> None:
        super().__init__(_events(results), headers=_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        sending = asyncio.create_task(self._send_events(send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            while not await _one_is_done(sending, leaving):
                await send(_part(_KEEP_ALIVE))
            if sending.done():
                if not sending.cancelled():  # as it is when the server stops
                    sending.result()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_events(self, send: Send) -> None:
        async for event in self.body_iterator:
            await send(_part(event))


async def _events(results: SubscriptionExecutionResult) -> AsyncGenerator[bytes, None]:
    async with aclosing(results):  # type: ignore[type-var]  # it is a generator
        async for result in results:
            # JSON has no line breaks but escaped ones.
            yield b"event: next\ndata: " + encode_json(response_members(result)) + b"\n\n"
    yield _COMPLETE


def _part(body: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _one_is_done(*tasks: "asyncio.Task[None]") -> bool:
    """Whether a task has ended before it is time for a sign of life."""
    done, _ = await asyncio.wait(
        tasks, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    return bool(done)
