"""How httpx is set up for either client, and what its exceptions mean."""

from typing import Any

import httpx

from opsin.client.errors import ClientError
from opsin.client.wire import Answer, NoAnswer, Request

CONNECT_SECONDS = 10.0

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def timeouts(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def translated(error: httpx.TransportError) -> Exception:
    """Whether it may be tried again, and whether the server may have got the request."""
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return ClientError(f"The request could not be written: {error}.")
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        text = f"{type(error).__name__} ({text})" if str(error) else f"{text}, the time is over"
    return NoAnswer(text, was_sent=not isinstance(error, _NOT_SENT))


def answer_of(response: httpx.Response, body: bytes = b"") -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


def arguments(request: Request, silence: float | None) -> dict[str, Any]:
    """What a request is to httpx, but for a body that comes piece by piece.

    With `silence`, the connection may say nothing for so many seconds, however long it lasts.
    """
    given: dict[str, Any] = {"headers": dict(request.headers)}
    if silence is not None:
        given["timeout"] = httpx.Timeout(silence, connect=CONNECT_SECONDS)
    if isinstance(request.body, bytes) and request.body:
        given["content"] = request.body
    return given
