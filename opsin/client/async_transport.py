"""Carries out the client's steps with httpx, for asyncio."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from anyio import sleep, to_thread

from opsin.client.http import answer_of, arguments, translated
from opsin.client.wire import Answer, Body, Pause, Request, Send, Steps, Work

T = TypeVar("T")


class AsyncTransport:
    """The connections of one client."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, steps: Steps[T]) -> T:
        """Carry out the steps, one after the other; gives what they end with."""
        try:
            step = next(steps)
            while True:
                try:
                    found = await self._perform(step)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(found)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()  # where this task was cancelled

    async def _perform(self, step: Send | Pause | Work) -> Any:
        match step:
            case Send():
                return await self._send(step)
            case Pause():
                return await sleep(step.seconds)
            case Work():
                return await to_thread.run_sync(step.run)

    async def _send(self, step: Send) -> Answer:
        async with self.opened(step.request) as response:
            if step.receive is None or response.status_code >= 300:
                return answer_of(response, await response.aread())
            if step.begin is not None:
                await to_thread.run_sync(step.begin)
            async for piece in response.aiter_bytes():
                await to_thread.run_sync(step.receive, piece)
            return answer_of(response)

    @asynccontextmanager
    async def opened(
        self, request: Request, silence: float | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The answer with its body still to come; connection failures become NoAnswer."""
        given = arguments(request, silence)
        if not isinstance(request.body, bytes):
            given["content"] = _pieces(request.body)
        try:
            async with self._http.stream(request.method, request.url, **given) as response:
                yield response
        except httpx.TransportError as error:
            raise translated(error) from None


async def _pieces(body: Body) -> AsyncIterator[bytes]:
    """Read on a thread, so that a slow disk holds up nobody else."""
    pieces = body.chunks()
    while (piece := await to_thread.run_sync(next, pieces, None)) is not None:
        yield piece
