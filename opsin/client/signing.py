"""HMAC signatures of requests: over the time and the body, or over the body alone."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from typing import Any, Literal

Dialect = Literal["timestamped", "documented"]


def signature_headers(
    secret: str, body: Iterable[bytes], at: float, dialect: Dialect
) -> dict[str, str]:
    """Headers that sign a body, given in pieces, as of `at`, seconds since 1970.

    `timestamped` signs `<time>.<body>`, so that a captured request is soon worthless;
    `documented` signs the body alone, as the document of the VISTA API has it.
    """
    timestamp = str(int(at))
    message = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    if dialect == "timestamped":
        message.update(f"{timestamp}.".encode())
    for piece in body:
        message.update(piece)
    mark = "sha256=" if dialect == "timestamped" else ""
    return {"x-ml-signature": mark + message.hexdigest(), "x-ml-timestamp": timestamp}


def encode(payload: dict[str, Any]) -> bytes:
    """JSON without blanks; ValueError for NaN and infinities, TypeError for what is no JSON.

    NumPy's and PyTorch's numbers and arrays become JSON numbers and lists.
    """
    return _ENCODER.encode(payload).encode()


def with_request_id(body: bytes, dialect: Dialect) -> bytes:
    """The body as it is signed.

    A server remembers documented requests by their signature alone: two that are meant, as two
    equal chunks of findings, must differ in something, and a repeat of one must not.
    """
    if dialect == "timestamped":
        return body
    mark = b'{"request_id":"%s"' % secrets.token_hex(16).encode()
    return mark + (b"}" if body == b"{}" else b"," + body[1:])


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")


# Made once: it is asked for every finding.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain)
