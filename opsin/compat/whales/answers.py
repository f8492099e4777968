"""Answers of the whales API: compact JSON, and its errors as `detail`."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from opsin.core.error_statuses import headers_of, status_of
from opsin.core.errors import OpsinError
from opsin.core.unexpected import logged


class Refused(Exception):
    """A request that is answered with this status and detail, a text or a list of problems."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str | Sequence[Mapping[str, Any]],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def answer(content: Any, status: int = HTTPStatus.OK) -> Response:
    """Compact UTF-8, texts as they are."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # What is half of a character, in a name from outside, has no UTF-8.
    return Response(body.encode("utf-8", "replace"), status, media_type="application/json")


def error_answer(error: Exception) -> Response:
    """The one place where an exception becomes an answer; what nobody expected is masked."""
    if isinstance(error, Refused):
        return _detailed(error.detail, error.status, error.headers)
    if isinstance(error, HTTPException):
        return _detailed(error.detail, error.status_code, dict(error.headers or {}))
    if isinstance(error, OpsinError):
        return _detailed(error.message, status_of(error), headers_of(error))
    return _detailed(f"internal error ({logged(error)})", HTTPStatus.INTERNAL_SERVER_ERROR, {})


def problem(kind: str, location: Sequence[str | int], message: str, given: Any) -> dict[str, Any]:
    """One entry of the list that 422 answers with."""
    return {"type": kind, "loc": list(location), "msg": message, "input": given}


def unprocessable(*problems: Mapping[str, Any]) -> Refused:
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, problems)


def _detailed(detail: Any, status: int, headers: Mapping[str, str]) -> Response:
    response = answer({"detail": detail}, status)
    response.headers.update(headers)
    return response
