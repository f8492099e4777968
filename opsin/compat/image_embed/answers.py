"""Answers as this API's clients expect them: JSON, and errors as its `detail`."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from opsin.compat.image_embed.requests import Refused, TasksRefused
from opsin.core.error_statuses import headers_of, status_of
from opsin.core.errors import OpsinError
from opsin.core.unexpected import logged

UNDOWNLOADED = "Could not download image from URL: "
UNPROCESSED = "Could not process image: "


class NoPicture(Exception):
    """The picture cannot be had or opened; the text is for the caller."""


def answer(content: Any, status: int = HTTPStatus.OK) -> Response:
    """Numbers that are none (NaN) come out as null."""
    return Response(orjson.dumps(content), status, media_type="application/json")


class Entries(StreamingResponse):
    """A body that is made as it is sent; nothing more is made once the client has hung up."""

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        super().__init__(pieces, media_type="application/json")
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self.stream_response(send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                with contextlib.suppress(OSError):  # it was hung up in this moment
                    sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._pieces.aclose()


def error_answer(error: Exception) -> Response:
    """The one place where an exception becomes an answer; what nobody expected is masked."""
    if isinstance(error, Refused):
        return answer({"detail": error.problems}, HTTPStatus.UNPROCESSABLE_ENTITY)
    if isinstance(error, NoPicture | TasksRefused):
        return answer({"detail": str(error)}, HTTPStatus.BAD_REQUEST)
    if isinstance(error, HTTPException):
        refusal = answer({"detail": error.detail}, error.status_code)
        refusal.headers.update(error.headers or {})
        return refusal
    if not isinstance(error, OpsinError):
        return answer({"detail": unexpected(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)
    refusal = answer({"detail": error.message}, status_of(error))
    refusal.headers.update(headers_of(error))
    return refusal


def unexpected(error: Exception) -> str:
    """Logs what nobody expected; the text is for the caller."""
    return f"Internal Server Error ({logged(error)})"
