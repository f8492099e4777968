"""Answers as PEKAT's clients expect them: a context, or an image and a context; errors as JSON."""

import base64
import json
from http import HTTPStatus

from starlette.responses import Response

from opsin.compat.pekat.parameters import Wanted
from opsin.core.error_statuses import headers_of, status_of
from opsin.core.errors import OpsinError
from opsin.core.unexpected import logged

BOTH_HEADERS = 4 * 1024
ONE_HEADER = 45 * 1024
"""Bytes of JSON in a header: Python's client takes 65,536 of base64, Node's 16 KiB of them all."""


def context_answer(context: bytes) -> Response:
    """The context alone."""
    return Response(context, media_type="application/json")


def image_answer(png: bytes, context: bytes, wanted: Wanted) -> Response:
    """An image and its context, in the body behind it or in headers.

    A context that no client could read in a header comes alone: clients take that as no image,
    where an image without the header makes them fail.
    """
    if wanted.in_body:
        headers = {"ImageLen": str(len(png))}
        return Response(png + context, headers=headers, media_type="application/octet-stream")
    if len(context) > ONE_HEADER:
        return context_answer(context)
    headers = {"ContextBase64utf": base64.b64encode(context).decode()}
    plain = json.dumps(json.loads(context))  # in ASCII, on one line
    if len(plain) <= BOTH_HEADERS:
        headers["context"] = plain
    return Response(png, headers=headers, media_type="image/png")


def error_answer(error: Exception) -> Response:
    """The one place where an exception becomes an answer; what nobody expected is masked."""
    if isinstance(error, OpsinError):
        return told(error.message, status_of(error), **headers_of(error))
    return told(f"internal error ({logged(error)})", HTTPStatus.INTERNAL_SERVER_ERROR)


def told(message: str, status: int, **headers: str) -> Response:
    """An error object; clients read it as JSON whatever the status."""
    content = json.dumps({"error": True, "message": message})
    return Response(content, status, headers, "application/json")
